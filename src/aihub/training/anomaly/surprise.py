"""Without labels: how far a value is from what its past, the calendar and the features let expect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.errors import DataError
from aihub.training.anomaly.calibration import TailTable
from aihub.training.anomaly.clock import Clock
from aihub.training.anomaly.expectation import Expected, learn
from aihub.training.anomaly.judge import shares
from aihub.training.anomaly.past import Grid, Pace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from aihub.training.algorithms.base import Booster
    from aihub.training.anomaly.table import Columns, Rows
    from aihub.training.config import TrainingConfig
    from aihub.training.progress import Watch
    from aihub.types import FloatArray

FALSE_ALARMS_PER_DAY = 1 / 7
"""Alarms that normal operation of one series may raise: one a week."""
MAX_ALARM_SHARE = 0.01
"""Rows of normal operation that may be alarms; binds where rows are rarer than a few a day."""
MIN_ROWS = 60
_CLIP = 1000.0
_FLAT_WEIGHT, _FLAT_MOST = 2.0, 40.0
_RANK_SHARE = 1e-3
_STILL = "the value never moves before the split, so nothing can be expected of it; name another target"
_TOO_FEW = (
    "{} rows before the split have a value and a past to compare it with, {} are needed; send a longer period or lower "
    "validation_split"
)
_UNLABELLED = "no labels: {!r} is watched; normal operation raises about {:.2g} alarms a day and series"


@dataclass(frozen=True, kw_only=True)
class Surprise:
    """A judge that expects; see `aihub.training.anomaly.judge.Judge`.

    Attributes
    ----------
    expected
        What is expected of the watched value.
    tails
        Share of normal rows that are at least as unusual, by statistic: ``point`` (this row's error), ``hour`` (mean error
        of the last hour, at least three rows) and ``all`` (their sum, with what ``flat`` adds).
    flat_rows
        Rows that the value stands still in normal operation (99 % quantile of the runs of equal values).
    threshold_p
        Tail probability from which a row is an alarm.
    false_alarms_per_day
        Alarms a day that normal operation of one series raises at that threshold.
    """

    pace: Pace
    clock: Clock
    expected: Expected
    tails: Mapping[str, TailTable]
    flat_rows: float
    threshold_p: float
    false_alarms_per_day: float

    @property
    def columns(self) -> Columns:
        """What it reads."""
        return self.expected.columns

    @property
    def threshold(self) -> float:
        """Score from which a row is an alarm: the middle."""
        return 0.5

    @property
    def boosters(self) -> Mapping[str, Booster]:
        """The expected value."""
        return {"expectation": self.expected.booster}

    def score(self, rows: Rows, *, threads: int = 1, last: int | None = None) -> FloatArray:
        """Score ``p* / (p* + p)`` of each row, p its tail probability and p* that of the threshold, shape (n,).

        That is the chance that the row is an anomaly, if anomalies are as frequent as the false alarms that were asked
        for: one half at the threshold, p* for an ordinary row. A row that cannot be judged scores 0.
        With `last` only of the last so many rows, shape (last,).
        """
        watched = rows.values[str(self.columns.watched)]
        at = None if last is None else np.arange(len(rows) - last, len(rows))
        near = None if at is None else Grid.of(rows, self.pace).within(at, _recent(self.pace))
        z = self.expected.errors(rows, self.pace, self.clock, threads=threads, at=near)
        found = statistics(rows, watched, z, self.pace, at=at)
        surprise = self.tails["all"](_total(found, self.tails, self.flat_rows))
        limit = -np.log(self.threshold_p)
        odds = 1 / (1 + np.exp(np.clip(limit - surprise, -700, 700)))
        # A thousandth keeps apart what is too unusual for the odds to tell.
        score = (1 - _RANK_SHARE) * odds + _RANK_SHARE * surprise / (surprise + limit)
        return np.where(np.isnan(z if last is None else z[len(z) - last :]), 0.0, score)

    def importances(self) -> dict[str, float]:
        """Share of the expectation's gain per feature, largest first."""
        return shares(self.expected.booster.gain, self.expected.feature_names)

    def to_state(self) -> dict[str, Any]:
        """Return everything but the boosters."""
        return {
            "pace": self.pace.to_state(),
            "clock": self.clock.to_state(),
            "expected": self.expected.to_state(),
            "tails": {name: tail.to_state() for name, tail in self.tails.items()},
            "flat_rows": self.flat_rows,
            "threshold_p": self.threshold_p,
            "false_alarms_per_day": self.false_alarms_per_day,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], boosters: Mapping[str, Booster]) -> Surprise:
        """Inverse of `to_state`."""
        return cls(
            pace=Pace.from_state(state["pace"]),
            clock=Clock.from_state(state["clock"]),
            expected=Expected.from_state(state["expected"], boosters["expectation"]),
            tails={name: TailTable.from_state(tail) for name, tail in state["tails"].items()},
            flat_rows=float(state["flat_rows"]),
            threshold_p=float(state["threshold_p"]),
            false_alarms_per_day=float(state["false_alarms_per_day"]),
        )


