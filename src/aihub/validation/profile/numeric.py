"""Summary of a numeric column: counts, moments, extremes, histogram."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aihub.validation.profile.counting import HistogramBuilder
from aihub.validation.profile.histogram import FloatHistogram

if TYPE_CHECKING:
    from aihub.types import FloatArray

_BATCH = (
    262_144  # values that are looked at together: 2 MB, so that a call to numpy costs nothing beside its work
)
_SAFE = 1e-3  # from this share of the sum of squares on, taking off that of the mean leaves 12 digits


@dataclass(frozen=True)
class Moments:
    """Count, mean and sum of squared deviations of finite values, with their extremes.

    `merge` is the parallel update of Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing
    Sample Variances" (Stanford CS-79-773, 1979). Values so large that their square overflows give an infinite `m2`.
    """

    n: int = 0
    mean: float = math.nan
    m2: float = 0.0
    minimum: float = math.nan
    maximum: float = math.nan

    @classmethod
    @np.errstate(over="ignore", invalid="ignore")
    def of(cls, values: FloatArray) -> Moments:
        """Moments of finite `values`, shape (n,)."""
        if values.size == 0:
            return cls()
        n, low, high = values.size, float(values.min()), float(values.max())
        total = float(values.sum())
        mean = total / n if math.isfinite(total) else float((values / n).sum())
        mean = min(max(mean, low), high)  # rounding must not push the mean of a constant beside it
        deviation = values - mean
        m2 = float(np.dot(deviation, deviation))
        return cls(n, mean, m2 if m2 == m2 else math.inf, low, high)  # noqa: PLR0124 - NaN is the only such number

    def merge(self, other: Moments) -> Moments:
        """Moments of both samples."""
        if not self.n or not other.n:
            return self if self.n else other
        n = self.n + other.n
        if self.mean == other.mean:
            mean, between = self.mean, 0.0
        else:
            # symmetric in the two, so that merging is commutative to the last bit
            mean = self.mean * (self.n / n) + other.mean * (other.n / n)
            between = (other.mean - self.mean) ** 2 if abs(other.mean - self.mean) < 1e150 else math.inf  # noqa: PLR2004
            between *= self.n * other.n / n
        low, high = min(self.minimum, other.minimum), max(self.maximum, other.maximum)
        return Moments(n, min(max(mean, low), high), self.m2 + other.m2 + between, low, high)


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
    moments
        Of the finite values.
    histogram
        Counts of the finite values.
    kind
        ``"number"``, or ``"time"`` for time stamps (seconds since 1970 in UTC) and durations (seconds).
    """

    rows: int
    missing: int
    positive_infinite: int
    negative_infinite: int
    moments: Moments
    histogram: FloatHistogram
    kind: str = "number"

    @classmethod
    def of(cls, values: FloatArray, *, kind: str = "number") -> NumericSummary:
        """Summarise float64 `values` of shape (n,) in one pass over memory.

        Examples
        --------
        >>> s = NumericSummary.of(np.array([1.0, 2.0, 3.0, np.nan]))
        >>> s.n, s.missing, s.mean, s.std
        (3, 1, 2.0, 1.0)
        """
        builder = NumericBuilder(kind)
        builder.add(values)
        return builder.finish()

    def merge(self, other: NumericSummary) -> NumericSummary:
        """Summary of both columns: counts exact, moments to rounding, quantiles within the histogram's bins."""
        return NumericSummary(
            self.rows + other.rows,
            self.missing + other.missing,
            self.positive_infinite + other.positive_infinite,
            self.negative_infinite + other.negative_infinite,
            self.moments.merge(other.moments),
            self.histogram.merge(other.histogram),
            self.kind,
        )

    @classmethod
    def absent(cls, rows: int, kind: str = "number") -> NumericSummary:
        """Summary of a column that a table of `rows` rows does not have."""
        return cls(rows, rows, 0, 0, Moments(), FloatHistogram.empty(), kind)

    @property
    def n(self) -> int:
        """Finite values."""
        return self.moments.n

    @property
    def non_finite(self) -> int:
        """Infinite values."""
        return self.positive_infinite + self.negative_infinite

    @property
    def minimum(self) -> float:
        """Smallest finite value; NaN where there is none."""
        return self.moments.minimum

    @property
    def maximum(self) -> float:
        """Largest finite value; NaN where there is none."""
        return self.moments.maximum

    @property
    def mean(self) -> float:
        """Mean of the finite values; NaN where there is none."""
        return self.moments.mean

    @property
    def variance(self) -> float:
        """Sample variance (n - 1); NaN below two values."""
        return self.moments.m2 / (self.n - 1) if self.n > 1 else math.nan

    @property
    def std(self) -> float:
        """Sample standard deviation; NaN below two values."""
        return math.sqrt(self.variance)

    def quantile(self, q: FloatArray | float) -> FloatArray:
        """Values at ranks `q` in [0, 1], inside the extremes; NaN where there are no finite values."""
        found = self.histogram.quantile(q)
        return np.clip(found, self.minimum, self.maximum) if self.n else found


