"""Histogram over the bit patterns of float64: exact counts, mergeable with any other, no edges to choose.

The top bits of an IEEE-754 double, read as an ordered integer, cut the number line into bins whose relative width is a
power of two. Dropping one more bit joins neighbours exactly, so two histograms of different resolution are compared or
merged at the coarser of the two without any error in the counts - what a sketch with random compaction, or bins with
edges taken from one of the samples, cannot do. At most `MAX_BINS` bins are kept: a column of at most that many distinct
values is kept exactly, else the resolution halves until it fits (uniform collapse as in Epicoco et al., "UDDSketch", IEEE
Access 8, 2020, on the ordered-integer universe of Shrivastava et al., "Medians and Beyond" (q-digest), SenSys 2004).
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

MAX_SHIFT = 63

_MAGNITUDE = np.int64(0x7FFF_FFFF_FFFF_FFFF)
_SMALLEST_NORMAL = np.int64(1 << 52)
_LARGEST = np.finfo(np.float64).max


@dataclass(frozen=True, eq=False)
class FloatHistogram:
    """Counts of finite float64 values in bins of equal relative width.

    Attributes
    ----------
    shift
        Low bits dropped from the ordered key: 0 (every distinct value has a bin of its own) to 63. The relative width
        of a bin is ``2 ** (shift - 52)``.
    keys
        Occupied bins, ascending in value, int64, shape (k,), k <= `MAX_BINS`.
    counts
        Values per bin, int64, shape (k,), all positive.
    grain
        Low bits that are zero in every value counted. Where ``shift <= grain`` (whole numbers, flags, few distinct
        values) the bins are single points and nothing is approximate.
    """

    shift: int
    keys: NDArray[np.int64]
    counts: NDArray[np.int64]
    grain: int = MAX_SHIFT

    @classmethod
    def empty(cls) -> FloatHistogram:
        """Histogram of no values: the neutral element of `merge`."""
        return cls(0, np.empty(0, np.int64), np.empty(0, np.int64))

    @classmethod
    def of(cls, values: FloatArray) -> FloatHistogram:
        """Count the finite `values`, shape (n,); NaN and infinities are left out.

        Sorts, about 15 ns a value; long columns go through `aihub.validation.profile.counting` at 2 ns.

        Examples
        --------
        >>> h = FloatHistogram.of(np.array([1.0, 2.0, 2.0, np.nan]))
        >>> h.lower.tolist(), h.counts.tolist()
        ([1.0, 2.0], [1, 2])
        """
        finite = values[np.isfinite(values)]
        ordered = np.sort(ordered_keys(finite))
        starts = (
            np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1]))) if ordered.size else ordered
        )
        counts = np.diff(np.append(starts, ordered.size)).astype(np.int64)
        return cls(0, ordered[starts], counts, grain_of(finite)).fitted()

    def merge(self, other: FloatHistogram) -> FloatHistogram:
        """Histogram of both samples: exact counts, associative, commutative."""
        shift = max(self.shift, other.shift)
        a, b = self.coarsened(shift), other.coarsened(shift)
        keys, counts = _grouped(np.concatenate((a.keys, b.keys)), np.concatenate((a.counts, b.counts)))
        return FloatHistogram(shift, keys, counts, min(a.grain, b.grain)).fitted()

    def coarsened(self, shift: int) -> FloatHistogram:
        """Give the same counts at a resolution of `shift`, which is at least the present one."""
        if shift == self.shift:
            return self
        keys, counts = _grouped(self.keys >> np.int64(shift - self.shift), self.counts)
        return FloatHistogram(shift, keys, counts, self.grain)

    def fitted(self) -> FloatHistogram:
        """Give the same counts at the finest resolution that needs at most `MAX_BINS` bins."""
        if self.keys.size <= MAX_BINS:
            return self
        low, high = self.shift, MAX_SHIFT
        while low < high:  # the number of occupied bins falls with every bit that is dropped
            middle = (low + high) // 2
            if occupied(self.keys, middle - self.shift) <= MAX_BINS:
                high = middle
            else:
                low = middle + 1
        return self.coarsened(low)

    @property
    def n(self) -> int:
        """Values counted."""
        return int(self.counts.sum())

    @property
    def is_exact(self) -> bool:
        """Whether every bin is a single value."""
        return self.shift <= self.grain

    @property
    def lower(self) -> FloatArray:
        """Smallest float64 of each bin, shape (k,)."""
        near, far = self._bounds()
        return np.where(self.keys >= 0, near, far)

    @property
    def upper(self) -> FloatArray:
        """Largest float64 of each bin, shape (k,)."""
        near, far = self._bounds()
        return np.where(self.keys >= 0, far, near)

    def _bounds(self) -> tuple[FloatArray, FloatArray]:
        """Give the ends of each bin that are nearest to and farthest from zero."""
        index = np.where(self.keys >= 0, self.keys, -1 - self.keys)
        sign = np.where(self.keys >= 0, 1.0, -1.0)
        near_bits = index << np.int64(self.shift)
        far_bits = (
            near_bits if self.is_exact else near_bits | ((np.int64(1) << np.int64(self.shift)) - np.int64(1))
        )
        far_bits = np.where(far_bits < _SMALLEST_NORMAL, near_bits, far_bits)  # the bin of zero is a point
        near, far = (
            np.nan_to_num(bits.view(np.float64), nan=_LARGEST, posinf=_LARGEST)
            for bits in (near_bits, far_bits)
        )
        return sign * near, sign * far

    def quantile(self, q: FloatArray | float) -> FloatArray:
        """Values at ranks `q` in [0, 1]: always inside the right bin, interpolated linearly in it.

        Returns
        -------
        ndarray
            Shape of `q`; NaN for an empty histogram. The relative error is at most ``2 ** (shift - 52)``.
        """
        ranks = np.asarray(q, dtype=np.float64)
        if self.keys.size == 0:
            return np.full(ranks.shape, np.nan)
        total = np.cumsum(self.counts)
        position = ranks * total[-1]
        bins = np.minimum(np.searchsorted(total, position, side="left"), self.keys.size - 1)
        share = np.clip((position - (total[bins] - self.counts[bins])) / self.counts[bins], 0.0, 1.0)
        lower, upper = self.lower[bins], self.upper[bins]
        found: FloatArray = np.clip(lower * (1.0 - share) + upper * share, lower, upper)
        return found

    def cdf(self, x: FloatArray | float) -> FloatArray:
        """Share of values <= `x`, interpolated linearly inside a bin; NaN for an empty histogram."""
        points = np.asarray(x, dtype=np.float64)
        if self.keys.size == 0:
            return np.full(points.shape, np.nan)
        total = np.concatenate(([0], np.cumsum(self.counts)))
        lower, upper = self.lower, self.upper
        after = np.searchsorted(upper, points, side="right")  # bins wholly at or below x
        inside = np.minimum(after, self.keys.size - 1)
        width = np.maximum(upper[inside] / 2 - lower[inside] / 2, np.finfo(np.float64).tiny)
        part = np.clip((points / 2 - lower[inside] / 2) / width, 0.0, 1.0)
        partial = np.where(after < self.keys.size, part * self.counts[inside], 0.0)
        found: FloatArray = (total[after] + partial) / total[-1]
        return found


def ordered_keys(values: FloatArray) -> NDArray[np.int64]:
    """Bit patterns of `values` as integers in the order of the values; negative zero counts as zero."""
    bits = (np.ascontiguousarray(values, dtype=np.float64) + 0.0).view(np.int64)
    return bits ^ ((bits >> np.int64(63)) & _MAGNITUDE)


def grain_of(values: FloatArray) -> int:
    """Low bits that are zero in every value; `MAX_SHIFT` where there is none but zero."""
    if values.size == 0:
        return MAX_SHIFT
    joined = int(np.bitwise_or.reduce(np.ascontiguousarray(values).view(np.int64)) & _MAGNITUDE)
    return min((joined & -joined).bit_length() - 1, MAX_SHIFT) if joined else MAX_SHIFT


def occupied(keys: NDArray[np.int64], shift: int) -> int:
    """How many bins ascending `keys` fill after dropping `shift` more bits."""
    coarse = keys >> np.int64(shift)
    return int(np.count_nonzero(coarse[1:] != coarse[:-1])) + (keys.size > 0)


def _grouped(
    keys: NDArray[np.int64], counts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return unique ascending keys and the summed counts of each.

    Bin -1 holds nothing but negative zero and subnormal numbers; it is joined with bin 0, so that a column of zeros
    equals a column of negative zeros at every resolution.
    """
    unique, inverse = np.unique(np.where(keys == -1, 0, keys), return_inverse=True)
    total = np.zeros(unique.size, np.int64)
    np.add.at(total, inverse, counts)
    return unique, total
