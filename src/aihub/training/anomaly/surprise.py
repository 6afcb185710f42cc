"""Without labels: how far a value is from what its past, the calendar and the features let expect."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.errors import DataError
from aihub.training.algorithms import ALGORITHMS
from aihub.training.anomaly.calibration import TailTable
from aihub.training.anomaly.features import Expectation, expectation_features
from aihub.training.anomaly.judge import shares
from aihub.training.anomaly.past import Grid, Pace
from aihub.training.anomaly.table import Columns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aihub.training.algorithms.base import Booster, Matrix
    from aihub.training.anomaly.table import Rows
    from aihub.training.config import TrainingConfig
    from aihub.training.progress import Watch
    from aihub.types import FloatArray

FALSE_ALARMS_PER_DAY = 1 / 7
"""Alarms that normal operation of one series may raise: one a week."""
MAX_ALARM_SHARE = 0.01
"""Rows of normal operation that may be alarms; binds where rows are rarer than a few a day."""
MIN_ROWS = 60
DEFAULT_HYPERPARAMETERS: dict[str, Any] = {"n_estimators": 60, "learning_rate": 0.1, "max_depth": 5}
_MAD_TO_SD = 1.4826
_FOLDS = 4
_CLIP = 1000.0
_TRUST = (0.0, 0.25, 0.5, 0.75, 1.0)
_FLAT_WEIGHT, _FLAT_MOST = 2.0, 40.0
_RANK_SHARE = 1e-3
_UNLABELLED = "no labels: {!r} is watched; normal operation raises about {:.2g} alarms a day and series"


@dataclass(frozen=True, kw_only=True)
class Surprise:
    """A judge that expects; see `aihub.training.anomaly.judge.Judge`.

    Attributes
    ----------
    bases
        What the watched value is measured against, by series id: None for its moving level, or the fixed median of the
        training time where that described the training time better.
    scales
        Typical deviation of the watched value from its base, by series id, in the value's unit.
    trust
        Share of what the ensemble expects that held-out time supported, 0 (nothing beyond the base) to 1.
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

    columns: Columns
    pace: Pace
    zone: str
    booster: Booster
    bases: Mapping[str, float | None]
    scales: Mapping[str, float]
    trust: float
    tails: Mapping[str, TailTable]
    flat_rows: float
    threshold_p: float
    false_alarms_per_day: float
    feature_names: tuple[str, ...]

    @property
    def threshold(self) -> float:
        """Score from which a row is an alarm: the middle."""
        return 0.5

    @property
    def boosters(self) -> Mapping[str, Booster]:
        """The expected value."""
        return {"expectation": self.booster}

    def score(self, rows: Rows, *, threads: int = 1) -> FloatArray:
        """Score ``p* / (p* + p)`` of each row, p its tail probability and p* that of the threshold, shape (n,).

        That is the chance that the row is an anomaly, if anomalies are as frequent as the false alarms that were asked
        for: one half at the threshold, p* for an ordinary row. A row that cannot be judged scores 0.
        """
        watched = rows.values[str(self.columns.watched)]
        base, scale = _of(rows, self.bases), _of(rows, self.scales)
        expected = expectation_features(rows, self.columns, self.pace, self.zone, scale)
        guess = self.trust * self.booster.predict(expected.features.x, threads=threads)
        z = (watched - _base(expected, base)) / scale - guess
        found = statistics(rows, watched, z, self.pace)
        surprise = self.tails["all"](_total(found, self.tails, self.flat_rows))
        limit = -np.log(self.threshold_p)
        odds = 1 / (1 + np.exp(np.clip(limit - surprise, -700, 700)))
        # A thousandth keeps apart what is too unusual for the odds to tell.
        score = (1 - _RANK_SHARE) * odds + _RANK_SHARE * surprise / (surprise + limit)
        return np.where(np.isnan(z), 0.0, score)

    def importances(self) -> dict[str, float]:
        """Share of the expectation's gain per feature, largest first."""
        return shares(self.booster.gain, self.feature_names)

    def to_state(self) -> dict[str, Any]:
        """Return everything but the boosters."""
        return {
            "columns": self.columns.to_state(),
            "pace": self.pace.to_state(),
            "zone": self.zone,
            "bases": dict(self.bases),
            "scales": dict(self.scales),
            "trust": self.trust,
            "tails": {name: tail.to_state() for name, tail in self.tails.items()},
            "flat_rows": self.flat_rows,
            "threshold_p": self.threshold_p,
            "false_alarms_per_day": self.false_alarms_per_day,
            "feature_names": list(self.feature_names),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], boosters: Mapping[str, Booster]) -> Surprise:
        """Inverse of `to_state`."""
        return cls(
            columns=Columns.from_state(state["columns"]),
            pace=Pace.from_state(state["pace"]),
            zone=state["zone"],
            booster=boosters["expectation"],
            bases={str(name): value for name, value in state["bases"].items()},
            trust=float(state["trust"]),
            scales={str(name): float(value) for name, value in state["scales"].items()},
            tails={name: TailTable.from_state(tail) for name, tail in state["tails"].items()},
            flat_rows=float(state["flat_rows"]),
            threshold_p=float(state["threshold_p"]),
            false_alarms_per_day=float(state["false_alarms_per_day"]),
            feature_names=tuple(state["feature_names"]),
        )


