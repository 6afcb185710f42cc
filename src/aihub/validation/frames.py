"""Tables of any library at the border; numpy columns inside."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import narwhals.stable.v1 as nw
import numpy as np

from aihub.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from aihub.types import FloatArray


class Columns(Mapping[str, "NDArray[Any]"]):
    """Columns of a table by name, converted when asked for and not kept.

    Not keeping them is what lets a gate look at a table that fills half the memory.
    """

    def __init__(self, names: Sequence[str], column: Callable[[str], Any]) -> None:
        self._names = dict.fromkeys(names)
        self._column = column
        self._held: dict[str, Any] = {}  # wrappers of the library's own columns, which cost no memory

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._names:
            raise KeyError(name)
        return array(self.native(name), name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def native(self, name: str) -> Any:
        """Return the column as its own library holds it."""
        if name not in self._held:
            self._held[name] = _series(self._column(name))
        return self._held[name]

    def is_numeric(self, name: str) -> bool:
        """Whether the column holds numbers or booleans; costs nothing where the library knows the type."""
        series = self.native(name)
        if isinstance(series, nw.Series) and series.dtype != nw.Object:
            return bool(series.dtype.is_numeric() or series.dtype == nw.Boolean)
        return bool(array(series, name).dtype == np.float64)

    @cached_property
    def numeric(self) -> tuple[str, ...]:
        """Names of the columns that hold numbers or booleans."""
        return tuple(name for name in self if self.is_numeric(name))


def columns(table: Any, *, only: Sequence[str] | None = None) -> Mapping[str, NDArray[Any]]:
    """Columns of `table` by name, converted when asked for.

    Numbers, booleans and durations (seconds) are float64 (missing is NaN; float64 without nulls is not copied), time
    stamps ``datetime64[us]`` in UTC, everything else an object array with None for missing.

    Parameters
    ----------
    table
        pandas or polars data frame, Arrow table, or a mapping of name to array.
    only
        Names to keep, in this order; None keeps all.

    Raises
    ------
    DataError
        Not a table, two columns share a name, or a name in `only` is missing.

    Examples
    --------
    >>> columns({"load": [1, 2, None]})["load"]
    array([ 1.,  2., nan])
    """
    frame = _frame(table)
    names = column_names(table)
    for name in only or ():
        if name not in names:
            raise DataError(
                f"the table has no such column.{did_you_mean(name, names)} Check the name or add the column.",
                column=name,
            )
    return Columns(tuple(only) if only is not None else names, frame.__getitem__)


def numeric_names(features: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the columns that hold numbers, without converting the others."""
    if isinstance(features, Columns):
        return features.numeric
    return tuple(name for name, values in features.items() if array(values, name).dtype == np.float64)


def codes(values: Any, name: str = "values") -> tuple[NDArray[np.int64], list[str]]:
    """Category of each row as an index into the names of the categories; -1 is missing.

    Uses the dictionary where the library keeps one, else the library's own hash table: about 5 to 20 ns a row.

    Examples
    --------
    >>> [part if isinstance(part, list) else part.tolist() for part in codes(["b", "a", None, "b"])]
    [[0, 1, -1, 0], ['b', 'a']]
    """
    series = _series(values)
    if isinstance(series, nw.Series) and _is_text(series.dtype):
        return _series_codes(series)
    index: dict[str, int] = {}
    found = [
        -1 if _is_missing(v) else index.setdefault(str(v), len(index)) for v in array(values, name).tolist()
    ]
    return np.array(found, dtype=np.int64), list(index)


