"""Forecasting rows: which origin each has, and how rows beyond the horizon are reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aihub.errors import DataError
from aihub.training.forecast.calendar import Calendar
from aihub.training.forecast.conformal import Band
from aihub.training.forecast.features import TARGET, FeatureBuilder, FeatureSpec, Rows
from aihub.training.forecast.origins import Issue, blocks, origin_steps
from aihub.training.forecast.panel import Panel

if TYPE_CHECKING:
    from aihub.training.forecast.ensemble import Ensemble
    from aihub.training.forecast.layout import Layout
    from aihub.training.forecast.panel import IntArray
    from aihub.types import FloatArray

MAX_BLOCKS = 1_500
"""Blocks that a forecast may step ahead on its own predictions: four years of days."""


@dataclass(frozen=True)
class Answer:
    """Forecast of rows, in units of the series' scale.

    Attributes
    ----------
    point
        Float64 ``(n,)``.
    band
        Raw width of both sides; grows with the square root of the blocks stepped ahead.
    rows
        The rows with the origin that they were forecast from.
    """

    point: FloatArray
    band: Band
    rows: Rows


@dataclass(frozen=True)
class Path:
    """Everything that forecasting rows needs beside the rows.

    Attributes
    ----------
    panel
        Known target (scaled) and features over a grid that holds every row asked for.
    issues
        Per series of the panel.
    """

    panel: Panel
    layout: Layout
    spec: FeatureSpec
    issues: tuple[Issue, ...]
    offset_s: int
    zone: str
    country: str | None

    def calendar(self) -> Calendar:
        """Calendar over the panel, with room before it for the block that its first rows are in."""
        used = self.panel.length > 0
        pad = 2 * max(self.layout.horizon, self.layout.short) + self.layout.long
        first = int(self.panel.start[used].min()) - pad
        last = int((self.panel.start + self.panel.length)[used].max()) + pad
        return Calendar(first, last - first, self.layout.step_s, self.offset_s, self.zone, self.country)

    def rows(self, series: IntArray, step: IntArray) -> Rows:
        """Return each (series, step) with the origin that it is forecast from."""
        return Rows(series, plan_of(self, self.calendar(), series, step).origin, step)

    def forecast(self, series: IntArray, step: IntArray, ensemble: Ensemble, *, threads: int) -> Answer:
        """Forecast each (series, step)."""
        calendar = self.calendar()
        plan = plan_of(self, calendar, series, step)
        point, below, above = (np.full(len(step), np.nan) for _ in range(3))
        origin = np.array(plan.origin)
        direct = np.flatnonzero(plan.block == 0)
        self.fill(
            calendar,
            Rows(series, origin, step),
            direct,
            ensemble=ensemble,
            threads=threads,
            out=(point, below, above),
        )
        if len(direct) < len(step):
            _step_ahead(self, calendar, plan, ensemble=ensemble, threads=threads, out=(point, below, above))
        return Answer(point, Band(below, above), Rows(series, origin, step))

    def fill(
        self,
        calendar: Calendar,
        rows: Rows,
        which: IntArray,
        *,
        ensemble: Ensemble,
        threads: int,
        out: tuple[FloatArray, FloatArray, FloatArray],
    ) -> None:
        """Write point, width below and width above of the rows at `which` into `out`."""
        builder = FeatureBuilder(self.panel, calendar, self.layout, self.spec)
        design = builder.design(rows.take(which))
        point = ensemble.point(design, threads=threads)
        band = ensemble.band(design, point, threads=threads)
        for target, values in zip(out, (point, band.below, band.above), strict=True):
            target[which] = values


@dataclass(frozen=True)
class Plan:
    """Per row: series, step, origin, and how many blocks after the known target it lies (0: forecast directly)."""

    series: IntArray
    step: IntArray
    origin: IntArray
    block: IntArray
    known_end: IntArray


def known_ends(panel: Panel) -> IntArray:
    """Last step with a known target per series; the step before its first where none is known."""
    ends = panel.start - 1
    series, step = panel.rows()
    known = np.isfinite(panel.columns[TARGET])
    np.maximum.at(ends, series[known], step[known])
    return ends


def plan_of(path: Path, calendar: Calendar, series: IntArray, step: IntArray) -> Plan:
    """Return from when each (series, step) is forecast, and how many blocks it lies behind the known target.

    Raises
    ------
    DataError
        A row lies more than `MAX_BLOCKS` blocks ahead.
    """
    ends = known_ends(path.panel)
    origin, block = np.empty_like(step), np.zeros_like(step)
    by_issue: dict[Issue, list[int]] = {}
    for one in np.unique(series):
        by_issue.setdefault(path.issues[one], []).append(int(one))
    for issue, members in by_issue.items():
        which = np.flatnonzero(np.isin(series, members))
        served, latest = origin_steps(calendar, path.layout, issue)
        at = step[which] - calendar.first
        end = ends[series[which]]
        origin[which] = served[at]
        is_after = step[which] > end
        if not is_after.any():
            continue
        after, at, end = which[is_after], at[is_after], end[is_after]
        last = end if not path.layout.is_sub_daily else latest[end + 1 - calendar.first]
        block[after], origins = _blocks_after(
            path.layout, blocks(calendar, path.layout, issue), at, last - calendar.first
        )
        origin[after] = origins + calendar.first
    if len(block) and int(block.max()) > MAX_BLOCKS:
        raise DataError(
            f"a row lies {int(block.max())} forecasts of {path.layout.horizon} steps after the last known target. "
            "Pass newer history."
        )
    return Plan(series, step, origin, block, ends)


def _blocks_after(
    layout: Layout, number: IntArray, at: IntArray, last: IntArray
) -> tuple[IntArray, IntArray]:
    """Blocks ahead and origin of rows at `at` when the last usable origin is `last` (all indices of the calendar)."""
    if not layout.days_ahead:
        ahead = (at - last - 1) // layout.horizon
        return ahead, last + ahead * layout.horizon
    begin = number[last + 1]
    ahead = (number[at] - begin) // layout.days_ahead
    return ahead, np.searchsorted(number, begin + ahead * layout.days_ahead, side="left") - 1


def _step_ahead(
    path: Path,
    calendar: Calendar,
    plan: Plan,
    *,
    ensemble: Ensemble,
    threads: int,
    out: tuple[FloatArray, FloatArray, FloatArray],
) -> None:
    """Forecast rows beyond the horizon block by block; what was predicted stands in for what is not known yet."""
    far = np.unique(plan.series[plan.block > 0])
    ends = plan.known_end
    highest = np.full(len(ends), np.iinfo(np.int64).min)
    np.maximum.at(highest, plan.series, plan.step)
    series = np.concatenate([np.full(highest[s] - ends[s], s, dtype=np.int64) for s in far])
    step = np.concatenate([np.arange(ends[s] + 1, highest[s] + 1, dtype=np.int64) for s in far])
    every = plan_of(path, calendar, series, step)
    values = (np.full(len(step), np.nan), np.full(len(step), np.nan), np.full(len(step), np.nan))
    y = np.array(path.panel.columns[TARGET])
    panel = Panel(path.panel.start, path.panel.length, {**path.panel.columns, TARGET: y})
    stepped = Path(panel, path.layout, path.spec, path.issues, path.offset_s, path.zone, path.country)
    for block in range(int(every.block.max()) + 1):
        which = np.flatnonzero(every.block == block)
        stepped.fill(
            calendar, Rows(series, every.origin, step), which, ensemble=ensemble, threads=threads, out=values
        )
        y[panel.base[series[which]] + step[which] - panel.start[series[which]]] = values[0][which]
    index = {(int(s), int(k)): at for at, (s, k) in enumerate(zip(series, step, strict=True))}
    rows = np.flatnonzero(plan.block > 0)
    found = np.array([index[int(plan.series[r]), int(plan.step[r])] for r in rows], dtype=np.int64)
    growth = np.sqrt(1.0 + plan.block[rows])
    for target, filled, factor in zip(out, values, (1.0, growth, growth), strict=True):
        target[rows] = filled[found] * factor
