"""Distances between two histograms, to explain a verdict. None of them ever decides one.

Rules of thumb such as "PSI above 0.2" flag 100 % of unchanged samples at n = 100 and lose real shifts at n = 100,000;
with the sampling noise taken off they are still good words for how large a change is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from aihub.types import FloatArray


def _shares(counts: ArrayLike) -> tuple[FloatArray, float]:
    values = np.asarray(counts, dtype=np.float64)
    total = float(values.sum())
    return (values / total if total > 0 else np.full(values.shape, np.nan)), total


def wasserstein_sd(reference: ArrayLike, current: ArrayLike, edges: ArrayLike, sd: float) -> float:
    """Return the earth mover's distance between two histograms in reference standard deviations.

    Parameters
    ----------
    reference, current
        Counts of the inner bins, shape (b,).
    edges
        Increasing bin edges, shape (b + 1,), finite.
    sd
        Standard deviation of the reference, > 0.

    Returns
    -------
    float
        Distance, 0 for equal histograms; mass inside a bin counts as spread evenly over it. NaN for an empty
        histogram or an sd that is 0 or NaN.

    Examples
    --------
    >>> wasserstein_sd([1, 0], [0, 1], [0.0, 1.0, 2.0], sd=2.0)
    0.5
    """
    p, n = _shares(reference)
    q, m = _shares(current)
    if not (n > 0 and m > 0 and sd > 0):
        return float("nan")
    gap = np.concatenate([[0.0], np.cumsum(p - q)])
    left, right = np.abs(gap[:-1]), np.abs(gap[1:])
    # The gap is linear inside a bin; where it changes sign the area is that of two triangles.
    crossing = gap[:-1] * gap[1:] < 0
    total = left + right
    area = np.where(crossing, (left**2 + right**2) / (2 * np.where(total > 0, total, 1.0)), total / 2)
    return float(np.sum(area * np.diff(np.asarray(edges, dtype=np.float64))) / sd)


def reference_deciles(
    reference: ArrayLike, current: ArrayLike, bins: int = 10
) -> tuple[FloatArray, FloatArray]:
    """Merge neighbouring bins into at most `bins` of about equal reference mass.

    On fine bins every distance measures mostly the sampling noise of nearly empty bins.

    Parameters
    ----------
    reference, current
        Counts, shape (b,); the reference is not empty.
    bins
        Bins to merge into.

    Returns
    -------
    tuple of FloatArray
        Counts of both, shape (`bins`,) each; bins may be empty where single values hold much mass.

    Examples
    --------
    >>> reference_deciles([1, 1, 1, 1], [4, 0, 0, 0], bins=2)
    (array([2., 2.]), array([4., 0.]))
    """
    ref, cur = np.asarray(reference, dtype=np.float64), np.asarray(current, dtype=np.float64)
    below = np.cumsum(ref)
    group = np.minimum((below - ref / 2) * (bins / below[-1]), bins - 1).astype(np.intp)
    merged = [np.bincount(group, weights=side, minlength=bins).astype(np.float64) for side in (ref, cur)]
    return merged[0], merged[1]


def population_stability_index(reference: ArrayLike, current: ArrayLike) -> float:
    """Return the population stability index over the given bins, with its sampling bias taken off.

    Of two samples of one distribution the plain index has expectation close to (b - 1)(1/n + 1/m) over b bins; that is
    subtracted, and the result is not let below 0. Counts get 0.5 added, so that empty bins stay finite.

    Parameters
    ----------
    reference, current
        Counts, shape (b,); few bins of similar reference mass, such as `reference_deciles`.

    Returns
    -------
    float
        Debiased index, at least 0; NaN for an empty histogram.

    References
    ----------
    Yurdakul: Statistical properties of population stability index, dissertation, Western Michigan University (2018).

    Examples
    --------
    >>> population_stability_index([500, 500], [500, 500])
    0.0
    >>> round(population_stability_index([500, 500], [800, 200]), 2)
    0.41
    """
    ref, cur = np.asarray(reference, dtype=np.float64), np.asarray(current, dtype=np.float64)
    n, m = float(ref.sum()), float(cur.sum())
    if not (n > 0 and m > 0):
        return float("nan")
    kept = (ref + cur) > 0
    b = int(np.count_nonzero(kept))
    p = (ref[kept] + 0.5) / (n + 0.5 * b)
    q = (cur[kept] + 0.5) / (m + 0.5 * b)
    index = float(np.dot(q - p, np.log(q / p)))
    return max(0.0, index - (b - 1) * (1 / n + 1 / m))


def jensen_shannon(reference: ArrayLike, current: ArrayLike) -> float:
    """Return the Jensen-Shannon distance (base 2, 0 to 1) between two histograms; NaN for an empty one.

    Examples
    --------
    >>> jensen_shannon([1, 0], [0, 1])
    1.0
    """
    p, n = _shares(reference)
    q, m = _shares(current)
    if not (n > 0 and m > 0):
        return float("nan")
    middle = (p + q) / 2

    def information(a: FloatArray) -> float:
        on = a > 0
        return float(np.sum(a[on] * np.log2(a[on] / middle[on])))

    return float(np.sqrt(min(1.0, max(0.0, (information(p) + information(q)) / 2))))
