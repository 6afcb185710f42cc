"""Tables of any library at the border; numpy columns inside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from aihub.types import FloatArray


def columns(table: Any, *, only: Sequence[str] | None = None) -> Mapping[str, NDArray[Any]]:
    """Columns of `table` by name, converted when first asked for.

    Numbers and booleans are float64 (missing is NaN; float64 without nulls is not copied), time stamps
    ``datetime64[us]`` in UTC, everything else an object array with None for missing.
    """
    raise NotImplementedError


def column_names(table: Any) -> tuple[str, ...]:
    """Names of the columns, in order."""
    raise NotImplementedError


def n_rows(table: Any) -> int:
    """Rows of `table`."""
    raise NotImplementedError


def select(table: Any, names: Sequence[str]) -> Any:
    """Return `table` with just the columns `names`, in that order, in its own library."""
    raise NotImplementedError


def floats(values: Any, name: str = "values") -> FloatArray:
    """Any one-dimensional array, series or list as float64 of shape (n,); missing is NaN.

    Raises
    ------
    DataError
        Not one-dimensional or not numeric.
    """
    raise NotImplementedError


def timestamps_utc(values: Any, name: str = "timestamp") -> NDArray[np.datetime64]:
    """Any array or series of time stamps (naive means UTC) as ``datetime64[us]``."""
    raise NotImplementedError
