"""Fitting a forecaster to rows of which every one may be learned from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import time
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.errors import DataError
from aihub.training.algorithms import ALGORITHMS
from aihub.training.forecast import recipe
from aihub.training.forecast.calendar import Calendar
from aihub.training.forecast.codec import Codec
from aihub.training.forecast.conformal import Band, calibrate
from aihub.training.forecast.ensemble import POINT, QUANTILES, Ensemble, Fitter, best_share
from aihub.training.forecast.features import TARGET, Design, FeatureBuilder, FeatureSpec, Rows
from aihub.training.forecast.forecaster import Forecaster, least_value, typical_size
from aihub.training.forecast.history import tail
from aihub.training.forecast.layout import Layout, layout_for
from aihub.training.forecast.origins import Issue, origin_steps, training_pairs
from aihub.training.forecast.panel import Panel, Table, panel_of

if TYPE_CHECKING:
    import polars as pl

    from aihub.training.config import TrainingConfig
    from aihub.training.data import PreparedTable
    from aihub.training.forecast.conformal import Calibration
    from aihub.training.forecast.panel import IntArray
    from aihub.training.progress import Watch
    from aihub.types import FloatArray

_DAY_S = 86_400
MIN_ROWS = 40
"""Training rows that a forecaster needs at least."""
CALIBRATION_SHARE = 0.2
CALIBRATION_DAYS = 84
"""The last fifth of the training rows, at most twelve weeks, calibrates the intervals."""


@dataclass(frozen=True)
class TrainingRows:
    """Rows to learn from.

    Attributes
    ----------
    rows
        Series, origin and step, in order of step.
    design
        Their matrix.
    target
        In units of the series' scale, float64 ``(n,)``; none is missing.
    """

    rows: Rows
    design: Design
    target: FloatArray

    def take(self, which: Any) -> TrainingRows:
        """Return the rows at `which`."""
        design = Design(self.design.x[which], self.design.names, self.design.base[which])
        return TrainingRows(self.rows.take(which), design, self.target[which])


@dataclass(frozen=True)
class Plan:
    """Everything that is decided before the first tree is grown."""

    codec: Codec
    layout: Layout
    spec: FeatureSpec
    issues: tuple[Issue, ...]
    scale: FloatArray
    least: FloatArray
    table: Table


def plan_for(config: TrainingConfig, table: PreparedTable, train: pl.DataFrame) -> Plan:
    """Decide on grid, seasons and features. Of the rows after `train`, only the time stamps are looked at.

    Raises
    ------
    DataError
        The longest series is too short for the horizon.
    """
    codec = codec_for(config, table, train)
    rows = codec.table(train, what=f"file {str(table.path)!r}", target=True)
    every = codec.table(table.frame.select(_keys(config)), what="the file", target=False, features=False)
    count = len(codec.series)
    panel = panel_of([rows], count, (TARGET,))
    horizon = config.horizon_steps(table.frequency)
    lags = () if config.lags == "auto" else tuple(config.lags)
    layout = layout_for(table.frequency, horizon, lags=lags, rows=int(panel.length.max()))
    needed = 3 * layout.short + 2 * horizon
    if int(panel.length.max()) < needed:
        raise DataError(
            f"the longest series has {int(panel.length.max())} steps to learn from; a horizon of {horizon} steps needs "
            f"{needed} at least. Send more history or shorten the horizon.",
            file=str(table.path),
            column=config.target,
        )
    known = codec.numbers if config.known_future is None else tuple(config.known_future)
    spec = FeatureSpec(
        known=tuple(name for name in codec.numbers if name in known),
        unknown=tuple(name for name in codec.numbers if name not in known),
        categories=tuple(name for name in codec.words if config.known_future is None or name in known),
        series=count,
        has_holidays=config.calendar is not None,
    )
    each = [panel.columns[TARGET][b : b + n] for b, n in zip(panel.base, panel.length, strict=True)]
    scale = np.array([typical_size(one) for one in each])
    least = np.array([least_value(one) for one in each])
    return Plan(codec, layout, spec, _issues(codec, every, count), scale, least, rows)


def codec_for(config: TrainingConfig, table: PreparedTable, train: pl.DataFrame) -> Codec:
    """Learn the grid, the series and the words."""
    import polars as pl  # noqa: PLC0415 - 0.1 s that only training and prediction pay

    step_s = int(table.frequency.total_seconds())
    stamps = table.frame.get_column(table.timestamp)
    clock = clock_of(stamps, step_s, table.time_zone)
    wall = stamps.dt.convert_time_zone(clock).dt.replace_time_zone(None)
    first = int(wall.dt.epoch("s").min())  # type: ignore[arg-type] # there are rows
    words = {
        name: tuple(sorted(train.get_column(name).drop_nulls().unique().to_list()))
        for name in table.features
        if train.schema[name] == pl.String
    }
    return Codec(
        config=config,
        step_s=step_s,
        offset_s=first % step_s,
        series=table.series or ("",),
        words=words,
        numbers=tuple(name for name in table.features if name not in words),
        zone=table.time_zone,
        clock=clock,
    )


def clock_of(stamps: pl.Series, step_s: int, zone: str) -> str:
    """Zone on whose clock rows of whole days are counted: `zone` where they keep to its time of day, else UTC."""
    if step_s % _DAY_S or zone == "UTC":
        return "UTC"
    local, utc = stamps.dt.convert_time_zone(zone).dt.time(), stamps.dt.convert_time_zone("UTC").dt.time()
    if local.n_unique() != utc.n_unique():
        return zone if local.n_unique() < utc.n_unique() else "UTC"
    # No clock change among the rows: midnight says whose days they are.
    return "UTC" if (utc == time()).all() and not (local == time()).any() else zone


def training_rows(plan: Plan, panel: Panel) -> TrainingRows:
    """Rows of every issue time, with the features that were known then; whole origins are left out where there are many.

    The panel must hold no row after the split, so that nothing of it can be learned.
    """
    pieces = []
    for at, (start, length, issue) in enumerate(zip(panel.start, panel.length, plan.issues, strict=True)):
        if length:
            pieces.append(_pairs(plan, at, int(start), int(length), issue))
    rows = Rows(*(np.concatenate(parts) for parts in zip(*pieces, strict=True)))
    target = panel.gather(panel.columns[TARGET], rows.series, rows.step)
    rows, target = _thin(rows, target, np.isfinite(target))
    builder = FeatureBuilder(panel, _calendar(plan, panel), plan.layout, plan.spec)
    design = builder.design(rows)
    usable = np.flatnonzero(np.isfinite(design.base))
    order = usable[np.lexsort((rows.series[usable], rows.origin[usable], rows.step[usable]))]
    return TrainingRows(rows, design, target).take(order)


def _pairs(
    plan: Plan, series: int, start: int, length: int, issue: Issue
) -> tuple[IntArray, IntArray, IntArray]:
    layout = plan.layout
    # Room before the series, so that its first rows know when their block began.
    pad = 2 * max(layout.horizon, layout.short) if layout.is_sub_daily else 0
    calendar = Calendar(start - pad, length + pad, layout.step_s, plan.codec.offset_s, plan.codec.step_zone)
    _, latest = origin_steps(calendar, layout, issue)
    origin, step = training_pairs(latest, calendar.first, layout)
    inside = origin >= start
    return np.full(int(inside.sum()), series, dtype=np.int64), origin[inside], step[inside]


def _thin(rows: Rows, target: FloatArray, known: Any) -> tuple[Rows, FloatArray]:
    """Drop rows without a target, and whole origins evenly where more than `recipe.MAX_ROWS` are left."""
    which = np.flatnonzero(known)
    if len(which) > recipe.MAX_ROWS:
        every = -(-len(which) // recipe.MAX_ROWS)
        _, number = np.unique(np.stack([rows.series[which], rows.origin[which]]), axis=1, return_inverse=True)
        # Counted from the newest origin back: the latest one is always learned from.
        which = which[(number.max() - number) % every == 0]
    return rows.take(which), target[which]


def _calendar(plan: Plan, panel: Panel) -> Calendar:
    used = panel.length > 0
    pad = plan.layout.long + 2 * max(plan.layout.horizon, plan.layout.short)
    first = int(panel.start[used].min()) - pad
    last = int((panel.start + panel.length)[used].max()) + pad
    return Calendar(
        first,
        last - first,
        plan.layout.step_s,
        plan.codec.offset_s,
        plan.codec.step_zone,
        plan.codec.config.calendar,
    )


def _issues(codec: Codec, every: Table, count: int) -> tuple[Issue, ...]:
    """Each series is forecast at the time of day at which its data ends."""
    last = np.full(count, np.iinfo(np.int64).min)
    np.maximum.at(last, every.series, every.step)
    issues: list[Issue | None] = []
    for step in last.tolist():
        if step == np.iinfo(np.int64).min:
            issues.append(None)
            continue
        calendar = Calendar(step + 1, 1, codec.step_s, codec.offset_s, codec.step_zone)
        issues.append(Issue(int(calendar.minute[0]), step + 1))
    some = next(issue for issue in issues if issue is not None)
    return tuple(issue or some for issue in issues)


def _keys(config: TrainingConfig) -> list[str]:
    return [config.timestamp, *(() if config.series_id is None else (config.series_id,))]


@dataclass(frozen=True)
class Fitted:
    """A forecaster and what is known about its training."""

    forecaster: Forecaster
    notes: tuple[str, ...]
    training: TrainingRows


def fit_forecaster(
    config: TrainingConfig, table: PreparedTable, train: pl.DataFrame, *, watch: Watch
) -> Fitted:
    """Fit to `train`, rows of `table` before some moment; its last part calibrates the intervals.

    Two quantile models and a first pair of point models learn from the rows before the calibration part, the intervals are
    calibrated on that part, and the final pair of point models learns from all rows.

    Raises
    ------
    DataError
        Too few rows.
    ConfigError
        A hyperparameter that the algorithm does not take.
    StoppedError
        Somebody asked the work to stop.
    """
    algorithm = ALGORITHMS.get(config.algorithm)
    given = algorithm.check(config.hyperparameters)
    watch(0.0)
    plan = plan_for(config, table, train)
    rows = training_rows(plan, scaled_panel(plan))
    if len(rows.target) < MIN_ROWS:
        raise DataError(
            f"{len(rows.target)} rows have a target and a known value before their forecast origin; {MIN_ROWS} are needed. "
            "Send more history or shorten the horizon.",
            file=str(table.path),
            column=config.target,
        )
    fitter = Fitter(
        algorithm=algorithm,
        params=recipe.point_settings(algorithm, given, len(rows.target)),
        quantile_params=recipe.quantile_settings(algorithm, given, len(rows.target)),
        loss=config.loss,
        categorical=plan.spec.categorical,
        seed=config.seed,
        threads=config.threads,
    )
    watch(0.05)
    ensemble, calibration, notes = _fit_all(fitter, rows, plan.layout, watch)
    history = _history(plan, table)
    forecaster = Forecaster(
        config=config,
        codec=plan.codec,
        layout=plan.layout,
        spec=plan.spec,
        scale=plan.scale,
        least=plan.least,
        issues=plan.issues,
        ensemble=ensemble,
        calibration=calibration,
        history=history,
        trained_until=int(plan.table.step.max()),
    )
    return Fitted(forecaster, (*_lag_notes(plan.layout), *notes), rows)


def scaled_panel(plan: Plan) -> Panel:
    """Panel of the training rows; the target in units of its series' scale."""
    panel = panel_of([plan.table], len(plan.codec.series), (TARGET, *plan.spec.columns))
    panel.columns[TARGET] = panel.columns[TARGET] / np.repeat(plan.scale, panel.length)
    return panel


