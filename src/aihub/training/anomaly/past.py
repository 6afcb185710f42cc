"""The past of every row, on one regular grid of time, so that a lag is a lag even where rows are missing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from aihub.training.anomaly.table import Rows
    from aihub.types import FloatArray

DAY_US = 86_400_000_000
_MAX_SEASON = 2_880
_MAX_LOOKBACK = 21_000
_MAX_HOUR = 60
_REGULAR_SHARE = 0.6
_JITTER = 0.1
_MIN_SEASON = 4
_FEW = 16
"""Rows for which medians are cheaper one by one."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast time passes from row to row.

    Attributes
    ----------
    step_us
        Microseconds between two rows.
    is_regular
        False: rows do not lie on a grid, and lags count rows instead of time.
    """

    step_us: int
    is_regular: bool = True

    @property
    def rows_per_day(self) -> float:
        """Rows of one day."""
        return DAY_US / self.step_us

    @property
    def season(self) -> int:
        """Rows of a day, or of a week where a day has hardly any; never more than a day of half-minutes."""
        per_day = round(self.rows_per_day)
        return min(per_day if per_day >= _MIN_SEASON else 7, _MAX_SEASON)

    @property
    def hour(self) -> int:
        """Rows of an hour, at least 1 and never more than an hour of minutes."""
        return max(1, min(round(3_600_000_000 / self.step_us), self.season // 4, _MAX_HOUR))

    @property
    def weeks(self) -> int:
        """Weeks that can be looked back to: 3, or 1 where rows are many, or 0 where a week is no more than a season."""
        if round(self.rows_per_day) < _MIN_SEASON:
            return 0
        return next((weeks for weeks in (3, 1) if (7 * weeks + 1) * self.season <= _MAX_LOOKBACK), 0)

    @property
    def lookback(self) -> int:
        """Rows of the past that one look back may need."""
        return max(7 * self.weeks + 1, 2) * self.season + self.hour

    @property
    def reach(self) -> int:
        """Rows of the past that a row's score may need: features of features look back once more."""
        return self.lookback + 7 * self.season

    def to_state(self) -> dict[str, Any]:
        """Return JSON-able values for `from_state`."""
        return {"step_us": self.step_us, "is_regular": self.is_regular}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Pace:
        """Inverse of `to_state`."""
        return cls(step_us=int(state["step_us"]), is_regular=bool(state["is_regular"]))

    @classmethod
    def of(cls, rows: Rows, step_us: int) -> Pace:
        """Tell whether most rows follow the one before after `step_us`; else lags count rows."""
        order = np.lexsort((rows.times, rows.series))
        steps = np.diff(rows.times[order])[rows.series[order][1:] == rows.series[order][:-1]]
        is_one_step = np.abs(steps / step_us - 1) < _JITTER
        return cls(step_us=step_us, is_regular=bool(not len(steps) or is_one_step.mean() >= _REGULAR_SHARE))