class NumericBuilder:
    """Summarises a column that comes in batches."""

    def __init__(self, kind: str = "number") -> None:
        self._kind = kind
        self._rows = self._missing = self._positive = self._negative = 0
        self._moments = Moments()
        self._histogram = HistogramBuilder()

    @np.errstate(over="ignore", invalid="ignore")
    def add(self, values: FloatArray) -> None:
        """Add float64 `values`, shape (n,)."""
        self._rows += values.size
        for start in range(0, values.size, _BATCH):
            batch = np.ascontiguousarray(values[start : start + _BATCH], dtype=np.float64)
            moments = _moments(batch)
            if moments is None:
                batch = self._finite(batch)
                moments = _moments(batch) or Moments.of(batch)
            self._moments = self._moments.merge(moments)
            if batch.size:
                self._histogram.add(batch)

    def _finite(self, batch: FloatArray) -> FloatArray:
        """Count and drop what is not finite."""
        finite = np.isfinite(batch)
        rest = batch[~finite]
        missing = int(np.count_nonzero(np.isnan(rest)))
        positive = int(np.count_nonzero(rest > 0))
        self._missing += missing
        self._positive += positive
        self._negative += rest.size - missing - positive
        return batch[finite]

    def finish(self) -> NumericSummary:
        """Summary of everything that was added."""
        return NumericSummary(
            self._rows,
            self._missing,
            self._positive,
            self._negative,
            self._moments,
            self._histogram.finish(),
            self._kind,
        )


def moments_of(values: FloatArray) -> Moments | None:
    """Moments of float64 `values` at about 1.5 ns a value; None where any is NaN or infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        found = _moments(np.ascontiguousarray(values, dtype=np.float64))
    return found if found is not None or not np.isfinite(values).all() else Moments.of(values)


def finite_moments(values: FloatArray) -> Moments:
    """Moments of the finite ones of float64 `values`."""
    found = moments_of(values)
    return found if found is not None else Moments.of(values[np.isfinite(values)])


def _moments(batch: FloatArray) -> Moments | None:
    """Moments of values, batch by batch; None where a sum is not finite."""
    parts = []
    deviation = np.empty(min(_BATCH, batch.size))
    for start in range(0, batch.size, _BATCH):
        chunk = batch[start : start + _BATCH]
        mean = float(np.add.reduce(chunk)) / chunk.size
        if not math.isfinite(mean):
            return None
        low, high = float(np.minimum.reduce(chunk)), float(np.maximum.reduce(chunk))
        mean = min(max(mean, low), high)
        square = float(np.dot(chunk, chunk))
        m2 = square - chunk.size * mean * mean
        if not m2 > _SAFE * square:
            part = np.subtract(chunk, mean, out=deviation[: chunk.size])
            m2 = float(np.dot(part, part))
        parts.append((chunk.size, mean, m2, low, high))
    if not parts:
        return Moments()
    n, means, m2, lows, highs = np.array(parts).T
    low, high, mean = float(lows.min()), float(highs.max()), float(np.dot(n, means)) / batch.size
    total = float(m2.sum() + np.dot(n, (means - mean) ** 2))
    if not math.isfinite(mean) or not math.isfinite(total):
        return None
    return Moments(batch.size, min(max(mean, low), high), total, low, high)
