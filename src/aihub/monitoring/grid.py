"""A version's features on fixed bins: counts that add, whose reference counts are exact.

The bins come from the version's own training profile: the quantiles of a numeric column at edges of its histogram (so
that the training rows' counts per bin are known exactly, without the rows), the most frequent names of a column of
categories. A window's counts are one small array whatever the traffic was, and windows merge by addition.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.validation.profile import CategorySummary, NumericSummary

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray

    from aihub.types import FloatArray
    from aihub.validation.profile import Profile

BINS = 64
MISSING, INFINITE, BELOW = 0, 1, 2
OTHER = 1
"""Of a column of categories: names that the training rows do not have."""
_FIRST = 3
_FIRST_NAME = 2
_INNER = BINS - _FIRST - 1
"""Bins between the extremes; the last bin is above them."""


@dataclass(frozen=True, eq=False)
class NumericBins:
    """Bins of a number: missing, infinite, below the training range, `edges`, above it."""

    name: str
    minimum: float
    edges: FloatArray
    """Largest value of each inner bin, ascending, shape (k,); the last is the training maximum."""
    reference: NDArray[np.int64]
    summary: NumericSummary

    def index(self, values: Any) -> NDArray[np.intp]:
        """Bin of each value."""
        x = np.asarray(values, dtype=np.float64)
        inner = np.searchsorted(self.edges, x, side="left") + _FIRST
        found = np.where(inner >= _FIRST + self.edges.size, BINS - 1, inner)
        found[x < self.minimum] = BELOW
        found[np.isinf(x)] = INFINITE
        found[np.isnan(x)] = MISSING
        return found


@dataclass(frozen=True, eq=False)
class CategoryBins:
    """Bins of a category: missing, other, and the most frequent names."""

    name: str
    names: Mapping[str, int]
    reference: NDArray[np.int64]
    summary: CategorySummary

    def index(self, values: Any) -> NDArray[np.intp]:
        """Bin of each value."""
        known = self.names
        return np.array(
            [MISSING if v is None or v != v else known.get(str(v), OTHER) for v in values],  # noqa: PLR0124 - NaN
            np.intp,
        )


Bins = NumericBins | CategoryBins


@dataclass(frozen=True, eq=False)
class FeatureGrid:
    """Bins of all features of one version; empty where it has no training profile."""

    columns: tuple[Bins, ...] = ()

    @classmethod
    def of(cls, profile: Profile | None) -> FeatureGrid:
        """Lay bins over the training profile; time stamps have none."""
        if profile is None:
            return cls()
        found: list[Bins] = []
        for name, summary in profile.columns.items():
            if isinstance(summary, CategorySummary):
                found.append(_categories(name, summary))
            elif summary.kind == "number" and summary.n:
                found.append(_numbers(name, summary))
        return cls(tuple(found))

    def without(self, names: Collection[str]) -> FeatureGrid:
        """Return the bins of all other columns: what is hashed or left out in the log has no values to compare."""
        return FeatureGrid(tuple(one for one in self.columns if one.name not in names))

    def fold(
        self, features: Mapping[str, Any], cell: NDArray[np.intp], cells: int
    ) -> tuple[NDArray[np.int64], FloatArray]:
        """Count rows by `cell`.

        Returns
        -------
        tuple
            Counts of shape (cells, columns, `BINS`), and count, mean and sum of squared deviations of the finite
            values, shape (cells, columns, 3). A column that was not sent is missing in every row.
        """
        counts = np.zeros((cells, len(self.columns), BINS), np.int64)
        moments = np.zeros((cells, len(self.columns), 3))
        for at, bins in enumerate(self.columns):
            values = features.get(bins.name)
            if values is None:
                counts[:, at, MISSING] = np.bincount(cell, minlength=cells)
                continue
            counts[:, at] = np.bincount(cell * BINS + bins.index(values), minlength=cells * BINS).reshape(
                cells, BINS
            )
            if isinstance(bins, NumericBins):
                moments[:, at] = _moments(np.asarray(values, np.float64), cell, cells)
        return counts, moments


def merge_moments(a: FloatArray, b: FloatArray) -> FloatArray:
    """Merge moments of the last axis (count, mean, m2), elementwise."""
    n = a[..., 0] + b[..., 0]
    whole = np.maximum(n, 1)
    mean = a[..., 1] * (a[..., 0] / whole) + b[..., 1] * (b[..., 0] / whole)
    between = (b[..., 1] - a[..., 1]) ** 2 * (a[..., 0] * b[..., 0] / whole)
    return np.stack([n, mean, a[..., 2] + b[..., 2] + between], axis=-1)


def _moments(values: FloatArray, cell: NDArray[np.intp], cells: int) -> FloatArray:
    finite = np.isfinite(values)
    if not finite.all():
        values, cell = values[finite], cell[finite]
    n = np.bincount(cell, minlength=cells)
    shift = float(values.mean()) if values.size else 0.0
    centred = values - shift
    mean = np.bincount(cell, centred, cells) / np.maximum(n, 1)
    centred -= mean[cell]
    m2 = np.bincount(cell, centred * centred, cells)
    return np.stack([n, np.where(n > 0, mean + shift, 0.0), m2], axis=-1)


def _numbers(name: str, summary: NumericSummary) -> NumericBins:
    histogram = summary.histogram
    running = np.cumsum(histogram.counts)
    wanted = running[-1] * np.arange(1, _INNER + 1) / _INNER
    last = np.unique(np.minimum(np.searchsorted(running, wanted), running.size - 1))
    below = np.concatenate(([0], running[last]))
    reference = np.zeros(BINS, np.int64)
    reference[_FIRST : _FIRST + last.size] = np.diff(below)
    reference[MISSING], reference[INFINITE] = summary.missing, summary.non_finite
    edges = histogram.upper[last]
    edges[-1] = summary.maximum
    return NumericBins(name, summary.minimum, edges, reference, summary)


def _categories(name: str, summary: CategorySummary) -> CategoryBins:
    names = {label: at + _FIRST_NAME for at, label in enumerate(list(summary.counts)[: BINS - _FIRST_NAME])}
    reference = np.zeros(BINS, np.int64)
    for label, at in names.items():
        reference[at] = summary.counts[label]
    reference[MISSING] = summary.missing
    reference[OTHER] = summary.n - int(reference[_FIRST_NAME:].sum())
    return CategoryBins(name, names, reference, summary)
