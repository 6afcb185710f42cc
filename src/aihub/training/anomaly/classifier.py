"""With labels: a classifier, calibrated and given its threshold on time that it had not seen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.training.algorithms import ALGORITHMS
from aihub.training.anomaly.calibration import ProbabilityTable
from aihub.training.anomaly.expectation import Expected, learn
from aihub.training.anomaly.features import labelled_features
from aihub.training.anomaly.judge import shares
from aihub.training.anomaly.past import Pace
from aihub.training.anomaly.table import Columns
from aihub.training.anomaly.thresholds import Threshold, choose_threshold

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from aihub.training.algorithms.base import Booster
    from aihub.training.anomaly.features import FeatureTable
    from aihub.training.anomaly.table import Rows
    from aihub.training.config import TrainingConfig
    from aihub.training.progress import Watch
    from aihub.types import FloatArray

_FOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Held-out stretches of the training time: each is predicted by a model that saw only what lies before it."""
_MIN_HELD_OUT = 5
_BLIND_SHARE = 0.1
_DEFAULTS = {"colsample_bytree": 0.5}
"""Several features tell of the same anomaly; trees that see half of them rely on more than the first."""
_MOST_EXPECTED = 8
"""Numeric columns that get an expectation of their own, in the order of the config: each costs five small fits."""
_FEWEST_EXPECTED = 200
_INTERLEAVED = (
    "the later part of the training time holds too few anomalies: the threshold was chosen on interleaved blocks of "
    "time instead of on later time"
)
_BELOW_FLOORS = (
    "no threshold reached precision 0.80 and recall 0.75 on held-out time; the best F1 has precision {:.2f} and "
    "recall {:.2f}"
)


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """A judge that learned from labels; see `aihub.training.anomaly.judge.Judge`."""

    columns: Columns
    pace: Pace
    zone: str
    booster: Booster
    expected: tuple[Expected, ...]
    table: ProbabilityTable
    choice: Threshold
    feature_names: tuple[str, ...]

    @property
    def threshold(self) -> float:
        """Score from which a row is an alarm."""
        return self.choice.value

    @property
    def boosters(self) -> Mapping[str, Booster]:
        """The classifier, and what is expected of each numeric column."""
        return {"classifier": self.booster} | {
            f"expectation-{number}": one.booster for number, one in enumerate(self.expected)
        }

    def score(self, rows: Rows, *, threads: int = 1) -> FloatArray:
        """Probability that a row is an anomaly, shape (n,)."""
        errors = {
            str(one.columns.watched): one.errors(rows, self.pace, self.zone, threads=threads)
            for one in self.expected
        }
        features = labelled_features(rows, self.columns, self.pace, self.zone, errors)
        return self.table(self.booster.predict(features.x, threads=threads))

    def importances(self) -> dict[str, float]:
        """Share of the total gain per feature, largest first."""
        return shares(self.booster.gain, self.feature_names)

    def to_state(self) -> dict[str, Any]:
        """Return everything but the booster."""
        return {
            "columns": self.columns.to_state(),
            "pace": self.pace.to_state(),
            "zone": self.zone,
            "expected": [one.to_state() for one in self.expected],
            "table": self.table.to_state(),
            "choice": self.choice.to_state(),
            "feature_names": list(self.feature_names),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], boosters: Mapping[str, Booster]) -> Classifier:
        """Inverse of `to_state`."""
        return cls(
            columns=Columns.from_state(state["columns"]),
            pace=Pace.from_state(state["pace"]),
            zone=state["zone"],
            booster=boosters["classifier"],
            expected=tuple(
                Expected.from_state(one, boosters[f"expectation-{number}"])
                for number, one in enumerate(state["expected"])
            ),
            table=ProbabilityTable.from_state(state["table"]),
            choice=Threshold.from_state(state["choice"]),
            feature_names=tuple(state["feature_names"]),
        )


def fit_classifier(
    config: TrainingConfig,
    rows: Rows,
    label: FloatArray,
    *,
    columns: Columns,
    pace: Pace,
    zone: str,
    watch: Watch,
) -> tuple[Classifier, tuple[str, ...]]:
    """Fit on all rows; calibrate and choose the threshold on forward folds.

    The folds are stretches of the training time, each predicted by a model that was fitted to the rows before it, so
    that the calibration sees the errors that new time brings.

    Parameters
    ----------
    rows, label
        Rows before the split and their 0/1 labels, shape (n,).

    Returns
    -------
    tuple[Classifier, tuple[str, ...]]
        The judge, and notes for the report.
    """
    part = watch.part("learning what to expect", 0.0, 0.3)
    expected, errors = _expectations(
        config, rows, label == 0, columns=columns, pace=pace, zone=zone, watch=part
    )
    features = labelled_features(rows, columns, pace, zone, errors)
    fit = _Fitter(config, features, _with_blind_rows(features, columns, config.seed), label)
    order = np.lexsort((rows.series, rows.times))
    held_out, held_score = _forward(fit, order, watch.part("choosing the threshold", 0.3, 0.6))
    notes: tuple[str, ...] = ()
    if min(label[held_out].sum(), (1 - label[held_out]).sum()) < _MIN_HELD_OUT:
        held_out, held_score = _interleaved(fit, order, watch.part("choosing the threshold", 0.6, 0.7))
        notes = (_INTERLEAVED,)
    table = ProbabilityTable.fit(held_score, label[held_out])
    choice = choose_threshold(table(held_score), label[held_out])
    if choice.rule == "best_f1":
        notes += (_BELOW_FLOORS.format(choice.precision, choice.recall),)
    booster = fit(np.arange(len(rows)), watch.part("fitting", 0.7, 1.0))
    judge = Classifier(
        columns=columns,
        pace=pace,
        zone=zone,
        booster=booster,
        expected=expected,
        table=table,
        choice=choice,
        feature_names=features.names,
    )
    return judge, notes


