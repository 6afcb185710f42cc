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

    from aihub.training.algorithms.base import Booster
    from aihub.training.anomaly.table import Rows
    from aihub.training.config import TrainingConfig
    from aihub.training.progress import Watch
    from aihub.types import FloatArray

FALSE_ALARMS_PER_DAY = 1 / 7
"""Alarms that normal operation of one series may raise: one a week."""
MAX_ALARM_SHARE = 0.01
"""Rows of normal operation that may be alarms; binds where rows are rarer than a few a day."""
MIN_ROWS = 100
DEFAULT_HYPERPARAMETERS: dict[str, Any] = {"n_estimators": 60, "learning_rate": 0.1, "max_depth": 5}
_MAD_TO_SD = 1.4826
_FOLDS = 4
_CLIP = 10.0
_NORMAL_QUANTILE = 0.99
_FLAT_PATIENCE = 3.0
_UNLABELLED = "no labels: {!r} is watched; normal operation raises about {:.2g} alarms a day and series"


@dataclass(frozen=True, kw_only=True)
class Surprise:
    """A judge that expects; see `aihub.training.anomaly.judge.Judge`.

    Attributes
    ----------
    scales
        Typical deviation of the watched value from its level, by series id, in the value's unit.
    tails
        Share of normal rows that are at least as unusual, by statistic: ``point`` (this row's error), ``hour`` (mean error
        of the last hour, at least three rows) and ``all`` (their sum, with what ``flat`` adds).
    flat_limit
        Rows that the value may stand still in normal operation.
    threshold_p
        Tail probability from which a row is an alarm.
    """

    columns: Columns
    pace: Pace
    zone: str
    booster: Booster
    width: Booster
    scales: Mapping[str, float]
    tails: Mapping[str, TailTable]
    flat_limit: float
    threshold_p: float
    false_alarms_per_day: float
    feature_names: tuple[str, ...]

    @property
    def threshold(self) -> float:
        """Score from which a row is an alarm."""
        return 1 - self.threshold_p

    @property
    def boosters(self) -> Mapping[str, Booster]:
        """The expected value, and the logarithm of the error around it."""
        return {"expectation": self.booster, "width": self.width}

    def score(self, rows: Rows, *, threads: int = 1) -> FloatArray:
        """Share of normal rows that are less unusual, shape (n,); a row that cannot be judged scores 0."""
        watched = rows.values[str(self.columns.watched)]
        scale = _scale_of(rows, self.scales)
        expected = expectation_features(rows, self.columns, self.pace, self.zone, scale)
        x = expected.features.x
        error = (watched - expected.level) / scale - self.booster.predict(x, threads=threads)
        z = error / np.exp(self.width.predict(x, threads=threads))
        total = _total(statistics(rows, watched, z, self.pace), self.tails, self.flat_limit)
        return np.where(np.isnan(z), 0.0, -np.expm1(-self.tails["all"](total)))

    def importances(self) -> dict[str, float]:
        """Share of the expectation's gain per feature, largest first."""
        return shares(self.booster.gain, self.feature_names)

    def to_state(self) -> dict[str, Any]:
        """Return everything but the boosters."""
        return {
            "columns": self.columns.to_state(),
            "pace": self.pace.to_state(),
            "zone": self.zone,
            "scales": dict(self.scales),
            "tails": {name: tail.to_state() for name, tail in self.tails.items()},
            "flat_limit": self.flat_limit,
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
            width=boosters["width"],
            scales={str(name): float(value) for name, value in state["scales"].items()},
            tails={name: TailTable.from_state(tail) for name, tail in state["tails"].items()},
            flat_limit=float(state["flat_limit"]),
            threshold_p=float(state["threshold_p"]),
            false_alarms_per_day=float(state["false_alarms_per_day"]),
            feature_names=tuple(state["feature_names"]),
        )


def statistics(rows: Rows, watched: FloatArray, z: FloatArray, pace: Pace) -> dict[str, FloatArray]:
    """Return what may be unusual about a row, each not negative and higher for more unusual, shape (n,).

    ``point``: size of the error. ``hour``: size of the mean error of the last hour, in which a single row counts at most
    ten, so that one spike does not stay for an hour. ``flat``: rows for which the value has not moved.
    """
    grid = Grid.of(rows, pace)
    recent = grid.rolled(grid.spread(np.clip(z, -_CLIP, _CLIP)), "mean", max(3, pace.hour), until=0)
    return {
        "point": np.abs(z),
        "hour": np.abs(recent),
        "flat": np.where(np.isnan(watched), 0.0, grid.run_length(grid.spread(watched))),
    }


