"""Tables of any library at the border; numpy columns inside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import narwhals.stable.v1 as nw
import numpy as np

from aihub.errors import DataError, did_you_mean
from aihub.validation.vectors import array, codes_of_series, is_text, series_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray


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
            self._held[name] = series_of(self._column(name))
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
    """Categories of some rows of a column of text, as `aihub.validation.vectors.codes` numbers them; None where its library knows of no text."""
    series = _text_at(features, name, rows)
    return None if series is None else codes_of_series(series)


def _text_at(features: Mapping[str, Any], name: str, rows: Any) -> nw.Series[Any] | None:
    if not isinstance(features, Columns):
        return None
    series = features.native(name)
    if not isinstance(series, nw.Series) or not is_text(series.dtype):
        return None
    picked: nw.Series[Any] = series[rows]
    return picked


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
