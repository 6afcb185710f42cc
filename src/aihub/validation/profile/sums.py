"""Sums over rows from which every metric is computed; they merge. `aihub.validation.metrics` has the policy."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.validation.profile.common import CommonBins
from aihub.validation.profile.histogram import FloatHistogram
from aihub.validation.profile.numeric import Moments

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aihub.types import FloatArray

_CHUNK = 131_072


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
            both = np.abs(p)
            both += size
            zeros = int(y.size - np.count_nonzero(size))
            if zeros:  # rows without a percentage are rare, and leaving them out is slow
                symmetric = absolute[both > 0] / both[both > 0]
                percentage = absolute[size > 0] / size[size > 0]
            else:
                symmetric = np.divide(absolute, both, out=both)
                percentage = absolute / size
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
        bins = CommonBins.of(self.positive, self.negative)
        return {
            "precision": _ratio(self.tp, self.tp + self.fp),
            "recall": _ratio(self.tp, self.tp + self.fn),
            "f1_score": _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn),
            "auc_roc": area(bins.reference, bins.current),
            "accuracy": _ratio(self.tp + self.tn, self.n),
        }


def area(
    positive: FloatArray | NDArray[np.integer[Any]], negative: FloatArray | NDArray[np.integer[Any]]
) -> float:
    """Mann-Whitney's statistic from counts per ascending score."""
    n_positive, n_negative = int(positive.sum()), int(negative.sum())
    if not n_positive or not n_negative:
        return math.nan
    below = np.cumsum(negative) - negative
    wins = float(np.dot(positive, below + negative / 2.0))
    return wins / n_positive / n_negative


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