@dataclass(frozen=True)
class Grid:
    """Cells of time, one series after the other, far enough apart that no window reaches from one into the next.

    Attributes
    ----------
    cells
        Cell of each row, shape (n,), in the order of the rows.
    order
        Rows by series and time.
    size
        Number of cells.
    asked
        Rows whose past is asked for, ascending, shape (m,); None means all (m = n).
    """

    cells: NDArray[np.int64]
    order: NDArray[np.int64]
    size: int
    asked: NDArray[np.int64] | None = None

    @property
    def _places(self) -> NDArray[np.int64]:
        """Cells of the rows that are asked for."""
        return self.cells if self.asked is None else self.cells[self.asked]

    def asking(self, rows: NDArray[np.int64]) -> Grid:
        """Return the same grid that answers for some rows only; the past is that of all."""
        return replace(self, asked=rows)

    def within(self, rows: NDArray[np.int64], steps: int) -> NDArray[np.int64]:
        """Return the rows that lie in the `steps` cells which end with the cell of one of `rows`, ascending."""
        is_near = np.zeros(self.size + 1, dtype=np.int64)
        ends = np.unique(self.cells[rows])
        np.add.at(is_near, np.maximum(ends - steps + 1, 0), 1)
        np.add.at(is_near, ends + 1, -1)
        return np.flatnonzero(np.cumsum(is_near)[self.cells] > 0)

    @classmethod
    def of(cls, rows: Rows, pace: Pace) -> Grid:
        """Lay rows on the grid; gaps longer than the lookback are shortened to it."""
        n = len(rows)
        if not n:
            return cls(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), 0)
        order = np.lexsort((rows.times, rows.series))
        times, series = rows.times[order], rows.series[order]
        is_new = np.concatenate(([True], series[1:] != series[:-1]))
        if pace.is_regular:
            start = times[np.maximum.accumulate(np.where(is_new, np.arange(n), 0))]
            place = np.round((times - start) / pace.step_us).astype(np.int64)
            jump = np.minimum(np.diff(place, prepend=0), pace.lookback + 1)
        else:
            jump = np.ones(n, dtype=np.int64)
        jump[is_new] = pace.lookback + 1
        cells = np.empty(n, dtype=np.int64)
        cells[order] = np.cumsum(jump)
        return cls(cells, order, int(cells.max()) + 1)

    def spread(self, values: FloatArray) -> FloatArray:
        """Put one value per row into its cell; the later row wins, empty cells are NaN. Shape (size,)."""
        dense = np.full(self.size, np.nan)
        dense[self.cells[self.order]] = values[self.order]
        return dense

    def of_asked(self, values: FloatArray) -> FloatArray:
        """Return of one value per row those of the rows that are asked for."""
        return values if self.asked is None else values[self.asked]

    def spread_asked(self, values: FloatArray) -> FloatArray:
        """Do the same with one value per row that is asked for."""
        if self.asked is None:
            return self.spread(values)
        every = np.full(len(self.cells), np.nan)
        every[self.asked] = values
        return self.spread(every)

    def ago(self, dense: FloatArray, steps: int) -> FloatArray:
        """Value of the cell `steps` before each row, NaN where there is none."""
        at = self._places - steps
        return np.where(at >= 0, dense[np.maximum(at, 0)], np.nan)

    def median(self, dense: FloatArray, window: int, *, until: int = 1) -> FloatArray:
        """Median of the `window` cells that end `until` cells before each row (0: the row's own cell included).

        NaN where less than a twelfth of the cells hold a value.
        """
        enough = max(1, window // 12)
        if self.asked is not None and len(self.asked) <= _FEW:
            ends = (self._places - until + 1).tolist()
            return np.array([_middle(dense[max(end - window, 0) : max(end, 0)], enough) for end in ends])
        import polars as pl  # noqa: PLC0415 - 0.1 s that `aihub --help` must not pay

        known = pl.Series(dense, nan_to_null=True)
        rolled = known.rolling_median(max(window, enough), min_samples=enough)
        return self.ago(rolled.to_numpy(), until)

    def mean(self, dense: FloatArray, window: int, *, until: int = 0) -> FloatArray:
        """Mean of the known values in the `window` cells that end `until` cells before each row; NaN without any.

        Each window is summed on its own: a running sum would let one huge value of the past blur all later means.
        """
        total, known = np.zeros(len(self._places)), np.zeros(len(self._places))
        # Many rows step by step: all windows at once would take much memory.
        at_once = window if total.size <= _FEW else 1
        for first in range(until, until + window, at_once):
            value = self._lagged(dense, np.arange(first, first + at_once))
            is_known = ~np.isnan(value)
            total += np.where(is_known, value, 0.0).sum(axis=0)
            known += is_known.sum(axis=0)
        mean: FloatArray = np.divide(total, known, out=np.full(len(total), np.nan), where=known > 0)
        return mean

    def same_time(self, dense: FloatArray, pace: Pace) -> FloatArray:
        """Median of the values at this time of the season, over the last seven seasons (or two); NaN without any.

        A disturbance of two days does not move it.
        """
        return self._median_of(dense, [k * pace.season for k in range(1, 8 if pace.weeks else 3)])

    def same_weekday(self, dense: FloatArray, pace: Pace) -> FloatArray:
        """Median of the values at this time of this weekday, over the last weeks; NaN without any."""
        return self._median_of(dense, [7 * k * pace.season for k in range(1, pace.weeks + 1)])

    def _median_of(self, dense: FloatArray, lags: list[int]) -> FloatArray:
        if not lags:
            return np.full(len(self._places), np.nan)
        # Missing values are sorted to the end.
        past = np.sort(self._lagged(dense, np.array(lags)), axis=0)
        known = (~np.isnan(past)).sum(axis=0)
        row = np.arange(len(known))
        middle: FloatArray = (past[np.maximum(known - 1, 0) // 2, row] + past[known // 2, row]) / 2
        return middle

    def _lagged(self, dense: FloatArray, lags: NDArray[np.int64]) -> FloatArray:
        """Value of the cell each of `lags` before each row, shape (lags, rows); NaN where there is none."""
        at = self._places - lags[:, None]
        return np.where(at >= 0, dense[np.maximum(at, 0)], np.nan)

    def run_length(self, dense: FloatArray) -> FloatArray:
        """Cells up to each row, its own included, that hold the same value without interruption."""
        same = np.concatenate(([False], dense[1:] == dense[:-1]))
        index = np.arange(self.size)
        start = np.maximum.accumulate(np.where(same, 0, index))
        return (index - start + 1)[self._places].astype(np.float64)


def _middle(values: FloatArray, enough: int) -> float:
    """Median of the known values, NaN where there are not `enough`."""
    known = np.sort(values[~np.isnan(values)])
    n = len(known)
    return float((known[(n - 1) // 2] + known[n // 2]) / 2) if n >= enough else np.nan
