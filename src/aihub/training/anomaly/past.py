"""The past of every row, on one regular grid of time, so that a lag is a lag even where rows are missing."""

from __future__ import annotations

from dataclasses import dataclass
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
    """

    cells: NDArray[np.int64]
    order: NDArray[np.int64]
    size: int

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

    def ago(self, dense: FloatArray, steps: int) -> FloatArray:
        """Value of the cell `steps` before each row, NaN where there is none."""
        at = self.cells - steps
        return np.where(at >= 0, dense[np.maximum(at, 0)], np.nan)

    def median(self, dense: FloatArray, window: int, *, until: int = 1) -> FloatArray:
        """Median of the `window` cells that end `until` cells before each row (0: the row's own cell included).

        NaN where less than a twelfth of the cells hold a value.
        """
        import polars as pl  # noqa: PLC0415 - 0.1 s that `aihub --help` must not pay

        enough = max(1, window // 12)
        rolled = pl.Series(dense).fill_nan(None).rolling_median(max(window, enough), min_samples=enough)
        return self.ago(rolled.fill_null(float("nan")).to_numpy(), until)

    def mean(self, dense: FloatArray, window: int, *, until: int = 0) -> FloatArray:
        """Mean of the known values in the `window` cells that end `until` cells before each row; NaN without any.

        Each window is summed on its own: a running sum would let one huge value of the past blur all later means.
        """
        total, known = np.zeros(len(self.cells)), np.zeros(len(self.cells))
        for steps in range(until, until + window):
            value = self.ago(dense, steps)
            is_known = ~np.isnan(value)
            total[is_known] += value[is_known]
            known += is_known
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
        out = np.full(len(self.cells), np.nan)
        if lags:
            past = np.stack([self.ago(dense, lag) for lag in lags])
            known = ~np.isnan(past).all(axis=0)
            out[known] = np.nanmedian(past[:, known], axis=0)
        return out

    def run_length(self, dense: FloatArray) -> FloatArray:
        """Cells up to each row, its own included, that hold the same value without interruption."""
        same = np.concatenate(([False], dense[1:] == dense[:-1]))
        index = np.arange(self.size)
        start = np.maximum.accumulate(np.where(same, 0, index))
        return (index - start + 1)[self.cells].astype(np.float64)