def _fit_all(
    fitter: Fitter, rows: TrainingRows, layout: Layout, watch: Watch
) -> tuple[Ensemble, Calibration, list[str]]:
    early, late = split_calibration(rows, layout)
    stages = ((POINT + QUANTILES, early, "calibrating", 0.05), (POINT, rows, "training", 0.6))
    fitted: list[dict[str, Any]] = []
    for names, part, stage, low in stages:
        width = (0.6 - 0.05 if stage == "calibrating" else 0.4) / len(names)
        fitted.append(
            {
                name: fitter.fit(
                    name,
                    part.design,
                    part.target,
                    watch.part(stage, low + width * at, low + width * (at + 1)),
                )
                for at, name in enumerate(names)
            }
        )
    first, final = fitted
    threads = fitter.threads
    level = first["level"].predict(late.design.x, threads=threads)
    change = late.design.base + first["change"].predict(late.design.x, threads=threads)
    trial = Ensemble(first, best_share(level, change, late.target))
    point = trial.point(late.design, threads=threads)
    band: Band = trial.band(late.design, point, threads=threads)
    notes = []
    if len(late.target) < 200:  # noqa: PLR2004 - below, a 90 % interval rests on fewer than ten rows a side
        notes.append(
            f"the intervals are calibrated on {len(late.target)} rows only; send more history for better ones"
        )
    boosters = {**final, "lower": first["lower"], "upper": first["upper"]}
    return Ensemble(boosters, trial.change_share), calibrate(late.target - point, band), notes


