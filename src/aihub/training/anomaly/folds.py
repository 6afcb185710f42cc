"""Scores of time that the model did not see, and the classifier fits that give them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from aihub.training.algorithms import ALGORITHMS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aihub.training.algorithms.base import Booster
    from aihub.training.anomaly.features import FeatureTable
    from aihub.training.anomaly.table import Columns
    from aihub.training.config import TrainingConfig
    from aihub.training.progress import Watch
    from aihub.types import FloatArray

_FOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Held-out stretches of the training time: each is predicted by a model that saw only what lies before it."""
_MIN_HELD_OUT = 5
_BLIND_SHARE = 0.1
_DEFAULTS = {"colsample_bytree": 0.5}
"""Several features tell of the same anomaly; trees that see half of them rely on more than the first."""


@dataclass(frozen=True)
class HeldOut:
    """Rows of the training time and what a model that had not seen them made of them.

    Attributes
    ----------
    rows, scores, label
        Row numbers in time order, raw scores in [0, 1] and 0/1 labels, shape (m,) each.
    is_forward
        Models saw only what lies before; False: blocks of time before and after.
    """

    rows: NDArray[np.int64]
    scores: FloatArray
    label: FloatArray
    is_forward: bool

    def average_precision(self) -> float:
        """Mean precision at the ones from the highest score down; ties in favour of none."""
        order = np.lexsort((self.label, -self.scores))
        label = self.label[order]
        precision = np.cumsum(label) / np.arange(1, len(label) + 1)
        return float(precision[label > 0].mean()) if label.any() else 0.0


class Fitter:
    """Fits classifiers to chosen rows, all with one set of features and hyperparameters."""

    def __init__(
        self, config: TrainingConfig, features: FeatureTable, label: FloatArray, *, columns: Columns
    ) -> None:
        self.config = config
        self.features = features
        self.blind = _with_blind_rows(features, columns, config.seed)
        self.label = label
        self.algorithm = ALGORITHMS.get(config.algorithm)
        self.params = {**_DEFAULTS, **self.algorithm.check(config.hyperparameters)}

    def __call__(self, chosen: NDArray[np.int64], watch: Watch | None) -> Booster:
        """Fit to the chosen rows."""
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

    def held_out(self, order: NDArray[np.int64], watch: Watch) -> HeldOut:
        """Score time that the scoring model did not see: later time, or blocks where later time has too few anomalies.

        Parameters
        ----------
        order
            Row numbers in time order, shape (n,).
        """
        rows = self._forward(order, watch.part(watch.stage, 0.0, 0.8))
        found = self._of(*rows, is_forward=True)
        if min(found.label.sum(), (1 - found.label).sum()) >= _MIN_HELD_OUT:
            return found
        return self._of(*self._interleaved(order, watch.part(watch.stage, 0.8, 1.0)), is_forward=False)

    def _of(self, rows: NDArray[np.int64], scores: FloatArray, *, is_forward: bool) -> HeldOut:
        return HeldOut(rows, scores, self.label[rows], is_forward)

    def _scores(self, past: NDArray[np.int64], fold: NDArray[np.int64], watch: Watch) -> FloatArray:
        return self(past, watch).predict(self.features.x[fold], threads=self.config.threads)

    def _forward(self, order: NDArray[np.int64], watch: Watch) -> tuple[NDArray[np.int64], FloatArray]:
        cuts = [round(share * len(order)) for share in _FOLDS]
        rows, scores = [np.empty(0, dtype=np.int64)], [np.empty(0)]
        for number, (cut, end) in enumerate(pairwise(cuts)):
            past, fold = order[:cut], order[cut:end]
            known = self.label[past]
            if min(known.sum(), (1 - known).sum()) < _MIN_HELD_OUT or not len(fold):
                continue
            rows.append(fold)
            scores.append(self._scores(past, fold, watch.part(watch.stage, number / 5, (number + 1) / 5)))
        return np.concatenate(rows), np.concatenate(scores)

    def _interleaved(self, order: NDArray[np.int64], watch: Watch) -> tuple[NDArray[np.int64], FloatArray]:
        """Score 20 blocks of time in five folds, each fold by a model that saw the others; rows and scores."""
        fold = np.empty(len(order), dtype=np.int64)
        fold[order] = np.arange(len(order)) * 20 // len(order) % 5
        scores = np.zeros(len(order))
        for number in range(5):
            chosen = np.flatnonzero(fold == number)
            part = watch.part(watch.stage, number / 5, (number + 1) / 5)
            scores[chosen] = self._scores(np.flatnonzero(fold != number), chosen, part)
        return order, scores[order]


def _with_blind_rows(features: FeatureTable, columns: Columns, seed: int) -> FeatureTable:
    """Hide the past of a tenth of the rows, so that a row that comes without history can be judged as well."""
    past = [i for i, name in enumerate(features.names) if ": " in name and name not in columns.numeric]
    if not past:
        return features
    x = features.x.copy()
    blind = np.flatnonzero(np.random.default_rng(seed).random(len(x)) < _BLIND_SHARE)
    x[np.ix_(blind, np.array(past))] = np.nan
    return replace(features, x=x)