def statistics(rows: Rows, watched: FloatArray, z: FloatArray, pace: Pace) -> dict[str, FloatArray]:
    """Return what may be unusual about a row, each not negative and higher for more unusual, shape (n,).

    ``point``: size of the error. ``hour``: size of the mean error of the last hour, in which a single row counts at most
    a thousand. ``flat``: rows for which the value has not moved.
    """
    grid = Grid.of(rows, pace)
    recent = grid.mean(grid.spread(np.clip(z, -_CLIP, _CLIP)), max(3, pace.hour))
    return {
        "point": np.abs(z),
        "hour": np.abs(recent),
        "flat": np.where(np.isnan(watched), 0.0, grid.run_length(grid.spread(watched))),
    }


def _total(found: Mapping[str, FloatArray], tails: Mapping[str, TailTable], flat_rows: float) -> FloatArray:
    flat = np.clip(_FLAT_WEIGHT * (found["flat"] - 1 - 2 * flat_rows) / flat_rows, 0.0, _FLAT_MOST)
    return tails["point"](found["point"]) + tails["hour"](found["hour"]) + flat


def _of(rows: Rows, by_series: Mapping[str, float | None]) -> FloatArray:
    """Value per row (None is NaN); a series that training did not see gets the middle one, NaN where all are None."""
    known = [value for value in by_series.values() if value is not None]
    other = float(np.median(known)) if len(known) == len(by_series) else None
    names, inverse = np.unique(rows.series, return_inverse=True)
    values = [by_series.get(str(name), other) for name in names]
    return np.array([np.nan if value is None else value for value in values])[inverse.reshape(-1)]


def _base(expected: Expectation, fixed: FloatArray) -> FloatArray:
    """Return what the value is measured against: the fixed median where there is one, else the moving level."""
    return np.where(np.isnan(fixed), expected.level, fixed)


