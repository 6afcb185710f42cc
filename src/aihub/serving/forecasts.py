"""A forecast model in memory: rows of the hours to come in tens of microseconds, everything else through the forecaster.

What is prepared (`aihub.serving.sheet`) depends on the history only. It is made anew when actuals come in, beside the
running version; requests see one state from start to end.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from aihub.errors import ConfigError, DataError, did_you_mean
from aihub.serving.answers import Answer
from aihub.serving.contract import Column, Contract, Role, Unseen
from aihub.serving.native import native_call
from aihub.serving.repairs import repaired
from aihub.serving.sheet import Sheet, prepare
from aihub.serving.stamps import micros
from aihub.training.forecast.conformal import GRID, Band
from aihub.training.forecast.features import TARGET
from aihub.training.forecast.features import Rows as Steps
from aihub.training.forecast.panel import Table, panel_of
from aihub.training.forecast.path import Answer as PathAnswer
from aihub.training.forecast.path import known_ends, plan_of
from aihub.training.frequency import MAX_HORIZON_STEPS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aihub.serving.contract import Rows
    from aihub.serving.native import NativeCall
    from aihub.training.forecast.forecaster import Forecaster
    from aihub.training.forecast.panel import IntArray
    from aihub.types import FloatArray

MAX_PREPARED_BLOCKS = 8
"""Blocks after the known target that are prepared when first asked for; rows further ahead go through the forecaster."""
MAX_PREPARED_ROWS = 4
"""Requests of more rows go through the forecaster at once, whose cost hardly grows with the rows."""
_NEVER = np.iinfo(np.int64).max // 4


@dataclass(frozen=True)
class Past:
    """Actuals that came after the training, per series: times in microseconds since 1970 UTC, and values."""

    times_us: Mapping[str, Any]
    values: Mapping[str, FloatArray]

    @property
    def size(self) -> int:
        """Number of actuals."""
        return sum(len(times) for times in self.times_us.values())


@dataclass(frozen=True)
class CompiledForecast:
    """A forecaster with its boosters as native calls.

    Attributes
    ----------
    newer
        Actuals that go over the model's own history.
    extra
        Series that only those know.
    """

    model: Forecaster
    contract: Contract
    calls: Mapping[str, NativeCall]
    quick_rows: ClassVar[int] = MAX_PREPARED_ROWS
    newer: tuple[Table, ...] = ()
    extra: tuple[str, ...] = ()
    _blocks: dict[int, _Block | None] = field(default_factory=dict, compare=False, repr=False)
    _lock: Any = field(default_factory=threading.Lock, compare=False, repr=False)

    @property
    def kind(self) -> str:
        """Kind of the artefact."""
        return self.model.kind

    @cached_property
    def _series(self) -> dict[str, int]:
        return {name: at for at, name in enumerate((*self.model.codec.series, *self.extra))}

    @cached_property
    def _codes(self) -> dict[str, dict[str, float]]:
        words = self.model.codec.words
        return {name: {word: float(code) for code, word in enumerate(known)} for name, known in words.items()}

    def with_past(self, past: Past) -> CompiledForecast:
        """Return the same version that also knows `past`; the boosters are shared."""
        codec = self.model.codec
        has_series = self.model.config.series_id is not None
        known = set(codec.series)
        extra = tuple(sorted(set(past.times_us) - known)) if has_series else ()
        index = {name: at for at, name in enumerate((*codec.series, *extra))}
        tables = []
        for name, times in past.times_us.items():
            at = index.get(name, 0) if has_series else 0
            step = codec.steps(np.asarray(times, dtype=np.int64))
            values = self._repaired(at, step, np.asarray(past.values[name], dtype=np.float64))
            tables.append(Table(np.full(len(step), at, dtype=np.int64), step, {TARGET: values}))
        newer = (_joined(tables),) if tables else ()
        return replace(self, newer=newer, extra=extra, _blocks={}, _lock=threading.Lock())

    def _repaired(self, at: int, step: IntArray, values: FloatArray) -> FloatArray:
        if self.model.config.repair == "off":
            return values
        history, step_s = self.model.history, self.model.codec.step_s
        own = history.series == at
        return repaired(step, values, history.step[own], history.columns[TARGET][own], step_s=step_s)

    def predict(self, rows: Rows, *, level: float | None = None) -> Answer:
        """Answer rows: prediction and interval at `level` (default: the config's).

        Raises
        ------
        DataError
            A stamp cannot be read, a series is unknown, or nothing is known before any row.
        ConfigError
            `level` is not between 0 and 1.
        """
        wanted = self._level(level)
        table, names, times = self._table(rows)
        quick = self._quick(table, names, times, wanted, is_building=True)
        if quick is not None:
            return quick
        path, answer, scale = self.model.answer_rows(table, list(self.newer), self.extra)
        bounds = self.model.interval_of(path, answer, wanted, is_own=not self.newer)
        lower_all, upper_all = (bound * scale for bound in bounds)
        return Answer(
            (answer.point * scale).tolist(),
            lower_all.tolist(),
            upper_all.tolist(),
            wanted,
            None,
            names,
            times.tolist(),
        )

    def prepared(self, rows: Rows, *, level: float | None = None) -> Answer | None:
        """Answer as `predict` from what lies ready; None where that would take more than microseconds."""
        wanted = self._level(level)
        return self._quick(*self._table(rows), wanted, is_building=False)

    def _quick(
        self, table: Table, names: list[str], times: IntArray, level: float, *, is_building: bool
    ) -> Answer | None:
        count = len(names)
        if not 0 < count <= MAX_PREPARED_ROWS or len(set(names)) != count:
            return None
        found = [self._prepared(table, at, level, is_building=is_building) for at in range(count)]
        if any(one is None for one in found):
            return None
        point, lower, upper = zip(*found, strict=True)
        return Answer(list(point), list(lower), list(upper), level, None, names, times.tolist())

    def forecast(
        self, horizon: int | None, *, future: Any | None = None, series: Sequence[str] | None = None
    ) -> Answer:
        """Answer the next `horizon` steps (default: the config's) of `series` (default: all); see `Forecaster.forecast`."""
        codec = self.model.codec
        frame = self.model.forecast(horizon, history=self._history_frame(), future=future, series=series)
        stamps = frame.get_column(codec.config.timestamp).dt.timestamp("us").to_list()
        name = codec.config.series_id
        names = [""] * len(stamps) if name is None else frame.get_column(name).to_list()
        return Answer(
            frame.get_column("prediction").to_list(),
            frame.get_column("lower").to_list(),
            frame.get_column("upper").to_list(),
            codec.config.interval_level,
            None,
            names,
            stamps,
        )

    def warm(self) -> None:
        """Prepare the steps that will be asked for first, so that no request has to."""
        for block in (0, 1):
            self._block(block)

    def _history_frame(self) -> Any | None:
        if not self.newer:
            return None
        import polars as pl  # noqa: PLC0415 - only whole horizons need tables

        codec, table = self.model.codec, self.newer[0]
        columns: dict[str, Any] = {codec.config.timestamp: codec.stamps(table.step)}
        if codec.config.series_id is not None:
            names = (*codec.series, *self.extra)
            columns[codec.config.series_id] = [names[at] for at in table.series.tolist()]
        return pl.DataFrame({**columns, codec.config.target: table.columns[TARGET]})

    def _level(self, level: float | None) -> float:
        wanted = self.model.config.interval_level if level is None else level
        if not 0 < wanted < 1:
            raise ConfigError(
                f"level is {wanted!r}; give a share between 0 and 1, such as 0.9.", field="level"
            )
        return wanted

    def _table(self, rows: Rows) -> tuple[Table, list[str], IntArray]:
        config, codec = self.model.config, self.model.codec
        names: list[str] = [""] * rows.count
        columns: dict[str, FloatArray] = {}
        series = np.zeros(rows.count, dtype=np.int64)
        has_series = config.series_id is not None
        if has_series:
            names = list(rows.column(1))
            series = self._series_of(names)
        times = micros(
            rows.column(0), config.stamp_zone, column=config.timestamp, series=names if has_series else [""] * rows.count
        )  # fmt: skip
        step = codec.steps(times)
        for at in range(2 if has_series else 1, len(self.contract.columns)):
            column = self.contract.columns[at]
            if column.role is Role.NUMBER:
                columns[column.name] = rows.numbers(at)
            else:
                codes = self._codes[column.name]
                columns[column.name] = np.array([codes.get(word, np.nan) for word in rows.column(at)])
        self._check_near(series, step)
        return Table(series, step, columns), names, times

    @cached_property
    def _known(self) -> tuple[IntArray, IntArray]:
        """First and last step of each series that is known; of one that is not, bounds that nothing fits."""
        count = len(self._series)
        first, last = np.full(count, _NEVER), np.full(count, -_NEVER)
        for table in (self.model.history, *self.newer):
            np.minimum.at(first, table.series, table.step)
            np.maximum.at(last, table.series, table.step)
        return first, last

    def _check_near(self, series: IntArray, step: IntArray) -> None:
        """Refuse rows that are far from all that is known: the steps between would all be laid out and forecast."""
        first, last = self._known
        is_far = (step > last[series] + MAX_HORIZON_STEPS) | (step < first[series] - MAX_HORIZON_STEPS)
        if is_far.any():
            row = int(np.argmax(is_far))
            known = last[series[row]]
            until = (
                "nothing of its series is known"
                if known < 0
                else f"its series is known until {self._stamp(int(known))}"
            )
            raise DataError(
                f"is more than {MAX_HORIZON_STEPS:,} steps from what is known ({until}). "
                "Send actuals, or train on newer data.",
                column=self.model.config.timestamp,
                row=row + 1,
            )

    def _stamp(self, step: int) -> str:
        (stamp,) = self.model.codec.stamps(np.array([step]))
        return f"{stamp:%Y-%m-%d %H:%M} UTC"

    def _series_of(self, names: Sequence[str]) -> IntArray:
        try:
            return np.array([self._series[name] for name in names], dtype=np.int64)
        except KeyError:
            row, name = next((at, one) for at, one in enumerate(names, 1) if one not in self._series)
            raise DataError(
                f"{name!r} is a series that the model has not seen.{did_you_mean(name, self._series)} "
                "Send its actuals first.",
                column=self.model.config.series_id,
                row=row,
            ) from None

    def _prepared(
        self, table: Table, at: int, level: float, *, is_building: bool
    ) -> tuple[float, float, float] | None:
        """Prediction and bounds of a row from its sheet; None where no sheet holds it, or none is there to ask."""
        series, step = int(table.series[at]), int(table.step[at])
        for block in range(MAX_PREPARED_BLOCKS):
            prepared = self._block(block) if is_building else self._blocks.get(block)
            if prepared is None or prepared.sheet.first[series] < 0:
                return None
            row = prepared.sheet.row(series, step)
            if row is not None:
                own = {name: float(values[at]) for name, values in table.columns.items()}
                return self._answer_one(prepared, row, series, own, level)
            if step < int(prepared.sheet.start[series]):
                return None
        return None

    def _answer_one(
        self, prepared: _Block, row: int, series: int, own: dict[str, float], level: float
    ) -> tuple[float, float, float]:
        sheet, model = prepared.sheet, self.model
        x = sheet.features(row, own)
        share, base = model.ensemble.change_share, float(sheet.base[row])
        point = self.calls["level"].one(x)[0]
        change = base + self.calls["change"].one(x)[0]
        if math.isfinite(change):
            point = (1 - share) * point + share * change
        base = base if math.isfinite(base) else point
        below = max(point - (base + self.calls["lower"].one(x)[0]), 0.0) * prepared.growth
        above = max(base + self.calls["upper"].one(x)[0] - point, 0.0) * prepared.growth
        least = float(model.least[series]) if series < len(model.least) else -math.inf
        point = max(point, least)
        calibration = model.calibration
        down, up = self._stretch(level)
        factor = prepared.factors[int(sheet.origin[row])]
        lower = point - factor * down * max(below, calibration.floor_below)
        upper = point + factor * up * max(above, calibration.floor_above)
        scale = prepared.scale[series]
        return point * scale, max(lower, least) * scale, max(upper, least) * scale

    @cached_property
    def _stretches(self) -> dict[float, tuple[float, float]]:
        return {}

    def _stretch(self, level: float) -> tuple[float, float]:
        found = self._stretches.get(level)
        if found is None:
            calibration = self.model.calibration
            found = (
                float(np.interp(level, GRID, calibration.below)),
                float(np.interp(level, GRID, calibration.above)),
            )
            if len(self._stretches) < 100:  # noqa: PLR2004 - callers choose levels, memory must not grow with them
                self._stretches[level] = found
        return found

    def _block(self, number: int) -> _Block | None:
        if number not in self._blocks:
            with self._lock:
                for one in range(number + 1):
                    if one not in self._blocks:
                        before = self._blocks.get(one - 1)
                        self._blocks[one] = (
                            None if one and before is None else _build(self, before if one else None)
                        )
        return self._blocks[number]


@dataclass(frozen=True)
class _Block:
    """Prepared steps that are forecast at once.

    Attributes
    ----------
    target
        Target of the panel with what was predicted up to this block's end, in units of the scale.
    end
        Last step of each series that has a value in `target`.
    factors
        Stretch of the interval by origin.
    growth
        How much wider the raw band is, so many blocks ahead.
    """

    sheet: Sheet
    path: Any
    target: FloatArray
    number: int
    factors: dict[int, float]
    scale: list[float]
    growth: float


def _build(state: CompiledForecast, before: _Block | None) -> _Block | None:
    model = state.model
    path, scale, members, ends = _grid(state) if before is None else _grid_again(before)
    if not len(members):
        return None
    number = 0 if before is None else before.number + 1
    rows = _rows_of_block(path, members, ends, number)
    if not len(rows):
        # A target that ends where a forecast is issued has no rest of a block: the first block is then the next one.
        return None
    target = path.panel.columns[TARGET] if before is None else before.target
    sheet, design = prepare(path, target, rows, members.tolist())
    point = model.ensemble.point(design, threads=1)
    known = np.array(target)
    known[path.panel.base[rows.series] + rows.step - path.panel.start[rows.series]] = point
    nothing = np.zeros(len(rows))
    factors = _factors(state, path, PathAnswer(point, Band(nothing, nothing), rows))
    return _Block(sheet, path, known, number, factors, scale.tolist(), math.sqrt(1.0 + number))


def _grid(state: CompiledForecast) -> tuple[Any, FloatArray, IntArray, IntArray]:
    """Panel of everything that is known, with room for the blocks to come."""
    model = state.model
    count = len(model.codec.series) + len(state.extra)
    known = panel_of([model.history, *state.newer], count, (TARGET,))
    ends = known_ends(known)
    members = np.flatnonzero((known.length > 0) & (ends >= known.start))
    room = MAX_PREPARED_BLOCKS * model.layout.horizon + 2 * model.layout.short
    step = ends[members] + room
    nothing = np.full(len(members), np.nan)
    query = Table(members, step, dict.fromkeys(model.spec.columns, nothing))
    path, scale = model.path_to(query, list(state.newer), state.extra)
    return path, scale, members, ends[members]


def _grid_again(before: _Block) -> tuple[Any, FloatArray, IntArray, IntArray]:
    ends = known_ends(before.path.panel)
    members = np.flatnonzero(before.sheet.first >= 0)
    return before.path, np.asarray(before.scale), members, ends[members]


def _rows_of_block(path: Any, members: IntArray, ends: IntArray, number: int) -> Steps:
    room = MAX_PREPARED_BLOCKS * path.layout.horizon + 2 * path.layout.short
    series = np.repeat(members, room)
    step = np.repeat(ends, room) + np.tile(np.arange(1, room + 1), len(members))
    plan = plan_of(path, path.calendar(), series, step)
    wanted = plan.block == number
    return Steps(series[wanted], plan.origin[wanted], step[wanted])


def _factors(state: CompiledForecast, path: Any, answer: PathAnswer) -> dict[int, float]:
    model = state.model
    origins, first = np.unique(answer.rows.origin, return_index=True)
    found = (
        {}
        if state.newer
        else {one: model.end_factors[one] for one in origins.tolist() if one in model.end_factors}
    )
    for origin, at in zip(origins.tolist(), first.tolist(), strict=True):
        if origin in found:
            continue
        # One origin at a time, as a request of one row asks.
        rows = answer.rows.take(np.array([at]))
        one = PathAnswer(answer.point[at : at + 1], answer.band, rows)
        found[origin] = float(model.factors_of(path, one)[0])
    return found


def _joined(tables: Sequence[Table]) -> Table:
    return Table(
        np.concatenate([table.series for table in tables]),
        np.concatenate([table.step for table in tables]),
        {TARGET: np.concatenate([table.columns[TARGET] for table in tables])},
    )


def compile_forecast(model: Forecaster, *, unseen: Unseen = Unseen.MISSING) -> CompiledForecast:
    """Compile a trained forecaster; its boosters are shared, not copied."""
    config, codec = model.config, model.codec
    columns = [Column(config.timestamp, Role.TIME)]
    if config.series_id is not None:
        columns.append(Column(config.series_id, Role.SERIES))
    columns += [
        Column(name, Role.CATEGORY, codec.words[name]) if name in codec.words else Column(name, Role.NUMBER)
        for name in codec.columns
    ]
    calls = {
        name: native_call(found.booster, features=_width(found.booster))  # type: ignore[attr-defined]
        for name, found in model.ensemble.boosters.items()
    }
    return CompiledForecast(model, Contract(tuple(columns), unseen), calls)


def _width(booster: Any) -> int:
    return int(booster.num_feature() if hasattr(booster, "num_feature") else booster.num_features())
