"""Histogram over the bit patterns of float64: exact counts, mergeable with any other, no edges to choose.

The top bits of an IEEE-754 double, read as an ordered integer, cut the number line into bins whose relative width is a
power of two. Dropping one more bit joins neighbours exactly, so two histograms of different resolution are compared or
merged at the coarser of the two without any error in the counts - what a sketch with random compaction, or bins with
edges taken from one of the samples, cannot do. At most `MAX_BINS` bins are kept: a column of at most that many distinct
values is kept exactly; else the resolution halves until it fits (uniform collapse; the idea is Epicoco et al., "UDDSketch",
IEEE Access 8, 2020, on the ordered-integer universe of Shrivastava et al., "q-digest", SenSys 2004).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aihub.types import FloatArray

MAX_BINS = 1024
"""Bins kept at most: about 4 kB a column when stored."""


@dataclass(frozen=True, eq=False)
class FloatHistogram:
    """Counts of finite float64 values in bins of equal relative width.

    Attributes
    ----------
    shift
        Low bits dropped from the ordered key, 0 (every distinct value has its own bin) to 63.
    keys
        Occupied bins, ascending in value, int64, shape (k,), k <= `MAX_BINS`.
    counts
        Values per bin, int64, shape (k,), all positive.
    """

    shift: int
    keys: NDArray[np.int64]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, values: FloatArray, *, hint: FloatHistogram | None = None) -> FloatHistogram:
        """Count the finite `values`; `hint` (a histogram of similar data) saves choosing the resolution."""
        raise NotImplementedError

    def merge(self, other: FloatHistogram) -> FloatHistogram:
        """Histogram of both samples: exact, associative, commutative."""
        raise NotImplementedError

    @property
    def n(self) -> int:
        """Values counted."""
        return int(self.counts.sum())

    @property
    def lower(self) -> FloatArray:
        """Smallest float64 of each bin, shape (k,)."""
        raise NotImplementedError

    @property
    def upper(self) -> FloatArray:
        """Largest float64 of each bin, shape (k,)."""
        raise NotImplementedError

    def quantile(self, q: FloatArray | float) -> FloatArray:
        """Values at ranks `q` in [0, 1]; inside the right bin always, interpolated linearly in it."""
        raise NotImplementedError

    def cdf(self, x: FloatArray | float) -> FloatArray:
        """Share of values <= `x`."""
        raise NotImplementedError


def common_bins(
    a: FloatHistogram, b: FloatHistogram
) -> tuple[FloatArray, FloatArray, NDArray[np.int64], NDArray[np.int64]]:
    """Both histograms on the same bins: lower bounds, upper bounds, counts of `a`, counts of `b`; shape (k,) each.

    Every bin holds at least one value of one of them. The counts are exact, so ``max|cumsum(a)/n - cumsum(b)/m|`` is a
    lower bound of the two samples' Kolmogorov-Smirnov distance.
    """
    raise NotImplementedError