def _expectations(
    config: TrainingConfig,
    rows: Rows,
    is_normal: NDArray[np.bool_],
    *,
    columns: Columns,
    pace: Pace,
    zone: str,
    watch: Watch,
) -> tuple[tuple[Expected, ...], dict[str, FloatArray]]:
    """Learn from the normal rows what to expect of each numeric column; the expectations and their held-out errors.

    A few anomalies show a classifier little of what anomalies can be; how far a value is from what normal rows let
    expect carries over to kinds, seasons and directions that none of them had.
    """
    expected: list[Expected] = []
    errors: dict[str, FloatArray] = {}
    watched = columns.numeric[:_MOST_EXPECTED] if columns.timestamp is not None else ()
    for number, name in enumerate(watched):
        others = tuple(other for other in columns.numeric if other != name)
        learned = learn(
            config,
            rows,
            columns=replace(columns, watched=name, numeric=others),
            pace=pace,
            zone=zone,
            watch=watch.part(watch.stage, number / len(watched), (number + 1) / len(watched)),
            params={},
            is_normal=is_normal,
            is_slow=True,
            fewest=_FEWEST_EXPECTED,
        )
        if not isinstance(learned, int):
            expected.append(learned[0])
            errors[name] = learned[1]
    return tuple(expected), errors


def _with_blind_rows(features: FeatureTable, columns: Columns, seed: int) -> FeatureTable:
    """Hide the past of a tenth of the rows, so that a row that comes without history can be judged as well."""
    past = [i for i, name in enumerate(features.names) if ": " in name and name not in columns.numeric]
    if not past:
        return features
    x = features.x.copy()
    blind = np.flatnonzero(np.random.default_rng(seed).random(len(x)) < _BLIND_SHARE)
    x[np.ix_(blind, np.array(past))] = np.nan
    return replace(features, x=x)


class _Fitter:
    """Fits classifiers to chosen rows, all with one set of hyperparameters."""

    def __init__(
        self, config: TrainingConfig, features: FeatureTable, blind: FeatureTable, label: FloatArray
    ) -> None:
        self.config = config
        self.features = features
        self.blind = blind
        self.label = label
        self.algorithm = ALGORITHMS.get(config.algorithm)
        self.params = {**_DEFAULTS, **self.algorithm.check(config.hyperparameters)}

    def __call__(self, chosen: NDArray[np.int64], watch: Watch | None) -> Booster:
        y = self.label[chosen]
        # The square root of the imbalance: enough for rare anomalies to shape the first trees, little enough for the
        # probabilities to stay near their place; the calibration does the rest.
        weight = np.where(y > 0, np.sqrt(max(1.0, (len(y) - y.sum()) / max(y.sum(), 1.0))), 1.0)
        return self.algorithm.fit(
            self.blind.x[chosen],
            y,
            names=self.features.safe_names,
            categorical=self.features.safe_categorical,
            params=self.params,
            objective="binary",
            weights=weight,
            seed=self.config.seed,
            threads=self.config.threads,
            on_round=watch,
        )

    def scores(self, past: NDArray[np.int64], fold: NDArray[np.int64], watch: Watch | None) -> FloatArray:
        """Score `fold` by a model that saw `past`."""
        return self(past, watch).predict(self.features.x[fold], threads=self.config.threads)


def _forward(fit: _Fitter, order: NDArray[np.int64], watch: Watch) -> tuple[NDArray[np.int64], FloatArray]:
    """Score stretches of time, each by a model that saw only what lies before; rows and scores."""
    cuts = [round(share * len(order)) for share in _FOLDS]
    rows, scores = [np.empty(0, dtype=np.int64)], [np.empty(0)]
    for number, (cut, end) in enumerate(pairwise(cuts)):
        past, fold = order[:cut], order[cut:end]
        known = fit.label[past]
        if min(known.sum(), (1 - known).sum()) < _MIN_HELD_OUT or not len(fold):
            continue
        rows.append(fold)
        scores.append(fit.scores(past, fold, watch.part(watch.stage, number / 5, (number + 1) / 5)))
    return np.concatenate(rows), np.concatenate(scores)


def _interleaved(
    fit: _Fitter, order: NDArray[np.int64], watch: Watch
) -> tuple[NDArray[np.int64], FloatArray]:
    """Score 20 blocks of time in five folds, each fold by a model that saw the others; rows and scores."""
    fold = np.empty(len(order), dtype=np.int64)
    fold[order] = np.arange(len(order)) * 20 // len(order) % 5
    scores = np.zeros(len(order))
    for number in range(5):
        chosen = np.flatnonzero(fold == number)
        part = watch.part(watch.stage, number / 5, (number + 1) / 5)
        scores[chosen] = fit.scores(np.flatnonzero(fold != number), chosen, part)
    return np.arange(len(order)), scores
