"""Metrics of forecasts and anomaly detectors, from sums that merge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aihub.types import FloatArray


@dataclass(frozen=True)
class RegressionSums:
    """Sums from which every forecast metric is computed. See `regression_metrics` for the NaN policy."""

    n: int

    @classmethod
    def of(cls, y_true: FloatArray, y_pred: FloatArray) -> RegressionSums:
        """Sums over rows; shape (n,) each."""
        raise NotImplementedError

    def merge(self, other: RegressionSums) -> RegressionSums:
        """Sums over both tables."""
        raise NotImplementedError

    def metrics(self) -> dict[str, float]:
        """Give mae, rmse, mape, r2_score, smape, wape, bias."""
        raise NotImplementedError


@dataclass(frozen=True)
class ClassificationSums:
    """Confusion counts and score histograms per class."""

    tp: int
    fp: int
    fn: int
    tn: int

    def metrics(self) -> dict[str, float]:
        """Give precision, recall, f1_score, auc_roc."""
        raise NotImplementedError


def regression_metrics(
    y_true: FloatArray, y_pred: FloatArray, *, season: int | None = None, scale: float | None = None
) -> dict[str, float]:
    """Give mae, rmse, mape (percent), r2_score, smape, wape (percent), bias, and mase where season or scale is known.

    Rows with NaN or infinite target are left out; a NaN or infinite prediction of a labelled row makes every metric NaN,
    which passes no threshold.
    """
    raise NotImplementedError


def classification_metrics(
    y_true: FloatArray, y_pred: FloatArray, score: FloatArray | None = None
) -> dict[str, float]:
    """Give precision, recall, f1_score, auc_roc (of `score`, else of `y_pred`)."""
    raise NotImplementedError


def auc_roc(y_true: FloatArray, score: FloatArray) -> float:
    """Area under the ROC curve, ties counted half, O(n log n); NaN with one class only."""
    raise NotImplementedError


def is_lower_better(metric: str) -> bool:
    """Whether less is better: errors yes, r2_score, precision, recall, f1_score and auc_roc no."""
    return metric not in {"r2_score", "precision", "recall", "f1_score", "auc_roc", "accuracy"}
