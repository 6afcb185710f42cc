"""What a detector looks at: the row itself, the calendar, and how the row differs from its own past.

Nothing looks ahead: a feature of a row uses the row and earlier rows only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aihub.training.anomaly.past import Grid, Pace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from aihub.training.algorithms.base import Matrix
    from aihub.training.anomaly.clock import Clock
    from aihub.training.anomaly.table import Columns, Rows
    from aihub.types import FloatArray

_CLIP = 100.0
DEVIATIONS = 12
"""Cells, the row's own included, whose deviations a feature looks at."""
_UNSIGNED = (", size", "unmoved")
CALENDAR = ("hour", "day_of_week", "kind_of_day", "holiday")
"""Features that `Clock` gives."""


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

    def take(self, names: tuple[str, ...]) -> FeatureTable:
        """Return these features, in this order."""
        at = [self.names.index(name) for name in names]
        codes = tuple(new for new, old in enumerate(at) if old in self.categorical)
        return FeatureTable(names, np.ascontiguousarray(self.x[:, at]), codes)

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


@dataclass(frozen=True)
class Deviation:
    """How far a column is from what is expected of it, shape (n,) each, NaN where nothing is expected.

    Attributes
    ----------
    error
        Value minus expectation in the column's typical scale.
    scale
        That scale, in the column's unit.
    level
        What was expected, in the column's unit and never 0; None for a column that has no natural zero, such as a
        temperature, of which a share means nothing.
    """

    error: FloatArray
    scale: FloatArray
    level: FloatArray | None


def labelled_features(
    rows: Rows,
    columns: Columns,
    pace: Pace,
    clock: Clock,
    deviations: Mapping[str, Deviation],
    *,
    at: NDArray[np.int64] | None = None,
) -> FeatureTable:
    """Features for a classifier: values, calendar, and each number against its own past day.

    Per numeric column: its difference from the trailing median, from the row before, from a day (season) before, and from
    what is usual at this time (the median of the last seven days or of the last weeks at this weekday, whichever is
    nearer); sizes of the last and of the change in what is typical lately; and for how many rows it has not moved. Per
    entry of `deviations`: sizes of the error and of its recent mean, the same as a share of the level, and how far the
    row is from any of the last days. With `at` (ascending, shape (m,)) only of these rows; deviations are needed of the
    `DEVIATIONS` cells that end with each.
    """
    some = rows if at is None else rows.take(at)
    named: dict[str, FloatArray] = {
        name: some.values[name] for name in (*columns.numeric, *columns.categorical)
    }
    if columns.timestamp is not None:
        grid = Grid.of(rows, pace)
        grid = grid if at is None else grid.asking(at)
        named |= clock.features(some.times)
        for name in columns.numeric:
            found = _against_past(name, rows.values[name], grid, pace)
            # Beside an expectation the signed differences only offer a tree coincidences of the few anomalies it knows.
            named |= {
                key: value
                for key, value in found.items()
                if name not in deviations or key.endswith(_UNSIGNED)
            }
        for name, deviation in deviations.items():
            named |= _against_expected(name, rows.values[name], deviation, grid, pace)
    return _stack(named, len(some), tuple(columns.categorical))


def relative_names(
    features: FeatureTable, columns: Columns, deviations: Mapping[str, Deviation]
) -> tuple[str, ...]:
    """Names of `labelled_features` without the calendar and without the values of columns that have a deviation.

    What is left says how unusual a row is and nothing of when it is or of what size, so that a tree cannot learn the
    months and levels at which the few anomalies of the training time happened to be.
    """
    told = {*deviations, *CALENDAR} if deviations else set()
    return tuple(name for name in features.names if name not in told or name in columns.categorical)


def _against_expected(
    name: str, value: FloatArray, deviation: Deviation, grid: Grid, pace: Pace
) -> dict[str, FloatArray]:
    every = _near(grid, DEVIATIONS)
    error = np.clip(deviation.error, -_CLIP, _CLIP)
    lately = grid.mean(grid.spread(error), 6)
    found = {
        f"{name}: from expected, size": grid.of_asked(np.abs(deviation.error)),
        f"{name}: from expected, size of recent mean": np.abs(lately),
    }
    if deviation.level is None:
        return found
    share = np.clip(deviation.error * deviation.scale / deviation.level, -_CLIP, _CLIP)
    level = every.of_asked(deviation.level)
    near = np.clip(_from_any_day(value, deviation, every, pace) / level, -_CLIP, _CLIP)
    dense, dense_near = grid.spread(share), every.spread_asked(near)
    return found | {
        f"{name}: share from expected, size": grid.of_asked(np.abs(share)),
        f"{name}: share from expected, size of mean of 6": np.abs(grid.mean(dense, 6)),
        f"{name}: share from expected, size of mean of 12": np.abs(grid.mean(dense, 12)),
        f"{name}: share from expected, least of 4": _least(grid.of_asked(share), dense, grid),
        f"{name}: share from any recent day, size": np.abs(_again(near, every, grid)),
        f"{name}: share from any recent day, size of mean of 6": np.abs(grid.mean(dense_near, 6)),
        f"{name}: share from any recent day, mean size of 12": grid.mean(np.abs(dense_near), 12),
    }


