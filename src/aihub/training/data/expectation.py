"""What a value should be, judged by the same time of the days and weeks around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aihub.types import FloatArray

DAYS = (1, 2, 7, 14, 21, 28)
_CHUNK_ROWS = 500_000


def expected(values: FloatArray, steps_per_day: int, days: tuple[int, ...] = DAYS) -> FloatArray:
    """Return the median of the same time some `days` before and after each row.

    A median of twelve values from both sides does not follow a fault of a few days, and does follow the season.

    Parameters
    ----------
    values
        Shape (n,), on a regular grid; missing is NaN.
    steps_per_day
        Rows of a day.
    days
        Distances in days, ascending.

    Returns
    -------
    FloatArray
        Shape (n,), same unit; NaN where none of the neighbours is known.

    Examples
    --------
    >>> expected(np.array([1.0, 2.0, 1.0, 9.0, 1.0, 2.0]), steps_per_day=2)[3]
    np.float64(2.0)
    """
    n = len(values)
    widest = days[-1] * steps_per_day
    padded = np.full(n + 2 * widest, np.nan)
    padded[widest : widest + n] = values
    result = np.empty(n)
    offsets = [sign * day * steps_per_day for day in days for sign in (-1, 1)]
    for start in range(0, n, _CHUNK_ROWS):
        stop = min(n, start + _CHUNK_ROWS)
        around = np.stack([padded[widest + start + k : widest + stop + k] for k in offsets])
        result[start:stop] = _median(around)
    return result


def _median(stack: FloatArray) -> FloatArray:
    """Median over axis 0 without the NaNs; several times faster than `numpy.nanmedian` on short, wide arrays."""
    stack = np.sort(stack, axis=0)
    known = np.sum(~np.isnan(stack), axis=0)
    low, high = np.maximum((known - 1) // 2, 0), np.maximum(known // 2, 0)
    columns = np.arange(stack.shape[1])
    middle: FloatArray = (
        stack[np.minimum(low, len(stack) - 1), columns] + stack[np.minimum(high, len(stack) - 1), columns]
    ) / 2
    middle[known == 0] = np.nan
    return middle


def runs(is_in: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the (start, stop) of each stretch of True.

    >>> runs(np.array([False, True, True, False, True]))
    [(1, 3), (4, 5)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate(([False], is_in, [False])).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def spread(values: FloatArray) -> float:
    """Return the distance between the 2.5 % and the 97.5 % quantile of the known values; 0 where there are none."""
    known = values[~np.isnan(values)]
    if not len(known):
        return 0.0
    low, high = np.quantile(known, (0.025, 0.975))
    return float(high - low)
