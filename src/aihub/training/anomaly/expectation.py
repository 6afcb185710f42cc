"""What a column's past, the calendar and the other columns let expect of it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.training.algorithms import ALGORITHMS
from aihub.training.anomaly.features import Deviation, Expectation, expectation_features
from aihub.training.anomaly.table import Columns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from aihub.training.algorithms.base import Booster, Matrix
    from aihub.training.anomaly.clock import Clock
    from aihub.training.anomaly.past import Pace
    from aihub.training.anomaly.table import Rows
    from aihub.training.config import TrainingConfig
    from aihub.training.progress import Watch
    from aihub.types import FloatArray

DEFAULT_HYPERPARAMETERS: dict[str, Any] = {"n_estimators": 60, "learning_rate": 0.1, "max_depth": 5}
_MAD_TO_SD = 1.4826
_FOLDS = 4
_LEAST_EXPECTED = 0.1
_TRUST = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, kw_only=True)
class Expected:
    """An expectation of one column.

    Attributes
    ----------
    columns
        What it reads; `watched` is the column that is expected.
    bases
        What the value is measured against, by series id: None for its moving level, or the fixed median of the training
        time where that described the training time better.
    scales
        Typical deviation of the value from its base, by series id, in the value's unit.
    trust
        Share of what the ensemble expects that held-out time supported, 0 (nothing beyond the base) to 1.
    is_slow
        See `expectation_features`.
    has_zero
        Normal values are never negative, so that a share of what is expected means something.
    """

    columns: Columns
    booster: Booster
    bases: Mapping[str, float | None]
    scales: Mapping[str, float]
    trust: float
    is_slow: bool
    has_zero: bool
    feature_names: tuple[str, ...]

    def errors(
        self, rows: Rows, pace: Pace, clock: Clock, *, threads: int = 1, at: NDArray[np.int64] | None = None
    ) -> FloatArray:
        """Value minus expectation, in the series' scale, shape (n,); NaN where there is no value or no past.

        With `at` (ascending) only of these rows, and NaN elsewhere.
        """
        some = rows if at is None else rows.take(at)
        scale = _of(some, self.scales)
        expected = expectation_features(rows, self.columns, pace, clock, scale, is_slow=self.is_slow, at=at)
        guess = self.trust * self.booster.predict(expected.features.x, threads=threads)
        base = _base(expected, _of(some, self.bases))
        found: FloatArray = (some.values[str(self.columns.watched)] - base) / scale - guess
        if at is None:
            return found
        every = np.full(len(rows), np.nan)
        every[at] = found
        return every

    def deviation(self, rows: Rows, errors: FloatArray) -> Deviation:
        """Return errors of `rows` (shape (n,), see `errors`) with what they are measured against.

        What is expected counts as at least a tenth of the scale, so that a share of it stays finite.
        """
        scale = _of(rows, self.scales)
        if not self.has_zero:
            return Deviation(errors, scale, None)
        expected = rows.values[str(self.columns.watched)] - errors * scale
        return Deviation(errors, scale, np.maximum(np.abs(expected), _LEAST_EXPECTED * scale))

    def to_state(self) -> dict[str, Any]:
        """Return everything but the booster, JSON-able."""
        return {
            "columns": self.columns.to_state(),
            "bases": dict(self.bases),
            "scales": dict(self.scales),
            "trust": self.trust,
            "is_slow": self.is_slow,
            "has_zero": self.has_zero,
            "feature_names": list(self.feature_names),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], booster: Booster) -> Expected:
        """Inverse of `to_state`."""
        return cls(
            columns=Columns.from_state(state["columns"]),
            booster=booster,
            bases={str(name): value for name, value in state["bases"].items()},
            scales={str(name): float(value) for name, value in state["scales"].items()},
            trust=float(state["trust"]),
            is_slow=bool(state["is_slow"]),
            has_zero=bool(state["has_zero"]),
            feature_names=tuple(state["feature_names"]),
        )


def learn(
    config: TrainingConfig,
    rows: Rows,
    *,
    columns: Columns,
    pace: Pace,
    clock: Clock,
    watch: Watch,
    params: Mapping[str, Any],
    is_normal: NDArray[np.bool_] | None = None,
    is_slow: bool = False,
    fewest: int,
) -> tuple[Expected, FloatArray] | int:
    """Learn what to expect of ``columns.watched``, and how wrong that is on stretches of time left out.

    Parameters
    ----------
    is_normal
        Rows that may be learned from, shape (n,); None means all.
    is_slow
        See `expectation_features`.
    fewest
        Rows that it takes.

    Returns
    -------
    tuple[Expected, FloatArray] or int
        The expectation and its out-of-fold errors of all rows, shape (n,), NaN where there is no past; or, where there
        are not `fewest` rows to learn from, how many there are (0: the value never moves).
    """
    watched = rows.values[str(columns.watched)]
    alike = expectation_features(rows, columns, pace, clock, np.ones(len(rows)), is_slow=is_slow)
    bases, scales = _bases(rows, watched, alike)
    if not scales:
        return 0
    scale = _of(rows, scales)
    expected = expectation_features(rows, columns, pace, clock, scale, is_slow=is_slow)
    target = (watched - _base(expected, _of(rows, bases))) / scale
    usable = np.flatnonzero(~np.isnan(target))
    usable = usable[np.argsort(rows.times[usable], kind="stable")]
    normal = np.ones(len(usable), dtype=bool) if is_normal is None else is_normal[usable]
    if normal.sum() < fewest:
        return int(normal.sum())
    x, y = expected.features.x[usable], target[usable]
    fit = _Fitter(config, expected, params)
    guess = fit.held_out(x, y, normal, watch.part(watch.stage, 0.0, 0.8))
    trust = min(_TRUST, key=lambda share: (float(np.abs(y - share * guess)[normal].mean()), share))
    errors = np.full(len(rows), np.nan)
    errors[usable] = y - trust * guess
    booster = fit(x[normal], y[normal], watch.part(watch.stage, 0.8, 1.0))
    found = Expected(
        columns=columns,
        booster=booster,
        bases=bases,
        scales=scales,
        trust=trust,
        is_slow=is_slow,
        has_zero=bool((watched[usable][normal] >= 0).all()),
        feature_names=expected.features.names,
    )
    return found, errors


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


class _Fitter:
    """Fits expectations with one set of hyperparameters."""

    def __init__(self, config: TrainingConfig, expected: Expectation, params: Mapping[str, Any]) -> None:
        self.config = config
        self.features = expected.features
        self.algorithm = ALGORITHMS.get(config.algorithm)
        self.params = {**DEFAULT_HYPERPARAMETERS, **self.algorithm.check(params)}

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

    def held_out(self, x: Matrix, y: FloatArray, normal: NDArray[np.bool_], watch: Watch) -> FloatArray:
        """Predict each of four stretches of time by a model of the other three, shape (n,)."""
        out = np.empty(len(y))
        cuts = np.linspace(0, len(y), _FOLDS + 1).astype(int)
        for number, (low, high) in enumerate(pairwise(cuts.tolist())):
            part = watch.part(watch.stage, number / _FOLDS, (number + 1) / _FOLDS)
            others = np.concatenate((np.arange(low), np.arange(high, len(y))))
            others = others[normal[others]]
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