def _series_codes(series: nw.Series[Any]) -> tuple[NDArray[np.int64], list[str]]:
    native = series.to_native()
    if series.implementation.is_polars():
        import polars as pl  # noqa: PLC0415 - the column is polars already

        if series.dtype == nw.String:
            native = native.cast(pl.Categorical)
        physical = native.to_physical()
        found = (physical.cast(pl.Int64).fill_null(-1) if native.null_count() else physical).to_numpy()
        return _named_codes(found, native)
    if series.implementation.is_pyarrow():
        import pyarrow as pa  # noqa: PLC0415 - the column is Arrow already
        import pyarrow.compute as pc  # noqa: PLC0415 - as above

        if not pa.types.is_dictionary(native.type):
            native = pc.dictionary_encode(native)
        native = (
            native.unify_dictionaries().combine_chunks() if isinstance(native, pa.ChunkedArray) else native
        )
        filled = pc.fill_null(native.indices.cast("int64"), -1)
        return filled.to_numpy(zero_copy_only=False), [str(v) for v in native.dictionary.to_pylist()]
    import pandas as pd  # noqa: PLC0415 - the column is pandas already

    if isinstance(native.dtype, pd.CategoricalDtype):
        return native.cat.codes.to_numpy().astype(np.int64), [str(v) for v in native.cat.categories]
    found, labels = pd.factorize(native)
    return found.astype(np.int64), [str(v) for v in labels]


def _named_codes(found: NDArray[Any], native: Any) -> tuple[NDArray[np.int64], list[str]]:
    """Codes without gaps, and their names."""
    used = np.flatnonzero(np.bincount(found + 1)[1:]) if found.size else np.empty(0, np.int64)
    names = _names(found, used, native)
    if not used.size or used.size == int(used[-1]) + 1:
        return found.astype(np.int64, copy=False), names
    dense = np.full(int(used[-1]) + 2, -1)
    dense[used] = np.arange(used.size)
    return dense[found], names


def _names(found: NDArray[Any], used: NDArray[np.int64], native: Any) -> list[str]:
    """Names of the `used` codes.

    Which number a category has is the library's affair, so the names are read off one row of each; nearly always the
    first rows hold them all.
    """
    row_of = np.full(int(used[-1]) + 1 if used.size else 0, -1)
    for part in (found[:10_000], found):
        rows = np.flatnonzero(part >= 0)
        row_of[part[rows]] = rows
        if (row_of[used] >= 0).all():
            break
    labels: list[str] = native.gather(row_of[used]).to_list()
    return labels


def category_counts(series: nw.Series[Any]) -> tuple[dict[str, int], int]:
    """Count each category of a column of text, and the missing values."""
    native = series.to_native()
    if series.implementation.is_polars() and series.dtype != nw.String and not native.null_count():
        found = native.to_physical().to_numpy()
        numbers = np.bincount(found)
        used = np.flatnonzero(numbers)
        return dict(zip(_names(found, used, native), numbers[used].tolist(), strict=True)), 0
    found, names = _series_codes(series)
    numbers = np.bincount(found + 1, minlength=len(names) + 1)
    counted = zip(names, numbers[1:].tolist(), strict=True)
    return {name: count for name, count in counted if count}, int(numbers[0])


def take(features: Mapping[str, Any], name: str, rows: Any) -> NDArray[Any]:
    """Convert some rows of a column and no others.

    Parameters
    ----------
    rows
        Row numbers, shape (m,), or a slice.
    """
    series = _text_at(features, name, rows)
    found: NDArray[Any] = array(features[name], name)[rows] if series is None else array(series, name)
    return found


def take_codes(
    features: Mapping[str, Any], name: str, rows: Any
) -> tuple[NDArray[np.int64], list[str]] | None:
    """Categories of some rows of a column of text, as `codes` numbers them; None where its library knows of no text."""
    series = _text_at(features, name, rows)
    return None if series is None else _series_codes(series)


def _text_at(features: Mapping[str, Any], name: str, rows: Any) -> nw.Series[Any] | None:
    if not isinstance(features, Columns):
        return None
    series = features.native(name)
    if not isinstance(series, nw.Series) or not _is_text(series.dtype):
        return None
    picked: nw.Series[Any] = series[rows]
    return picked


def _is_text(dtype: Any) -> bool:
    return dtype in (nw.String, nw.Categorical) or isinstance(dtype, nw.Enum)


def column_names(table: Any) -> tuple[str, ...]:
    """Names of the columns, in order, as text.

    Raises
    ------
    DataError
        Not a table, or two columns share a name.
    """
    frame = _frame(table)
    names = tuple(frame) if isinstance(frame, Mapping) else tuple(frame.columns)
    for name in names:
        if not isinstance(name, str):
            raise DataError(f"the column name {name!r} is no text; rename the columns of the table")
    return names