def split_calibration(rows: TrainingRows, layout: Layout) -> tuple[TrainingRows, TrainingRows]:
    """Rows to fit, and the last ones of each series to calibrate with, issued when the targets of the others were known."""
    series, step = rows.rows.series, rows.rows.step
    count = int(series.max()) + 1
    first, last = np.full(count, np.iinfo(np.int64).max), np.full(count, np.iinfo(np.int64).min)
    np.minimum.at(first, series, step)
    np.maximum.at(last, series, step)
    seen = last >= first
    span = np.zeros(count, dtype=np.int64)
    span[seen] = np.minimum((last - first)[seen] * CALIBRATION_SHARE, CALIBRATION_DAYS * layout.steps(24))
    cut = (last - span)[series]
    late = np.flatnonzero(rows.rows.origin >= cut)
    early = np.flatnonzero(step <= cut)
    if len(late) < MIN_ROWS // 2:
        late = np.flatnonzero(step > cut)
    return rows.take(early), rows.take(late)


def _history(plan: Plan, table: PreparedTable) -> Table:
    """Rows of the whole table from some weeks before the end of the training rows."""
    every = plan.codec.table(table.frame, what="the file", target=True)
    split = int(plan.table.step.max()) + 1
    return tail(every, split, plan.layout, len(plan.codec.series))


def _lag_notes(layout: Layout) -> list[str]:
    short = [lag for lag in layout.lags if lag < layout.horizon]
    if not short:
        return []
    return [
        (
            f"lags {', '.join(map(str, short))} are shorter than the horizon of {layout.horizon} steps: they are known, "
            "and used, only for rows at most that far after the forecast origin"
        )
    ]
