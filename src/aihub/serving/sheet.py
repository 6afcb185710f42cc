"""The rows of the hours to come, prepared before anybody asks: one row a step, all features but those of its own weather.

Building the features of one row through the forecaster costs milliseconds, because it lays weeks of history on a grid
first. But nearly nothing of that depends on the request. A row's features are lags and means of what was known at its
origin, and of its own values only the numbers known ahead (a temperature) enter: as themselves, in differences from
older values, and as the last member of a few windows. A sheet holds, per step after the known target, the finished
row and what those few features are computed from. `tests/unit/serving/test_forecasts.py` holds it to the forecaster.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.training.forecast.features import TARGET, FeatureBuilder, Rows
from aihub.training.forecast.panel import trailing_extreme

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aihub.training.forecast.panel import IntArray
    from aihub.training.forecast.path import Path
    from aihub.types import FloatArray


@dataclass(frozen=True)
class Share:
    """How one feature follows from its row's own value `v`.

    Attributes
    ----------
    at
        Column of the matrix.
    kind
        ``value``: v; ``change``: v - a; ``mean``: (a + v) / b, less c; ``low``, ``high``: the smaller or larger of a
        and v; ``smooth``: (a + v) / b, less c.
    a, b, c
        One number a row of the sheet.
    """

    at: int
    kind: str
    a: FloatArray
    b: FloatArray
    c: FloatArray

    def of(self, row: int, v: float) -> float:
        """Return the feature of `row` where its own value is `v`."""
        a = float(self.a[row])
        if self.kind == "value":
            return v
        if self.kind == "change":
            return v - a
        if self.kind == "low":
            return v if math.isnan(a) else min(a, v)
        if self.kind == "high":
            return v if math.isnan(a) else max(a, v)
        return (a + v) / float(self.b[row]) - float(self.c[row])


@dataclass(frozen=True)
class Sheet:
    """Prepared rows of one block of steps after the known target, all series.

    Attributes
    ----------
    first
        Number of the sheet's row that holds the first step of each series, int64 ``(s,)``; -1 where it has none.
    start, count
        First step and number of steps of each series, int64 ``(s,)``.
    x
        Float32 ``(n, p)``; own values of the request are missing from it.
    base
        See `aihub.training.forecast.features.Design`.
    origin
        Step that each row is forecast from, int64 ``(n,)``.
    shares
        By column of the request: the features that follow from its value.
    codes
        By categorical column: its place in the matrix.
    """

    first: IntArray
    start: IntArray
    count: IntArray
    x: Any
    base: FloatArray
    origin: IntArray
    shares: dict[str, tuple[Share, ...]]
    codes: dict[str, int]

    def row(self, series: int, step: int) -> int | None:
        """Row of the sheet for a step of a series; None where the sheet does not hold it."""
        ahead = step - int(self.start[series])
        if self.first[series] < 0 or not 0 <= ahead < int(self.count[series]):
            return None
        return int(self.first[series]) + ahead

    def features(self, row: int, own: dict[str, float]) -> list[float]:
        """Return the finished features of `row`; `own` holds the request's values, NaN is missing."""
        found: list[float] = self.x[row].tolist()
        at: list[int] = []
        values: list[float] = []
        for name, value in own.items():
            if math.isnan(value):
                continue
            if name in self.codes:
                at.append(self.codes[name])
                values.append(value)
                continue
            for share in self.shares.get(name, ()):
                at.append(share.at)
                values.append(share.of(row, value))
        # The trees see float32, as in training.
        for place, value in zip(at, np.array(values, dtype=np.float32).tolist(), strict=True):
            found[place] = value
        return found


def prepare(path: Path, target: FloatArray, rows: Rows, members: Sequence[int]) -> tuple[Sheet, Any]:
    """Prepare `rows` (sorted by series and step), and return their design as well.

    Parameters
    ----------
    path
        Panel that reaches to the last of `rows`.
    target
        Known target of the panel; of steps that lie behind earlier blocks, what was predicted for them.
    members
        Series in `rows`.
    """
    panel = type(path.panel)(path.panel.start, path.panel.length, {**path.panel.columns, TARGET: target})
    builder = FeatureBuilder(panel, path.calendar(), path.layout, path.spec)
    design = builder.design(rows)
    size = len(path.panel.length)
    first, start, count = (
        np.full(size, -1, dtype=np.int64),
        np.zeros(size, dtype=np.int64),
        np.zeros(size, int),
    )
    for one in members:
        found = np.flatnonzero(rows.series == one)
        if len(found):
            first[one], start[one], count[one] = found[0], rows.step[found[0]], len(found)
    places = {name: at for at, name in enumerate(design.names)}
    shares = {name: tuple(_shares(builder, rows, name, places)) for name in path.spec.known}
    codes = {name: places[name] for name in path.spec.categories}
    return Sheet(first, start, count, design.x, design.base, rows.origin, shares, codes), design