def _recent(pace: Pace) -> int:
    """Rows whose mean error counts as that of the last hour."""
    return max(3, pace.hour)


def statistics(
    rows: Rows, watched: FloatArray, z: FloatArray, pace: Pace, *, at: NDArray[np.int64] | None = None
) -> dict[str, FloatArray]:
    """Return what may be unusual about a row, each not negative and higher for more unusual, shape (n,).

    ``point``: size of the error. ``hour``: size of the mean error of the last hour, in which a single row counts at most
    a thousand. ``flat``: rows for which the value has not moved. With `at` only of these rows, ascending.
    """
    grid = Grid.of(rows, pace)
    grid = grid if at is None else grid.asking(at)
    recent = grid.mean(grid.spread(np.clip(z, -_CLIP, _CLIP)), _recent(pace))
    return {
        "point": grid.of_asked(np.abs(z)),
        "hour": np.abs(recent),
        "flat": np.where(np.isnan(grid.of_asked(watched)), 0.0, grid.run_length(grid.spread(watched))),
    }


def _total(found: Mapping[str, FloatArray], tails: Mapping[str, TailTable], flat_rows: float) -> FloatArray:
    flat = np.clip(_FLAT_WEIGHT * (found["flat"] - 1 - 2 * flat_rows) / flat_rows, 0.0, _FLAT_MOST)
    return tails["point"](found["point"]) + tails["hour"](found["hour"]) + flat


def fit_surprise(
    config: TrainingConfig, rows: Rows, *, columns: Columns, pace: Pace, clock: Clock, watch: Watch
) -> tuple[Surprise, tuple[str, ...]]:
    """Learn what to expect, how wrong the expectation is on blocks of time left out, and where the alarm starts.

    Parameters
    ----------
    rows
        Rows before the split, with the watched value; may hold a few per cent of anomalies.

    Returns
    -------
    tuple[Surprise, tuple[str, ...]]
        The judge, and notes for the report.

    Raises
    ------
    DataError
        Fewer than `MIN_ROWS` rows that have a past, or a value that never moves.
    """
    watched = rows.values[str(columns.watched)]
    learned = learn(
        config,
        rows,
        columns=columns,
        pace=pace,
        clock=clock,
        watch=watch.part("learning what to expect", 0.0, 1.0),
        params=config.hyperparameters,
        fewest=MIN_ROWS,
    )
    if isinstance(learned, int):
        raise DataError(_TOO_FEW.format(learned, MIN_ROWS) if learned else _STILL, column=columns.watched)
    expected, z = learned
    usable = ~np.isnan(z)
    found = statistics(rows, watched, z, pace)
    tails = {name: TailTable.fit(found[name][usable]) for name in ("point", "hour")}
    flat_rows = _flat_rows(found["flat"], rows)
    total = np.where(np.isnan(z), np.nan, _total(found, tails, flat_rows))
    tails["all"] = TailTable.fit(total)
    threshold_p, per_day = _threshold(rows, total, pace)
    judge = Surprise(
        pace=pace,
        clock=clock,
        expected=expected,
        tails=tails,
        flat_rows=flat_rows,
        threshold_p=threshold_p,
        false_alarms_per_day=per_day,
    )
    return judge, (_UNLABELLED.format(columns.watched, per_day),)


def _flat_rows(run_length: FloatArray, rows: Rows) -> float:
    """Give the length that 99 % of the runs of equal values do not exceed. A run counts once, however long it is."""
    order = np.lexsort((rows.times, rows.series))
    runs = run_length[order]
    ends = runs[np.append(runs[1:] <= runs[:-1], True)]
    ends = ends[ends > 0]
    return float(max(np.quantile(ends, 0.99), 1.0)) if len(ends) else 1.0


def _threshold(rows: Rows, total: FloatArray, pace: Pace) -> tuple[float, float]:
    """Tail probability at which normal operation raises the wanted number of alarms a day, and that number.

    Unusual rows come in clusters, and a cluster is one alarm: the number of clusters per unusual row (the extremal
    index) is measured at the 95 % quantile, where a few per cent of anomalies do not reach.
    """
    order = np.lexsort((rows.times, rows.series))
    high = total[order] > np.nanquantile(total, 0.95)
    starts = high & ~np.concatenate(([False], high[:-1]))
    index = max(float(starts.sum()) / max(float(high.sum()), 1.0), 0.05)
    wanted = FALSE_ALARMS_PER_DAY / (pace.rows_per_day * index)
    p = min(wanted, MAX_ALARM_SHARE)
    return p, p * pace.rows_per_day * index
