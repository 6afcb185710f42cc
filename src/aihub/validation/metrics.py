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
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.validation.profile.histogram import FloatHistogram, common_bins
from aihub.validation.profile.numeric import Moments

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aihub.types import FloatArray

HIGHER_IS_BETTER = frozenset({"r2_score", "precision", "recall", "f1_score", "auc_roc", "accuracy", "skill"})

REGRESSION_METRICS = ("mae", "rmse", "mape", "r2_score", "smape", "wape", "bias", "mase", "skill")
CLASSIFICATION_METRICS = ("precision", "recall", "f1_score", "auc_roc", "accuracy")

_CHUNK = 32_768


def is_lower_better(metric: str) -> bool:
    """Whether less is better: errors yes; r2_score, skill and the scores of a classifier no.

    >>> is_lower_better("mae"), is_lower_better("f1_score")
    (True, False)
    """
    return metric not in HIGHER_IS_BETTER


@dataclass(frozen=True)
class RegressionSums:
    """Sums from which every forecast metric is computed.

    Attributes
    ----------
    n
        Rows with a finite target and a finite prediction.
    excluded
        Rows whose target is NaN or infinite.
    bad
        Rows whose prediction is NaN or infinite.
    zeros
        Rows of `n` whose target is zero; they are in no percentage.
    error
        Moments of prediction - target.
    true
        Moments of the target.
    absolute_error, absolute_true, percentage_error, symmetric_error
        Sums of ``|p - y|``, ``|y|``, ``|p - y| / |y|`` and ``2 |p - y| / (|p| + |y|)``.
    """

    n: int = 0
    excluded: int = 0
    bad: int = 0
    zeros: int = 0
    error: Moments = field(default_factory=Moments)
    true: Moments = field(default_factory=Moments)
    absolute_error: float = 0.0
    absolute_true: float = 0.0
    percentage_error: float = 0.0
    symmetric_error: float = 0.0

    @classmethod
    def of(cls, y_true: FloatArray, y_pred: FloatArray) -> RegressionSums:
        """Compute the sums over rows; float64 of shape (n,) each."""
        total = cls()
        for start in range(0, len(y_true), _CHUNK):
            total = total.merge(cls._of_chunk(y_true[start : start + _CHUNK], y_pred[start : start + _CHUNK]))
        return total

    @classmethod
    @np.errstate(over="ignore", invalid="ignore")
    def _of_chunk(cls, y: FloatArray, p: FloatArray) -> RegressionSums:
        bad = excluded = 0
        if not math.isfinite(float(y.sum())) or not math.isfinite(float(p.sum())):
            has_answer, has_target = np.isfinite(p), np.isfinite(y)
            bad = int(p.size - np.count_nonzero(has_answer))
            excluded = int(y.size - np.count_nonzero(has_target))
            y, p = y[has_answer & has_target], p[has_answer & has_target]
        with np.errstate(over="ignore", invalid="ignore"):
            difference = p - y
            absolute, size = np.abs(difference), np.abs(y)
            both = np.abs(p) + size
            zeros = int(y.size - np.count_nonzero(y))
            percentage = absolute / size if not zeros else absolute[size > 0] / size[size > 0]
            symmetric = np.divide(absolute, both, out=np.zeros_like(both), where=both > 0)
            return cls(
                n=y.size,
                excluded=excluded,
                bad=bad,
                zeros=zeros,
                error=Moments.of(difference),
                true=Moments.of(y),
                absolute_error=float(absolute.sum()),
                absolute_true=float(size.sum()),
                percentage_error=float(percentage.sum()),
                symmetric_error=2.0 * float(symmetric.sum()),
            )

    def merge(self, other: RegressionSums) -> RegressionSums:
        """Add the sums of two tables."""
        return RegressionSums(
            n=self.n + other.n,
            excluded=self.excluded + other.excluded,
            bad=self.bad + other.bad,
            zeros=self.zeros + other.zeros,
            error=self.error.merge(other.error),
            true=self.true.merge(other.true),
            absolute_error=self.absolute_error + other.absolute_error,
            absolute_true=self.absolute_true + other.absolute_true,
            percentage_error=self.percentage_error + other.percentage_error,
            symmetric_error=self.symmetric_error + other.symmetric_error,
        )

    def metrics(self) -> dict[str, float]:
        """Give mae, rmse, mape, r2_score, smape, wape and bias.

        Units: mae, rmse and bias (mean of prediction - target) in the target's; mape, smape and wape in percent, 0 is
        best; r2_score at most 1, which is best.
        """
        names = ("mae", "rmse", "mape", "r2_score", "smape", "wape", "bias")
        if not self.n or self.bad:
            return dict.fromkeys(names, math.nan)
        n, nonzero = self.n, self.n - self.zeros
        squared = self.error.m2 + n * self.error.mean * self.error.mean
        return {
            "mae": self.absolute_error / n,
            "rmse": math.sqrt(squared / n),
            "mape": 100.0 * self.percentage_error / nonzero if nonzero else math.nan,
            "r2_score": 1.0 - squared / self.true.m2 if self.true.m2 > 0 else math.nan,
            "smape": 100.0 * self.symmetric_error / n,
            "wape": 100.0 * self.absolute_error / self.absolute_true if self.absolute_true > 0 else math.nan,
            "bias": self.error.mean,
        }


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
    found = RegressionSums.of(y_true, y_pred).metrics()
    if scale is None and season is not None:
        scale = seasonal_scale(y_true, season)
    if scale is not None:
        found["mase"] = found["mae"] / scale if scale > 0 else math.nan
        found["skill"] = 1.0 - found["mase"]
    return found


