"""New actuals beside those of the week before, all series at once: where it is worth to look closer.

What is said here of a series are a few numbers; whether they mean anything is said by its memory (`quality`) and, where
they do, by a look at its last weeks (`course`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aihub.monitoring.chunks import DAY_US, HOUR_US, offsets_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aihub.monitoring.chunks import ActualRows
    from aihub.types import FloatArray


@dataclass(frozen=True, eq=False)
class Beside:
    """Rows of several series, series after series, beside the week before.

    Attributes
    ----------
    ratio
        Logarithm of value by value a week before, NaN where it is not known, shape (n,).
    step
        Size of its change from the row before in the same series, 0 where that is not known, shape (n,).
    largest
        Per series, the largest of `step`.
    lags
        Per series, sums of the difference of changes over an hour: to the week before, to what it had an hour earlier,
        and an hour later, and of these changes themselves, shape (series, 4).
    levels
        Per series, sum and count of `ratio` where it is known, shape (series, 2).
    """

    ratio: FloatArray
    step: FloatArray
    largest: FloatArray
    lags: FloatArray
    levels: FloatArray


def beside(
    rows: ActualRows, first: NDArray[np.intp], of_day: ActualRows, week_before: ActualRows
) -> Beside | None:
    """Lay rows of a day beside those of the same day a week before; None where that day has nothing.

    Parameters
    ----------
    first
        Places at which a series begins.
    of_day
        All that is known of the day.
    """
    if not len(week_before):
        return None
    then = week_before.find(rows.key)[1]
    size, usual = np.abs(rows.value), np.abs(then)
    is_told = (size > 0) & (usual > 0)
    ratio = np.log(size / np.where(is_told, usual, 1.0), where=is_told, out=np.full(size.size, np.nan))
    step = np.zeros(size.size)
    step[1:] = np.nan_to_num(np.abs(ratio[1:] - ratio[:-1]))
    step[first] = 0.0
    levels = np.add.reduceat(np.stack([np.nan_to_num(ratio), is_told]), first, axis=1).T
    lags = _lags(rows, first, of_day, week_before, then=then)
    return Beside(ratio, step, np.maximum.reduceat(step, first), lags, levels)


def _lags(
    rows: ActualRows,
    first: NDArray[np.intp],
    of_day: ActualRows,
    week_before: ActualRows,
    *,
    then: FloatArray,
) -> FloatArray:
    offset = offsets_of(rows.key)
    inside = (offset >= 2 * HOUR_US) & (offset < DAY_US - HOUR_US)
    hour = np.uint64(HOUR_US)
    key = np.where(inside, rows.key, hour + hour)
    earlier, twice, later = key - hour, key - hour - hour, key + hour
    change = rows.value - of_day.find(earlier)[1]
    one, two, next_one = (week_before.find(keys)[1] for keys in (earlier, twice, later))
    gaps = np.abs(change - np.stack([then - one, one - two, next_one - then, np.zeros(one.size)]))
    gaps[:, ~(inside & np.isfinite(gaps).all(axis=0))] = 0.0
    return np.add.reduceat(gaps, first, axis=1).T
