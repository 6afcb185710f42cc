"""Metrics of forecasts and anomaly detectors, computed from sums that merge.

What is undefined is NaN, and NaN passes no threshold:

- rows whose target is NaN or infinite are left out and counted (`excluded`);
- one NaN or infinite prediction makes every metric NaN: a model that does not answer is not a good model;
- MAPE leaves out rows whose target is zero, as the field does (the error relative to nothing is undefined; scikit-learn's
  epsilon gives numbers like 1e17), and counts them; it is NaN where every target is zero;
- R2 of a constant target is NaN;
- precision without a positive prediction and recall without a positive label are NaN, and so is F1 without either;
- the area under the ROC curve of one class only is NaN.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.validation.profile.sums import ClassificationSums, RegressionSums, area
from aihub.validation.skill import season_before

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aihub.types import FloatArray

HIGHER_IS_BETTER = frozenset({"r2_score", "precision", "recall", "f1_score", "auc_roc", "accuracy", "skill"})

REGRESSION_METRICS = ("mae", "rmse", "mape", "r2_score", "smape", "wape", "bias", "mase", "skill")
CLASSIFICATION_METRICS = ("precision", "recall", "f1_score", "auc_roc", "accuracy")

__all__ = [
    "ClassificationSums",
    "RegressionSums",
    "auc_roc",
    "classification_metrics",
    "is_lower_better",
    "regression_metrics",
    "seasonal_scale",
    "with_scale",
]


def is_lower_better(metric: str) -> bool:
    """Whether less is better: errors yes; r2_score, skill and the scores of a classifier no.

    >>> is_lower_better("mae"), is_lower_better("f1_score")
    (True, False)
    """
    return metric not in HIGHER_IS_BETTER


def regression_metrics(
    y_true: FloatArray, y_pred: FloatArray, *, season: int | None = None, scale: float | None = None
) -> dict[str, float]:
    """Compute the metrics of a forecast; the module's docstring has the policy for what is undefined.

    Parameters
    ----------
    y_true, y_pred
        Target and prediction, float64 of shape (n,), in time order where `season` is given.
    season
        Steps of the seasonal naive forecast that mase and skill compare with.
    scale
        Mean absolute error of the naive forecast, where it is known (then `season` is not needed).

    Returns
    -------
    dict
        mae, rmse, mape, r2_score, smape, wape, bias; with a scale also mase (Hyndman and Koehler, "Another look at
        measures of forecast accuracy", International Journal of Forecasting 22(4), 2006; below 1 beats the naive
        forecast) and skill = 1 - mase.

    Raises
    ------
    ValueError
        The arrays differ in length.

    Examples
    --------
    >>> m = regression_metrics(np.array([100.0, 0.0, 50.0]), np.array([110.0, 1.0, 50.0]))
    >>> round(m["mae"], 4), round(m["mape"], 4)
    (3.6667, 5.0)
    """
    _same_length(y_true, y_pred)
    if scale is None and season is not None:
        scale = seasonal_scale(y_true, season)
    return with_scale(RegressionSums.of(y_true, y_pred).metrics(), scale)


def with_scale(metrics: dict[str, float], scale: float | None) -> dict[str, float]:
    """Add mase and skill to the `metrics` of a forecast, where the naive forecast's error is known."""
    if scale is None:
        return metrics
    mase = metrics["mae"] / scale if scale > 0 else math.nan
    return {**metrics, "mase": mase, "skill": 1.0 - mase}


def seasonal_scale(
    y_true: FloatArray,
    season: int,
    *,
    timestamps: NDArray[np.datetime64] | None = None,
    series: NDArray[Any] | None = None,
) -> float:
    """Mean absolute error of repeating the value of `season` steps before, within each series.

    With `timestamps` a step is a step of time, whatever rows are missing. NaN where no pair of finite values is `season` apart.
    """
    gaps = np.abs(y_true - season_before(y_true, season, timestamps=timestamps, series=series))
    gaps = gaps[np.isfinite(gaps)]
    return float(gaps.mean()) if gaps.size else math.nan


def classification_metrics(
    y_true: FloatArray,
    y_pred: FloatArray,
    score: FloatArray | None = None,
    *,
    counts: ClassificationSums | None = None,
) -> dict[str, float]:
    """Compute the metrics of an anomaly detector; the module's docstring has the policy for what is undefined.

    Parameters
    ----------
    y_true, y_pred
        Labels and predictions, 0 or 1 (positive from 0.5 up), float64 of shape (n,).
    score
        What auc_roc ranks by, higher is more unusual; `y_pred` itself where it is not given.
    counts
        The sums of the same rows, where they are known.

    Returns
    -------
    dict
        precision, recall, f1_score, auc_roc and accuracy, each 0 to 1, 1 is best.

    Raises
    ------
    ValueError
        The arrays differ in length.

    Examples
    --------
    >>> m = classification_metrics(np.array([1.0, 1.0, 0.0, 0.0]), np.array([1.0, 0.0, 0.0, 0.0]))
    >>> m["precision"], m["recall"], m["auc_roc"]
    (1.0, 0.5, 0.75)
    """
    _same_length(y_true, y_pred)
    found = (counts or ClassificationSums.of(y_true, y_pred, score)).metrics()
    if not math.isnan(found["auc_roc"]):
        found["auc_roc"] = auc_roc(y_true, y_pred if score is None else score)
    return found


def auc_roc(y_true: FloatArray, score: FloatArray) -> float:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties counted half.

    O(n log n) (Hanley and McNeil, "The meaning and use of the area under a receiver operating characteristic (ROC)
    curve", Radiology 143, 1982). Rows without a label are left out; NaN with one class only or a score that is NaN.

    Examples
    --------
    >>> auc_roc(np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.1, 0.4, 0.4, 0.8]))
    0.875
    """
    _same_length(y_true, score)
    labelled = np.isfinite(y_true)
    label, ranked = y_true[labelled] >= 0.5, score[labelled]  # noqa: PLR2004 - between 0 and 1
    if np.isnan(ranked).any():
        return math.nan
    _, inverse = np.unique(ranked, return_inverse=True)
    positive = np.bincount(inverse[label], minlength=int(inverse.max(initial=-1)) + 1)
    negative = np.bincount(inverse[~label], minlength=positive.size)
    return area(positive, negative)


def _same_length(a: FloatArray, b: FloatArray) -> None:
    if len(a) != len(b):
        raise ValueError(f"{len(a)} targets but {len(b)} predictions; give one prediction per row")