def seasonal_scale(
    y_true: FloatArray,
    season: int,
    *,
    timestamps: NDArray[np.datetime64] | None = None,
    series: NDArray[Any] | None = None,
) -> float:
    """Mean absolute error of repeating the value of `season` steps before, within each series.

    Rows are put in time order where `timestamps` are given. NaN where no pair of finite values is `season` apart.
    """
    if season < 1 or season >= len(y_true):
        return math.nan
    y, keys = y_true, series
    if timestamps is not None:
        order = np.argsort(timestamps, kind="stable")
        if series is not None:
            codes = np.unique(series.astype(str), return_inverse=True)[1]
            order = order[np.argsort(codes[order], kind="stable")]
            keys = codes[order]
        y = y_true[order]
    gaps = np.abs(y[season:] - y[:-season])
    if keys is not None:
        gaps = gaps[keys[season:] == keys[:-season]]
    gaps = gaps[np.isfinite(gaps)]
    return float(gaps.mean()) if gaps.size else math.nan


@dataclass(frozen=True)
class ClassificationSums:
    """Confusion counts and a histogram of the score per class.

    Attributes
    ----------
    tp, fp, fn, tn
        True and false positives, false and true negatives.
    excluded, bad
        Rows without a label, and rows whose prediction is not a finite number.
    positive, negative
        Scores of the rows labelled 1 and 0.
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0
    excluded: int = 0
    bad: int = 0
    positive: FloatHistogram = field(default_factory=FloatHistogram.empty)
    negative: FloatHistogram = field(default_factory=FloatHistogram.empty)

    @classmethod
    def of(
        cls, y_true: FloatArray, y_pred: FloatArray, score: FloatArray | None = None
    ) -> ClassificationSums:
        """Count rows; labels and predictions are positive from 0.5 up; float64 of shape (n,) each."""
        ranked = y_pred if score is None else score
        answered = np.isfinite(y_pred) & np.isfinite(ranked)
        labelled = np.isfinite(y_true)
        use = answered & labelled
        label, positive = y_true[use] >= 0.5, y_pred[use] >= 0.5  # noqa: PLR2004 - between 0 and 1
        tp, fp = int(np.count_nonzero(label & positive)), int(np.count_nonzero(~label & positive))
        fn, tn = int(np.count_nonzero(label & ~positive)), int(np.count_nonzero(~label & ~positive))
        ranked = ranked[use]
        return cls(
            tp,
            fp,
            fn,
            tn,
            excluded=int(np.count_nonzero(~labelled)),
            bad=int(np.count_nonzero(~answered)),
            positive=FloatHistogram.of(ranked[label]),
            negative=FloatHistogram.of(ranked[~label]),
        )

    @property
    def n(self) -> int:
        """Rows counted."""
        return self.tp + self.fp + self.fn + self.tn

    def merge(self, other: ClassificationSums) -> ClassificationSums:
        """Add the sums of two tables."""
        return ClassificationSums(
            self.tp + other.tp,
            self.fp + other.fp,
            self.fn + other.fn,
            self.tn + other.tn,
            self.excluded + other.excluded,
            self.bad + other.bad,
            self.positive.merge(other.positive),
            self.negative.merge(other.negative),
        )

    def confusion(self) -> dict[str, int]:
        """Give the four counts by name."""
        return {
            "true_positives": self.tp,
            "false_positives": self.fp,
            "false_negatives": self.fn,
            "true_negatives": self.tn,
        }

    def metrics(self) -> dict[str, float]:
        """Give precision, recall, f1_score, auc_roc and accuracy; auc_roc counts scores of one bin as ties."""
        if not self.n or self.bad:
            return dict.fromkeys(("precision", "recall", "f1_score", "auc_roc", "accuracy"), math.nan)
        _, _, positive, negative = common_bins(self.positive, self.negative)
        return {
            "precision": _ratio(self.tp, self.tp + self.fp),
            "recall": _ratio(self.tp, self.tp + self.fn),
            "f1_score": _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn),
            "auc_roc": _auc(positive, negative),
            "accuracy": _ratio(self.tp + self.tn, self.n),
        }


def classification_metrics(
    y_true: FloatArray, y_pred: FloatArray, score: FloatArray | None = None
) -> dict[str, float]:
    """Compute the metrics of an anomaly detector; the module's docstring has the policy for what is undefined.

    Parameters
    ----------
    y_true, y_pred
        Labels and predictions, 0 or 1 (positive from 0.5 up), float64 of shape (n,).
    score
        What auc_roc ranks by, higher is more unusual; `y_pred` itself where it is not given.

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
    found = ClassificationSums.of(y_true, y_pred, score).metrics()
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
    return _auc(positive, negative)


def _auc(positive: NDArray[np.integer[Any]], negative: NDArray[np.integer[Any]]) -> float:
    """Mann-Whitney's statistic from counts per ascending score."""
    n_positive, n_negative = int(positive.sum()), int(negative.sum())
    if not n_positive or not n_negative:
        return math.nan
    below = np.cumsum(negative) - negative
    wins = float(np.dot(positive.astype(np.float64), below + negative / 2.0))
    return wins / n_positive / n_negative


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def _same_length(a: FloatArray, b: FloatArray) -> None:
    if len(a) != len(b):
        raise ValueError(f"{len(a)} targets but {len(b)} predictions; give one prediction per row")