def n_rows(table: Any) -> int:
    """Rows of `table`."""
    frame = _frame(table)
    if isinstance(frame, Mapping):
        return max((len(column) for column in frame.values()), default=0)
    return int(frame.shape[0])


def select(table: Any, names: Sequence[str]) -> Any:
    """Return `table` with just the columns `names`, in that order, in its own library.

    Raises
    ------
    DataError
        A name is missing; the message offers the nearest one.
    """
    frame = _frame(table)
    known = column_names(table)
    for name in names:
        if name not in known:
            raise DataError(
                f"the model needs this column and the table does not have it.{did_you_mean(name, known)} Add it, or "
                f"validate a model that was trained without it.",
                column=name,
            )
    if isinstance(frame, Mapping):
        return {name: frame[name] for name in names}
    return frame.select(list(names)).to_native()


def _frame(table: Any) -> Any:
    """Narwhals frame, or the mapping itself."""
    if isinstance(table, nw.DataFrame):
        return table
    if isinstance(table, Mapping):
        for name, column in table.items():
            if not hasattr(column, "__len__"):
                raise DataError(
                    f"{type(column).__name__} is no column; give one value per row", column=str(name)
                )
        lengths = {len(column) for column in table.values()}
        if len(lengths) > 1:
            raise DataError(
                f"the columns have different lengths {sorted(lengths)}; give one value per row in each"
            )
        return table
    try:
        frame = nw.from_native(table, pass_through=True)
    except Exception as error:
        # narwhals refuses with its own and with the library's errors, such as for two columns of one name
        raise DataError(f"the table cannot be used: {error}. Rename columns that share a name.") from error
    if isinstance(frame, nw.LazyFrame):
        return frame.collect()
    if not isinstance(frame, nw.DataFrame):
        raise DataError(
            f"{type(table).__name__} is no table; give a pandas or polars data frame, an Arrow table or a mapping of arrays"
        )
    return frame


def _series(values: Any) -> Any:
    """Wrap a column of a library that narwhals knows; everything else stays as it is."""
    if isinstance(values, nw.Series):
        return values
    return nw.from_native(values, series_only=True, pass_through=True)


def array(values: Any, name: str = "values") -> NDArray[Any]:
    """One column as numpy: float64, ``datetime64[us]`` or object; see `columns`."""
    if isinstance(values, np.ma.MaskedArray):
        values = values.tolist()  # what is masked is missing
    values = _series(values)
    if isinstance(values, nw.Series):
        dtype = values.dtype
        if dtype.is_numeric() or dtype == nw.Boolean:
            return _floats_of_series(values)
        if isinstance(dtype, nw.Datetime):
            return timestamps_utc(values, name)
        if isinstance(dtype, nw.Duration):
            return _numpy_column(values.to_numpy())
        return _text_of(values) if _is_text(dtype) else _from_list(values.to_list())
    if not hasattr(values, "dtype") and not isinstance(values, Iterable):
        raise DataError(f"{type(values).__name__} is no column; give one value per row", column=name)
    return _numpy_column(np.asarray(values) if hasattr(values, "dtype") else _from_list(values))


def floats(values: Any, name: str = "values") -> FloatArray:
    """Any one-dimensional array, series or list as float64 of shape (n,); missing is NaN.

    Raises
    ------
    DataError
        Not one-dimensional or not numeric.

    Examples
    --------
    >>> floats([1, None, True]).tolist()
    [1.0, nan, 1.0]
    """
    if not isinstance(values, nw.Series | np.ndarray) and np.ndim(getattr(values, "values", 0)) > 1:
        values = np.asarray(values)
    found = array(values, name)
    if found.ndim == 2 and 1 in found.shape:  # noqa: PLR2004 - many libraries predict a matrix of one column
        found = found.reshape(-1)
    if found.ndim != 1:
        raise DataError(f"an array of shape {found.shape} is no column; give one number per row", column=name)
    if found.dtype != np.float64:
        found = _numbers_among(found, name)
    return found