def _shares(builder: FeatureBuilder, rows: Rows, name: str, places: dict[str, int]) -> list[Share]:
    layout = builder.layout
    x = builder.column(name)
    nothing = np.zeros(len(rows))
    day_back = -(-rows.lead // layout.short) * layout.short
    week_back = -(-rows.lead // layout.long) * layout.long

    def at(values: FloatArray, step: IntArray) -> FloatArray:
        return builder.panel.gather(values, rows.series, step)

    found: list[Share] = []

    def add(suffix: str, kind: str, a: FloatArray, b: FloatArray = nothing, c: FloatArray = nothing) -> None:
        if name + suffix in places:
            found.append(Share(places[name + suffix], kind, a, b, c))

    add("", "value", nothing)
    add("_change_day", "change", at(x, rows.step - day_back))
    add("_change_week", "change", at(x, rows.step - week_back))
    day = layout.steps(24)
    if f"{name}_mean_day" in places:
        add("_mean_day", "mean", *_window(builder, rows, x, day))
        add("_mean_3_days", "mean", *_window(builder, rows, x, 3 * day))
    if f"{name}_mean_change_day" in places:
        mean = builder.derived(name, "mean", day)
        total, count = _window(builder, rows, x, day)
        add("_mean_change_day", "mean", total, count, at(mean, rows.step - day_back))
        add("_mean_change_week", "mean", total, count, at(mean, rows.step - week_back))
        add("_mean_change_origin", "mean", total, count, at(mean, rows.origin))
    if f"{name}_min_day" in places:
        add("_min_day", "low", _extreme(builder, rows, x, day, largest=False))
        add("_max_day", "high", _extreme(builder, rows, x, day, largest=True))
    for hours in (3, 12, 36, 96):
        if f"{name}_smooth_{hours}h" in places:
            half_life = hours * 3600 / layout.step_s
            total, weight = _smooth(builder, rows, x, half_life)
            add(f"_smooth_{hours}h", "smooth", total, weight)
            then = at(builder.derived(name, "smooth", half_life), rows.step - day_back)
            add(f"_smooth_{hours}h_change_day", "smooth", total, weight, then)
    return found


def _window(builder: FeatureBuilder, rows: Rows, x: FloatArray, window: int) -> tuple[FloatArray, FloatArray]:
    """Sum of the window before each row (its own value left out), and how many values there will be with it.

    The count is NaN where `trailing_mean` would find too few.
    """
    before = rows.step - 1

    def running(values: FloatArray) -> FloatArray:
        return builder.panel.per_series(values, np.cumsum)

    known = np.isfinite(x)
    total, count = running(np.where(known, x, 0.0)), running(known.astype(np.float64))

    def until(values: FloatArray, step: IntArray) -> FloatArray:
        found = builder.panel.gather(values, rows.series, step)
        return np.where(np.isnan(found), 0.0, found)

    summed = until(total, before) - until(total, rows.step - window)
    n = until(count, before) - until(count, rows.step - window) + 1
    return summed, np.where(n >= max(1, window // 2), n, np.nan)


def _extreme(builder: FeatureBuilder, rows: Rows, x: FloatArray, window: int, *, largest: bool) -> FloatArray:
    if window < 2:  # noqa: PLR2004 - the row alone
        return np.full(len(rows), np.nan)
    values = builder.panel.per_series(x, lambda one: trailing_extreme(one, window - 1, largest=largest))
    return builder.panel.gather(values, rows.series, rows.step - 1)


def _smooth(
    builder: FeatureBuilder, rows: Rows, x: FloatArray, half_life: float
) -> tuple[FloatArray, FloatArray]:
    """Weighted sum and weights of the steps before each row, as `smoothed` weighs them, its own weight of 1 included."""
    decay = 0.5 ** (1.0 / half_life)
    known = np.isfinite(x)
    here = np.isfinite(builder.panel.gather(x, rows.series, rows.step))

    def summed(values: FloatArray) -> FloatArray:
        total = builder.panel.per_series(values, lambda one: _decayed(one, decay, half_life))
        return builder.panel.gather(total, rows.series, rows.step)

    filled = np.where(known, x, 0.0)
    own = np.where(here, builder.panel.gather(filled, rows.series, rows.step), 0.0)
    return summed(filled) - own, np.maximum(summed(known.astype(np.float64)) - here + 1.0, 1e-12)


def _decayed(values: FloatArray, decay: float, half_life: float) -> FloatArray:
    total = values.copy()
    reach = 1
    while reach < 10 * half_life:
        total[reach:] += total[:-reach].copy() * decay**reach
        reach *= 2
    return total
