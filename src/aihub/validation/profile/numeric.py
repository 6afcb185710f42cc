"""Summary of a numeric column: counts, moments, extremes, histogram."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from aihub.types import FloatArray
    from aihub.validation.profile.histogram import FloatHistogram


@dataclass(frozen=True, eq=False)
class NumericSummary:
    """What is known of a numeric column.

    Attributes
    ----------
    rows
        Rows seen.
    missing
        NaN or null.
    positive_infinite, negative_infinite
        Infinite values; they are in no moment and no bin.
    minimum, maximum, mean
        Of the finite values; NaN where there are none.
    m2
        Sum of squared deviations from the mean.
    histogram
        Counts of the finite values.
    kind
        ``"number"``, or ``"time"`` for time stamps (seconds since 1970 in UTC) and durations (seconds).
    """

    rows: int
    missing: int
    positive_infinite: int
    negative_infinite: int
    minimum: float
    maximum: float
    mean: float
    m2: float
    histogram: FloatHistogram
    kind: str = "number"

    @classmethod
    def of(cls, values: FloatArray, *, like: NumericSummary | None = None, kind: str = "number") -> NumericSummary:
        """Summarise float64 `values` of shape (n,) in one pass."""
        raise NotImplementedError

    def merge(self, other: NumericSummary) -> NumericSummary:
        """Summary of both columns (moments by Chan, Golub and LeVeque 1979)."""
        raise NotImplementedError

    @property
    def n(self) -> int:
        """Finite values."""
        return self.rows - self.missing - self.non_finite

    @property
    def non_finite(self) -> int:
        """Infinite values."""
        return self.positive_infinite + self.negative_infinite

    @property
    def variance(self) -> float:
        """Sample variance (n - 1); NaN below two values."""
        return self.m2 / (self.n - 1) if self.n > 1 else float("nan")

    @property
    def std(self) -> float:
        """Sample standard deviation; NaN below two values."""
        return float(np.sqrt(self.variance))

    def quantile(self, q: FloatArray | float) -> FloatArray:
        """Values at ranks `q`; NaN where there are no finite values."""
        return self.histogram.quantile(q)
