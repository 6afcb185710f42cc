"""Counting long float64 columns into a histogram at about two nanoseconds a value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from aihub.validation.profile.histogram import (
    MAX_SHIFT,
    FloatHistogram,
    grain_of,
    occupied,
    ordered_keys,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aihub.types import FloatArray

SHORT = 16_384
"""Columns up to this length are sorted: exact, and as fast."""

_SAMPLE = 4_096
_SAMPLE_BINS = 512  # half of MAX_BINS: the whole column fills more bins than a sample of it does
_DIRECT_BITS = 17  # 2**17 counters are 1 MB: they stay in the second-level cache
_GAP = 8_192  # empty bins between two windows at least
_MAX_WINDOWS = 4
_PATTERN_BITS = 64


class HistogramBuilder:
    """Counts batches of finite values; the resolution is chosen from the first batch.

    A batch is shifted to bin numbers and counted in a dense table: of all bins where the resolution is coarse, else of a
    window per sign around the first batch. What falls outside the windows is sorted instead.
    """

    def __init__(self) -> None:
        self._sparse = FloatHistogram.empty()
        self._tables: list[_Window] = []
        self._shift = 0
        self._grain = MAX_SHIFT
        self._chosen = False

    def add(self, values: FloatArray) -> None:
        """Count finite, contiguous `values`, shape (n,)."""
        if not self._chosen:
            if values.size <= SHORT:
                self._sparse = self._sparse.merge(FloatHistogram.of(values))
                return
            self._choose(values)
        self._grain = min(self._grain, grain_of(values)) if self._grain else 0
        rest = values.view(np.uint64)
        for table in self._tables:
            rest = table.count(rest)
            if not rest.size:
                return
        if rest.size:
            self._sparse = self._sparse.merge(FloatHistogram.of(rest.view(np.float64)))

    def finish(self) -> FloatHistogram:
        """Histogram of everything that was added."""
        result = self._sparse
        for table in self._tables:
            keys, counts = table.counted()
            order = np.argsort(keys)
            # coarsening by no bit is a copy; joining bin -1 with bin 0 is done by the merge
            result = result.merge(FloatHistogram(self._shift, keys[order], counts[order], self._grain))
        return result

    def _choose(self, values: FloatArray) -> None:
        """Resolution and windows from a sample spread evenly over `values`."""
        sample = np.sort(ordered_keys(values[:: max(1, values.size // _SAMPLE)]))
        shift, high = 0, MAX_SHIFT
        while shift < high:  # the number of occupied bins falls with every bit that is dropped
            middle = (shift + high) // 2
            shift, high = (shift, middle) if occupied(sample, middle) <= _SAMPLE_BINS else (middle + 1, high)
        while (clusters := _clusters(sample, shift)) is None:
            shift += 1
        while len(clusters) > 1 and occupied(sample, shift + 1) == occupied(sample, shift):
            shift += 1  # a coarser resolution that loses nothing may need fewer windows
            clusters = _clusters(sample, shift) or clusters
        self._shift, self._chosen = shift, True
        if shift >= _PATTERN_BITS - _DIRECT_BITS:
            self._tables = [_Window(shift, 0, (1 << (_PATTERN_BITS - shift)) - 1)]
        else:
            self._tables = [_window_around(cluster, shift) for cluster in clusters]


class _Window:
    """Dense counters of the bins ``first`` to ``last`` of raw (sign and magnitude) bit patterns."""

    def __init__(self, shift: int, first: int, last: int) -> None:
        self._shift = np.uint64(shift)
        self._first = first
        self._size = last - first + 1
        self._is_whole = first == 0 and last == (1 << (_PATTERN_BITS - shift)) - 1
        self._counts = np.zeros(self._size, np.int64)
        # kept from batch to batch: fresh pages cost more than the counting
        self._bins = np.empty(0, np.uint64)

    def count(self, patterns: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Count what lies in the window; return what does not."""
        if self._bins.size < patterns.size:
            self._bins = np.empty(patterns.size, np.uint64)
        bins = np.right_shift(patterns, self._shift, out=self._bins[: patterns.size])
        if not self._is_whole:
            bins -= np.uint64(self._first)  # below the window wraps round to a huge number
            np.minimum(bins, np.uint64(self._size), out=bins)  # beyond it is one bin more
        counts = np.bincount(bins.view(np.int64), minlength=self._size + 1)
        self._counts += counts[:-1]
        return patterns[np.flatnonzero(bins == self._size)] if counts[-1] else patterns[:0]

    def counted(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Ordered keys of the occupied bins and their counts."""
        index = np.flatnonzero(self._counts)
        raw = index.astype(np.uint64) + np.uint64(self._first)
        sign = np.uint64(1 << (_PATTERN_BITS - 1 - int(self._shift)))
        below_zero = -1 - (raw - sign).view(np.int64)
        return np.where(raw >= sign, below_zero, raw.view(np.int64)), self._counts[index]


def _clusters(sample: NDArray[np.int64], shift: int) -> list[NDArray[np.int64]] | None:
    """Cut an ascending sample into runs of neighbouring keys, largest first; None where they need too many counters."""
    bins = sample >> np.int64(shift)
    firsts = np.flatnonzero(np.append(True, bins[1:] != bins[:-1]))
    bins = bins[firsts]  # far fewer than the sample
    is_cut = (np.diff(bins) > _GAP) | ((bins[1:] >= 0) & (bins[:-1] < 0))
    clusters = np.split(sample, firsts[1:][is_cut])
    spans = sum((int(c[-1]) >> shift) - (int(c[0]) >> shift) + 1 for c in clusters)
    if len(clusters) > _MAX_WINDOWS or spans > 1 << _DIRECT_BITS:
        return None if shift < _PATTERN_BITS - _DIRECT_BITS else clusters
    return sorted(clusters, key=len, reverse=True)


def _window_around(keys: NDArray[np.int64], shift: int) -> _Window:
    """Window over the bins of ascending `keys` of one sign, with room on either side."""
    ends = sorted((int(k) if k >= 0 else -1 - int(k)) >> shift for k in (keys[0], keys[-1]))
    half = 1 << (_PATTERN_BITS - 1 - shift)
    offset = 0 if keys[0] >= 0 else half
    room = max(64, min(_GAP, ends[1] - ends[0]) // 4)
    return _Window(shift, offset + max(0, ends[0] - room), offset + min(half - 1, ends[1] + room))