def fit_surprise(
    config: TrainingConfig, rows: Rows, *, columns: Columns, pace: Pace, zone: str, watch: Watch
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
    bases, scales = _bases(rows, watched, expectation_features(rows, columns, pace, zone, np.ones(len(rows))))
    if not scales:
        raise DataError(
            "the value never moves before the split, so nothing can be expected of it; name another target",
            column=columns.watched,
        )
    scale = _of(rows, scales)
    expected = expectation_features(rows, columns, pace, zone, scale)
    target = (watched - _base(expected, _of(rows, bases))) / scale
    usable = np.flatnonzero(~np.isnan(target))
    if len(usable) < MIN_ROWS:
        raise DataError(
            f"{len(usable)} rows before the split have a value and a past to compare it with, {MIN_ROWS} are needed; "
            "send a longer period or lower validation_split",
            column=columns.watched,
        )
    usable = usable[np.argsort(rows.times[usable], kind="stable")]
    x, y = expected.features.x[usable], target[usable]
    fit = _Fitter(config, expected)
    guess = fit.held_out(x, y, watch.part("measuring errors", 0.0, 0.8))
    trust = min(_TRUST, key=lambda share: (float(np.abs(y - share * guess).mean()), share))
    z = np.full(len(rows), np.nan)
    z[usable] = y - trust * guess
    found = statistics(rows, watched, z, pace)
    tails = {name: TailTable.fit(found[name][usable]) for name in ("point", "hour")}
    flat_rows = _flat_rows(found["flat"], rows)
    total = np.where(np.isnan(z), np.nan, _total(found, tails, flat_rows))
    tails["all"] = TailTable.fit(total)
    threshold_p, per_day = _threshold(rows, total, pace)
    judge = Surprise(
        columns=columns,
        pace=pace,
        zone=zone,
        booster=fit(x, y, watch.part("fitting", 0.8, 1.0)),
        bases=bases,
        scales=scales,
        trust=trust,
        tails=tails,
        flat_rows=flat_rows,
        threshold_p=threshold_p,
        false_alarms_per_day=per_day,
        feature_names=expected.features.names,
    )
    return judge, (_UNLABELLED.format(columns.watched, per_day),)


class _Fitter:
    """Fits expectations with one set of hyperparameters."""

    def __init__(self, config: TrainingConfig, expected: Expectation) -> None:
        self.config = config
        self.features = expected.features
        self.algorithm = ALGORITHMS.get(config.algorithm)
        self.params = {**DEFAULT_HYPERPARAMETERS, **self.algorithm.check(config.hyperparameters)}

    def __call__(self, x: Matrix, y: FloatArray, watch: Watch) -> Booster:
        return self.algorithm.fit(
            x,
            y,
            names=self.features.safe_names,
            categorical=self.features.safe_categorical,
            params=self.params,
            # A median does not follow the anomalies that the training time may hold.
            objective="l1",
            seed=self.config.seed,
            threads=self.config.threads,
            on_round=watch,
        )

    def held_out(self, x: Matrix, y: FloatArray, watch: Watch) -> FloatArray:
        """Predict each of four stretches of time by a model of the other three, shape (n,)."""
        out = np.empty(len(y))
        cuts = np.linspace(0, len(y), _FOLDS + 1).astype(int)
        for number, (low, high) in enumerate(pairwise(cuts.tolist())):
            part = watch.part(watch.stage, number / _FOLDS, (number + 1) / _FOLDS)
            others = np.concatenate((np.arange(low), np.arange(high, len(y))))
            booster = self(x[others], y[others], part)
            out[low:high] = booster.predict(x[low:high], threads=self.config.threads)
        return out


def _bases(
    rows: Rows, watched: FloatArray, expected: Expectation
) -> tuple[dict[str, float | None], dict[str, float]]:
    """Choose per series between moving level and fixed median, whichever is nearer on average, and measure the scale.

    The scale is the median absolute deviation as a standard deviation (the mean where the median is 0). Series that
    never move get none.
    """
    bases: dict[str, float | None] = {}
    scales: dict[str, float] = {}
    for name in np.unique(rows.series):
        known = (rows.series == name) & ~np.isnan(watched) & ~np.isnan(expected.level)
        if not known.any():
            continue
        fixed = float(np.median(watched[known]))
        from_fixed, from_level = (
            np.abs(watched[known] - fixed),
            np.abs(watched[known] - expected.level[known]),
        )
        is_fixed = bool(from_fixed.mean() <= from_level.mean())
        away = from_fixed if is_fixed else from_level
        size = _MAD_TO_SD * float(np.median(away)) or float(away.mean())
        if size > 0:
            bases[str(name)], scales[str(name)] = (fixed if is_fixed else None), size
    return bases, scales


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
