"""One column of whatever library as an array of NumPy: numbers, texts, times, and texts as codes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import narwhals.stable.v1 as nw
import numpy as np

from aihub.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from aihub.types import FloatArray


def codes(values: Any, name: str = "values") -> tuple[NDArray[np.int64], list[str]]:
    """Category of each row as an index into the names of the categories; -1 is missing.

    Uses the dictionary where the library keeps one, else the library's own hash table: about 5 to 20 ns a row.

    Examples
    --------
    >>> [part if isinstance(part, list) else part.tolist() for part in codes(["b", "a", None, "b"])]
    [[0, 1, -1, 0], ['b', 'a']]
    """
    series = series_of(values)
    if isinstance(series, nw.Series) and is_text(series.dtype):
        return codes_of_series(series)
    index: dict[str, int] = {}
    found = [
        -1 if _is_missing(v) else index.setdefault(str(v), len(index)) for v in array(values, name).tolist()
    ]
    return np.array(found, dtype=np.int64), list(index)


def codes_of_series(series: nw.Series[Any]) -> tuple[NDArray[np.int64], list[str]]:
    """Give a series of text the numbers that `codes` gives it."""
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
    found, names = codes_of_series(series)
    numbers = np.bincount(found + 1, minlength=len(names) + 1)
    counted = zip(names, numbers[1:].tolist(), strict=True)
    return {name: count for name, count in counted if count}, int(numbers[0])


def is_text(dtype: Any) -> bool:
    """Whether a type of narwhals is text: strings, categories or an enumeration."""
    return dtype in (nw.String, nw.Categorical) or isinstance(dtype, nw.Enum)


def series_of(values: Any) -> Any:
    """Wrap a column of a library that narwhals knows; everything else stays as it is."""
    if isinstance(values, nw.Series):
        return values
    return nw.from_native(values, series_only=True, pass_through=True)


def array(values: Any, name: str = "values") -> NDArray[Any]:
    """One column as numpy: float64, ``datetime64[us]`` or object; see `aihub.validation.frames.columns`."""
    if isinstance(values, np.ma.MaskedArray):
        values = values.tolist()  # what is masked is missing
    values = series_of(values)
    if isinstance(values, nw.Series):
        dtype = values.dtype
        if dtype.is_numeric() or dtype == nw.Boolean:
            return _floats_of_series(values)
        if isinstance(dtype, nw.Datetime):
            return timestamps_utc(values, name)
        if isinstance(dtype, nw.Duration):
            return _numpy_column(values.to_numpy())
        return _text_of(values) if is_text(dtype) else _from_list(values.to_list())
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
    values = series_of(values)
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
    found, labels = codes_of_series(series)
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