def _near(grid: Grid, steps: int) -> Grid:
    """Return the grid that also answers for the rows in the `steps` cells up to those that are asked for."""
    return grid if grid.asked is None else grid.asking(grid.within(grid.asked, steps))


def _again(values: FloatArray, every: Grid, grid: Grid) -> FloatArray:
    """Return of values of the rows of `every` those of the rows of `grid`, which are some of them."""
    if every.asked is None or grid.asked is None:
        return values
    return values[np.searchsorted(every.asked, grid.asked)]


def _from_any_day(value: FloatArray, deviation: Deviation, grid: Grid, pace: Pace) -> FloatArray:
    """Smallest difference, in the column's unit, from what is expected and from this time on the days 2 to 8 ago.

    A holiday on a Thursday is a Sunday come early, and no anomaly. Yesterday does not count: it may be part of the same
    disturbance.
    """
    dense = grid.spread(value)
    lags = range(2, 9 if pace.weeks else 3)
    value = grid.of_asked(value)
    expected = grid.of_asked(deviation.error * deviation.scale)
    differences = np.stack([expected, *(value - grid.ago(dense, lag * pace.season) for lag in lags)])
    sizes = np.where(np.isnan(differences), np.inf, np.abs(differences))
    nearest: FloatArray = np.take_along_axis(differences, sizes.argmin(axis=0)[None], axis=0)[0]
    return nearest


def _least(share: FloatArray, dense: FloatArray, grid: Grid) -> FloatArray:
    """Smallest size among this and the three rows before, 0 where they differ in sign: what lasts, and no spike."""
    four = np.stack([share, *(grid.ago(dense, steps) for steps in (1, 2, 3))])
    four = np.where(np.isnan(four), share, four)
    lasting = np.where((four > 0).all(axis=0) | (four < 0).all(axis=0), np.abs(four).min(axis=0), 0.0)
    return np.where(np.isnan(share), np.nan, lasting)


def _against_past(name: str, value: FloatArray, grid: Grid, pace: Pace) -> dict[str, FloatArray]:
    dense = grid.spread(value)
    week = 7 * pace.season if pace.weeks else pace.season
    every = _near(grid, week + 1)
    all_values = every.of_asked(value)
    all_changes = all_values - every.ago(dense, 1)
    all_then = _nearer(
        all_values - every.same_time(dense, pace), all_values - every.same_weekday(dense, pace)
    )
    value, change, then = (_again(one, every, grid) for one in (all_values, all_changes, all_then))
    usual = grid.median(dense, pace.season)
    recent = grid.mean(every.spread_asked(all_then), 6)
    floor = 1e-6 * np.maximum(np.abs(value), 1e-6)
    typical = np.maximum(grid.median(every.spread_asked(np.abs(all_then)), week), floor)
    typical_change = np.maximum(grid.median(every.spread_asked(np.abs(all_changes)), week), floor)
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
    rows: Rows,
    columns: Columns,
    pace: Pace,
    clock: Clock,
    scale: FloatArray,
    *,
    is_slow: bool = False,
    at: NDArray[np.int64] | None = None,
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
    at
        Rows for which they are wanted, ascending, shape (m,), and `scale` with them; None means all.
    """
    if columns.watched is None:
        raise ValueError("an expectation needs a watched column")
    grid = Grid.of(rows, pace)
    grid = grid if at is None else grid.asking(at)
    some = rows if at is None else rows.take(at)
    dense = grid.spread(rows.values[columns.watched])
    season, hour = pace.season, pace.hour
    level = grid.median(dense, 7 * season if is_slow and pace.weeks else season, until=hour)
    named = {name: some.values[name] for name in (*columns.numeric, *columns.categorical)}
    named |= clock.features(some.times)
    named["a season ago"] = (grid.ago(dense, season) - level) / scale
    named["usual at this time"] = (grid.same_time(dense, pace) - level) / scale
    named["around a season ago"] = (grid.mean(dense, 3, until=max(season - 1, 1)) - level) / scale
    if pace.weeks:
        named["a week ago"] = (grid.ago(dense, 7 * season) - level) / scale
        named["usual at this weekday"] = (grid.same_weekday(dense, pace) - level) / scale
    for name in columns.numeric:
        named[f"{name}: day's median"] = grid.median(grid.spread(rows.values[name]), season, until=0)
    return Expectation(_stack(named, len(some), tuple(columns.categorical)), level)
