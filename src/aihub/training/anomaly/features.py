"""What a detector looks at: the row itself, the calendar, and how the row differs from its own past.

Nothing looks ahead: a feature of a row uses the row and earlier rows only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aihub.training.anomaly.past import DAY_US, Grid, Pace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from aihub.training.algorithms.base import Matrix
    from aihub.training.anomaly.table import Columns, Rows
    from aihub.types import FloatArray

_CLIP = 100.0
_UNSIGNED = (", size", "unmoved")
_MONDAY_OFFSET = 3
"""1 January 1970 was a Thursday."""


@dataclass(frozen=True)
class FeatureTable:
    """Features by name.

    Attributes
    ----------
    names
        Readable names, in the order of the columns; what an importance is reported under.
    x
        float32, shape (n, p), NaN is missing.
    categorical
        Positions of the columns that hold codes.
    """

    names: tuple[str, ...]
    x: Matrix
    categorical: tuple[int, ...]

    @property
    def safe_names(self) -> tuple[str, ...]:
        """Names that every tree library takes."""
        return tuple(f"c{position}" for position in range(len(self.names)))

    @property
    def safe_categorical(self) -> tuple[str, ...]:
        """`categorical` as safe names."""
        return tuple(f"c{position}" for position in self.categorical)


def _stack(named: dict[str, FloatArray], n: int, codes: tuple[str, ...]) -> FeatureTable:
    x = np.column_stack(list(named.values())) if named else np.empty((n, 0))
    # Beyond float32's range a value is infinite, which both libraries refuse.
    bounded: Matrix = np.clip(x, -3e38, 3e38).astype(np.float32)
    return FeatureTable(tuple(named), bounded, tuple(list(named).index(name) for name in codes))


def calendar(times: NDArray[np.int64], zone: str) -> dict[str, FloatArray]:
    """Hour of the day and day of the week (Monday is 0) in local time."""
    import polars as pl  # noqa: PLC0415 - 0.1 s that `aihub --help` must not pay

    stamps = pl.Series(times).cast(pl.Datetime("us", "UTC")).dt.convert_time_zone(zone)
    local = stamps.dt.replace_time_zone(None).cast(pl.Int64).to_numpy()
    return {
        "hour": (local % DAY_US) / 3.6e9,
        "day_of_week": ((local // DAY_US + _MONDAY_OFFSET) % 7).astype(np.float64),
    }


def labelled_features(
    rows: Rows, columns: Columns, pace: Pace, zone: str, errors: Mapping[str, FloatArray]
) -> FeatureTable:
    """Features for a classifier: values, calendar, and each number against its own past day.

    Per numeric column: its difference from the trailing median, from the row before, from a day (season) before, and from
    what is usual at this time (the median of the last seven days or of the last weeks at this weekday, whichever is
    nearer); sizes of the last and of the change in what is typical lately; and for how many rows it has not moved. Per
    entry of `errors` (differences from expected values, shape (n,) each): the difference, its size and its recent mean.
    """
    named: dict[str, FloatArray] = {
        name: rows.values[name] for name in (*columns.numeric, *columns.categorical)
    }
    if columns.timestamp is not None:
        grid = Grid.of(rows, pace)
        named |= calendar(rows.times, zone)
        for name in columns.numeric:
            found = _against_past(name, rows.values[name], grid, pace)
            # Beside an expectation the signed differences only offer a tree coincidences of the few anomalies it knows.
            named |= {
                key: value for key, value in found.items() if name not in errors or key.endswith(_UNSIGNED)
            }
        for name, error in errors.items():
            named[f"{name}: from expected, size"] = np.abs(error)
            lately = grid.mean(grid.spread(np.clip(error, -_CLIP, _CLIP)), 6)
            named[f"{name}: from expected, size of recent mean"] = np.abs(lately)
    return _stack(named, len(rows), tuple(columns.categorical))


def _against_past(name: str, value: FloatArray, grid: Grid, pace: Pace) -> dict[str, FloatArray]:
    dense = grid.spread(value)
    week = 7 * pace.season if pace.weeks else pace.season
    usual = grid.median(dense, pace.season)
    change = value - grid.ago(dense, 1)
    then = _nearer(value - grid.same_time(dense, pace), value - grid.same_weekday(dense, pace))
    recent = grid.mean(grid.spread(then), 6)
    floor = 1e-6 * np.maximum(np.abs(value), 1e-6)
    typical = np.maximum(grid.median(grid.spread(np.abs(then)), week), floor)
    typical_change = np.maximum(grid.median(grid.spread(np.abs(change)), week), floor)
    return {
        f"{name}: from usual": value - usual,
        f"{name}: change": change,
        f"{name}: from a season ago": value - grid.ago(dense, pace.season),
        f"{name}: from usual at this time": then,
        # Sizes without sign, in what is typical lately: what was learned from a rise is then known of a fall.
        f"{name}: from usual at this time, size": np.abs(then) / typical,
        f"{name}: from usual at this time, size of recent mean": np.abs(recent) / typical,
        f"{name}: change, size": np.abs(change) / typical_change,
        f"{name}: rows unmoved": np.minimum(grid.run_length(dense), pace.season),
    }


def _nearer(one: FloatArray, other: FloatArray) -> FloatArray:
    """Return the smaller of two deviations, with its sign; the known one where the other is NaN.

    After a week of holidays the last seven days are no measure, after a change of season the last weeks are none; a row
    is unusual when it is neither like the one nor like the other.
    """
    is_other = np.isnan(one) | (np.abs(other) < np.abs(one))
    return np.where(is_other & ~np.isnan(other), other, one)


@dataclass(frozen=True)
class Expectation:
    """What an expectation is learned from: features, and the level that the watched value is measured against.

    Attributes
    ----------
    level
        Trailing median of a day (or week) that ends an hour before the row, shape (n,); NaN where there is no past.
    """

    features: FeatureTable
    level: FloatArray


def expectation_features(
    rows: Rows, columns: Columns, pace: Pace, zone: str, scale: FloatArray, *, is_slow: bool = False
) -> Expectation:
    """Features from which the watched value can be expected without having seen the last hour.

    An anomaly that lasts must not become its own explanation, so that the value's past counts only as the level of the
    day until an hour ago, and as yesterday's and last week's value at this time.

    Parameters
    ----------
    scale
        Typical size of the watched value's movements, per row, shape (n,): makes series of different size alike.
    is_slow
        The level is that of the week: it does not follow a shift of a day or two, and follows the weather later.
    """
    if columns.watched is None:
        raise ValueError("an expectation needs a watched column")
    grid = Grid.of(rows, pace)
    dense = grid.spread(rows.values[columns.watched])
    season, hour = pace.season, pace.hour
    level = grid.median(dense, 7 * season if is_slow and pace.weeks else season, until=hour)
    named = {name: rows.values[name] for name in (*columns.numeric, *columns.categorical)}
    named |= calendar(rows.times, zone)
    named["a season ago"] = (grid.ago(dense, season) - level) / scale
    named["usual at this time"] = (grid.same_time(dense, pace) - level) / scale
    named["around a season ago"] = (grid.mean(dense, 3, until=max(season - 1, 1)) - level) / scale
    if pace.weeks:
        named["a week ago"] = (grid.ago(dense, 7 * season) - level) / scale
        named["usual at this weekday"] = (grid.same_weekday(dense, pace) - level) / scale
    for name in columns.numeric:
        named[f"{name}: day's median"] = grid.median(grid.spread(rows.values[name]), season, until=0)
    return Expectation(_stack(named, len(rows), tuple(columns.categorical)), level)
