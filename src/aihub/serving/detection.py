"""An anomaly model in memory: the past that a row is compared with lies ready by series, and no table is built.

Rows without time are judged on their own and cost little more than their boosters. Rows with time are compared with weeks
of their past, of which only what their scores look at is computed; that still costs milliseconds a request
(docs/explanation/serving.md has the figures) and little more for many rows: send many at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.errors import InputError
from aihub.serving.answers import Answer
from aihub.serving.contract import Column, Contract, Role, Unseen
from aihub.serving.stamps import micros
from aihub.training.anomaly.table import Rows as AnomalyRows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aihub.serving.contract import Rows
    from aihub.training.anomaly.model import Detector


@dataclass(frozen=True)
class CompiledDetector:
    """A detector with its past by series.

    Attributes
    ----------
    past
        Rows that the model carries, by series, in order of time.
    codes
        Code of each known level by categorical column.
    """

    model: Detector
    contract: Contract
    past: Mapping[str, AnomalyRows] = field(repr=False)
    codes: Mapping[str, Mapping[str, float]] = field(repr=False)

    @property
    def kind(self) -> str:
        """Kind of the artefact."""
        return self.model.kind

    @property
    def quick_rows(self) -> int:
        """Rows without time are judged alone; rows with time need weeks of their past."""
        return 50 if self.model.judge.columns.timestamp is None else 0

    def predict(self, rows: Rows, *, level: float | None = None) -> Answer:
        """Answer rows: 1.0 for an alarm, 0.0 for none, and the calibrated score; the rows are each other's past.

        Raises
        ------
        InputError
            An interval was asked for.
        DataError
            A stamp cannot be read.
        """
        if level is not None:
            raise InputError("an anomaly model answers a score and no interval; leave 'level' out")
        given = self._read(rows)
        judge = self.model.judge
        if judge.columns.timestamp is None or not rows.count:
            score = judge.score(given, threads=1)
        else:
            score = judge.score(self._before(given), threads=1, last=rows.count)
        flags = (score >= self.model.threshold).astype(np.float64)
        is_timed = judge.columns.timestamp is not None
        return Answer(
            flags.tolist(),
            score=score.tolist(),
            series=given.series.tolist() if judge.columns.series_id else None,
            target_us=given.times.tolist() if is_timed else None,
        )

    def _read(self, rows: Rows) -> AnomalyRows:
        columns = self.model.judge.columns
        times = np.arange(rows.count, dtype=np.int64)
        series = np.full(rows.count, "", dtype=np.str_)
        values: dict[str, Any] = {}
        for at, column in enumerate(self.contract.columns):
            if column.role is Role.TIME:
                times = micros(rows.column(at), columns.stamp_zone, column=column.name, refuse_skipped=True)
            elif column.role is Role.SERIES:
                series = np.array([str(one) for one in rows.column(at)], dtype=np.str_)
            elif column.role is Role.NUMBER:
                values[column.name] = rows.numbers(at)
            else:
                codes = self.codes[column.name]
                values[column.name] = np.array([codes.get(word, np.nan) for word in rows.column(at)])
        return AnomalyRows(times=times, series=series, values=values)

    def _before(self, rows: AnomalyRows) -> AnomalyRows:
        """Rows behind what of the past their scores may look at; see `Detector.score`."""
        pace = self.model.judge.pace
        latest, earliest = int(rows.times.max()), int(rows.times.min())
        reach = pace.reach * pace.step_us if pace.is_regular else None
        parts = []
        for name in np.unique(rows.series).tolist():
            known = self.past.get(name)
            if known is None:
                continue
            begin = 0 if reach is None else int(np.searchsorted(known.times, earliest - reach, "left"))
            end = int(np.searchsorted(known.times, latest, "right"))
            window = known.take(np.arange(begin, end))
            mine = rows.times[rows.series == name]
            repeated = np.isin(window.times, mine)
            parts.append(window.take(~repeated) if repeated.any() else window)
        parts.append(rows)
        return AnomalyRows(
            times=np.concatenate([part.times for part in parts]),
            series=np.concatenate([part.series for part in parts]),
            values={name: np.concatenate([part.values[name] for part in parts]) for name in rows.values},
        )


def compile_detector(model: Detector, *, unseen: Unseen = Unseen.MISSING) -> CompiledDetector:
    """Compile a trained detector; its boosters are shared, not copied."""
    columns = model.judge.columns
    roles = dict.fromkeys(columns.names, Role.NUMBER)
    roles |= dict.fromkeys(columns.categorical, Role.CATEGORY)
    if columns.timestamp is not None:
        roles[columns.timestamp] = Role.TIME
    if columns.series_id is not None:
        roles[columns.series_id] = Role.SERIES
    contract = Contract(
        tuple(Column(name, role, tuple(columns.categorical.get(name, ()))) for name, role in roles.items()),
        unseen,
    )
    past = {}
    for name in np.unique(model.past.series).tolist():
        mine = np.flatnonzero(model.past.series == name)
        past[name] = model.past.take(mine[np.argsort(model.past.times[mine], kind="stable")])
    codes = {
        name: {level: float(at) for at, level in enumerate(levels)}
        for name, levels in columns.categorical.items()
    }
    return CompiledDetector(model, contract, past, codes)
