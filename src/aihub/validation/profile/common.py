"""Two histograms on common bins, fast: the bounds are computed only where somebody asks for them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from aihub.validation.profile.histogram import FloatHistogram, ordered_keys

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aihub.types import FloatArray


@dataclass(frozen=True, eq=False)
class CommonBins:
    """Counts of two samples in the same ascending bins, shape (k,) each.

    Every bin holds at least one value of one of them. The counts are exact, so ``max|cumsum(a)/n - cumsum(b)/m|`` is a
    lower bound of the two samples' Kolmogorov-Smirnov distance, and equal to it where both are exact.

    Examples
    --------
    >>> a, b = FloatHistogram.of(np.array([1.0, 2.0])), FloatHistogram.of(np.array([2.0, 4.0]))
    >>> bins = CommonBins.of(a, b)
    >>> bins.reference.tolist(), bins.current.tolist(), bins.lower.tolist()
    ([1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [1.0, 2.0, 4.0])
    """

    joint: FloatHistogram
    reference: FloatArray
    current: FloatArray

    @classmethod
    def of(cls, reference: FloatHistogram, current: FloatHistogram) -> CommonBins:
        """Align two histograms at the coarser of their resolutions; no count is lost or split."""
        shift = max(reference.shift, current.shift)
        first, n = _coarse(reference, shift)
        second, m = _coarse(current, shift)
        # Two ascending runs: a merge, where a general union would hash.
        merged = np.sort(np.concatenate((first, second)), kind="stable")
        keys = merged[np.concatenate(([True], merged[1:] != merged[:-1]))] if merged.size else merged
        counts = np.zeros((2, keys.size))
        counts[0, np.searchsorted(keys, first)] = n
        counts[1, np.searchsorted(keys, second)] = m
        grain = min(reference.grain, current.grain)
        return cls(
            FloatHistogram(shift, keys, counts.sum(axis=0).astype(np.int64), grain), counts[0], counts[1]
        )

    def beyond(self, low: float, high: float) -> int:
        """Count the current values in bins that lie wholly outside ``[low, high]``."""
        ends = ordered_keys(np.array([low, high])) >> np.int64(self.joint.shift)
        outside = (self.joint.keys < ends[0]) | (self.joint.keys > ends[1])
        return int(self.current[outside].sum())

    @cached_property
    def lower(self) -> FloatArray:
        """Smallest value of each bin."""
        return self.joint.lower

    @cached_property
    def upper(self) -> FloatArray:
        """Largest value of each bin."""
        return self.joint.upper


def _coarse(histogram: FloatHistogram, shift: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Keys and counts after dropping bits; the keys are ascending, so that equal ones are neighbours."""
    if histogram.shift == shift or not histogram.keys.size:
        return histogram.keys, histogram.counts
    keys = histogram.keys >> np.int64(shift - histogram.shift)
    keys[keys == -1] = 0  # as in the profile: negative zero and negative subnormal numbers belong to zero
    starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    return keys[starts], np.add.reduceat(histogram.counts, starts)