def _total(found: Mapping[str, FloatArray], tails: Mapping[str, TailTable], flat_limit: float) -> FloatArray:
    flat = np.clip(found["flat"] / flat_limit - 1.0, 0.0, 20.0)
    return tails["point"](found["point"]) + tails["hour"](found["hour"]) + flat


def _scale_of(rows: Rows, scales: Mapping[str, float]) -> FloatArray:
    """Scale per row; a series that training did not see gets the middle one."""
    other = float(np.median(list(scales.values())))
    names, inverse = np.unique(rows.series, return_inverse=True)
    return np.array([scales.get(str(name), other) for name in names])[inverse.reshape(-1)]


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
    scales = _scales(rows, watched, expectation_features(rows, columns, pace, zone, np.ones(len(rows))))
    if not scales:
        raise DataError(
            "the value never moves before the split, so nothing can be expected of it; name another target",
            column=columns.watched,
        )
    expected = expectation_features(rows, columns, pace, zone, _scale_of(rows, scales))
    target = (watched - expected.level) / _scale_of(rows, scales)
    usable = np.flatnonzero(~np.isnan(target))
    if len(usable) < MIN_ROWS:
        raise DataError(
            f"{len(usable)} rows before the split have a value and a past day to compare it with, {MIN_ROWS} are needed; "
            "send a longer period or lower validation_split",
            column=columns.watched,
        )
    usable = usable[np.argsort(rows.times[usable], kind="stable")]
    x, y = expected.features.x[usable], target[usable]
    fit = _Fitter(config, expected)
    out = fit.held_out(x, y, "l1", watch.part("measuring errors", 0.0, 0.6))
    error = np.log(np.maximum(np.abs(y - out), 1e-3))
    width = fit(x, error, "l1", watch.part("fitting", 0.6, 0.8))
    wide = fit.held_out(x, error, "l1", None)
    z = np.full(len(rows), np.nan)
    z[usable] = (y - out) / np.exp(wide)
    found = statistics(rows, watched, z, pace)
    tails = {name: TailTable.fit(found[name][usable]) for name in ("point", "hour")}
    flat_limit = 1 + _FLAT_PATIENCE * float(np.quantile(found["flat"][usable], _NORMAL_QUANTILE))
    total = np.where(np.isnan(z), np.nan, _total(found, tails, flat_limit))
    tails["all"] = TailTable.fit(total)
    threshold_p, per_day = _threshold(rows, total, pace)
    judge = Surprise(
        columns=columns,
        pace=pace,
        zone=zone,
        booster=fit(x, y, "l1", watch.part("fitting", 0.8, 1.0)),
        width=width,
        scales=scales,
        tails=tails,
        flat_limit=flat_limit,
        threshold_p=threshold_p,
        false_alarms_per_day=per_day,
        feature_names=expected.features.names,
    )
    return judge, (_UNLABELLED.format(columns.watched, per_day),)


class _Fitter:
    """Fits the two ensembles with one set of hyperparameters."""

    def __init__(self, config: TrainingConfig, expected: Expectation) -> None:
        self.config = config
        self.features = expected.features
        self.algorithm = ALGORITHMS.get(config.algorithm)
        self.params = {**DEFAULT_HYPERPARAMETERS, **self.algorithm.check(config.hyperparameters)}

    def __call__(self, x: Any, y: FloatArray, objective: Any, watch: Watch | None) -> Booster:
        return self.algorithm.fit(
            x,
            y,
            names=self.features.safe_names,
            categorical=self.features.safe_categorical,
            params=self.params,
            objective=objective,
            seed=self.config.seed,
            threads=self.config.threads,
            on_round=watch,
        )

    def held_out(self, x: Any, y: FloatArray, objective: Any, watch: Watch | None) -> FloatArray:
        """Predict each of four stretches of time by a model of the other three, shape (n,)."""
        out = np.empty(len(y))
        cuts = np.linspace(0, len(y), _FOLDS + 1).astype(int)
        for number, (low, high) in enumerate(pairwise(cuts.tolist())):
            part = watch.part(watch.stage, number / _FOLDS, (number + 1) / _FOLDS) if watch else None
            others = np.concatenate((np.arange(low), np.arange(high, len(y))))
            booster = self(x[others], y[others], objective, part)
            out[low:high] = booster.predict(x[low:high], threads=self.config.threads)
        return out


def _scales(rows: Rows, watched: FloatArray, expected: Expectation) -> dict[str, float]:
    """Median absolute deviation from the level, as a standard deviation; the mean where the median is 0."""
    scales: dict[str, float] = {}
    for name in np.unique(rows.series):
        away = np.abs(watched - expected.level)[rows.series == name]
        away = away[~np.isnan(away)]
        size = (_MAD_TO_SD * float(np.median(away)) or float(away.mean())) if len(away) else 0.0
        if size > 0:
            scales[str(name)] = size
    return scales


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