def timestamps_utc(values: Any, name: str = "timestamp") -> NDArray[np.datetime64]:
    """Any array or series of time stamps (naive means UTC; text in ISO 8601) as ``datetime64[us]``.

    Raises
    ------
    DataError
        Not time stamps.
    """
    values = _series(values)
    if isinstance(values, nw.Series):
        if isinstance(values.dtype, nw.Datetime):
            if values.dtype.time_zone is not None:
                values = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
            return np.asarray(values.to_numpy()).astype("datetime64[us]")
        values = values.to_list()
    try:
        if hasattr(values, "dtype") and np.issubdtype(values.dtype, np.datetime64):
            return np.asarray(values).astype("datetime64[us]")
        return np.array([_instant(v) for v in values], dtype="datetime64[us]")
    except (TypeError, ValueError) as error:
        raise DataError(f"not a time stamp: {error}. Give dates or ISO 8601 text.", column=name) from error


def _instant(value: Any) -> Any:
    from datetime import UTC, date, datetime  # noqa: PLC0415 - only for text and objects

    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    if value is None or isinstance(value, date | np.datetime64) or value != value:  # noqa: PLR0124 - NaN
        return "NaT" if value is None or value != value else value  # noqa: PLR0124
    raise TypeError(f"{value!r} of type {type(value).__name__}")


def _floats_of_series(series: nw.Series[Any]) -> FloatArray:
    """Numbers of a series; the buffer itself where it is float64 without nulls."""
    if series.dtype != nw.Float64:
        series = series.cast(nw.Float64)
    values = np.asarray(series.to_numpy())
    return values if values.dtype == np.float64 else values.astype(np.float64)


def _text_of(series: nw.Series[Any]) -> NDArray[Any]:
    """Strings as objects; equal ones are one object, so that a million rows of ten categories cost 8 MB."""
    found, labels = _series_codes(series)
    return np.array([*labels, None], dtype=object)[found]


def _from_list(values: Any) -> NDArray[Any]:
    """Array of a list: float64 where every entry is a number or missing, else objects."""
    items = list(values)
    if all(v is None or isinstance(v, int | float | np.number | np.bool_) for v in items):
        return np.array([np.nan if v is None else _float(v) for v in items], dtype=np.float64)
    return _objects(items)


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number beyond every float
        return math.inf if value > 0 else -math.inf


def _objects(items: Sequence[Any]) -> NDArray[Any]:
    result = np.empty(len(items), dtype=object)
    result[:] = [None if _is_missing(v) else v for v in items]
    return result


def _is_missing(value: Any) -> bool:
    """Whether `value` is None, NaN, NaT or pandas' NA."""
    if value is None or isinstance(value, str):
        return value is None
    try:
        return bool(value != value)  # noqa: PLR0124 - the test for NaN that works for every type
    except (TypeError, ValueError):
        return type(value).__name__ == "NAType"


def _numpy_column(values: NDArray[Any]) -> NDArray[Any]:
    """Normalise the dtype of a numpy array."""
    kind = values.dtype.kind
    if kind in "fiub":
        return values if values.dtype == np.float64 else values.astype(np.float64)
    if kind == "M":
        return values.astype("datetime64[us]")
    if kind == "m":
        seconds = values.astype("timedelta64[us]").astype(np.float64) / 1e6
        return np.where(np.isnat(values), np.nan, seconds)
    if kind in "US":
        return values.astype(object)
    if kind == "O" and values.ndim == 1:
        return _from_list(values)
    return values


def _numbers_among(found: NDArray[Any], name: str) -> FloatArray:
    """Objects as float64 where each one is a number or missing (such as decimals).

    Raises
    ------
    DataError
        The first entry that is no number, with its row.
    """
    if found.dtype == object:
        for row, value in enumerate(found, start=1):
            if isinstance(value, str) or not hasattr(value, "__float__"):
                if value is None:
                    continue
                raise DataError(
                    f"{value!r} is no number; convert the column to numbers", column=name, row=row
                )
        return np.array([np.nan if v is None else _float(v) for v in found], dtype=np.float64)
    raise DataError(
        f"values of type {found.dtype} are no numbers; convert the column to numbers", column=name
    )
