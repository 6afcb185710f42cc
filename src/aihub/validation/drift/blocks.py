"""A window against reference windows of the same length: ranks, and a block bootstrap where they are too few.

A window mean of autocorrelated values varies far more than n independent rows would; comparing it with other windows of
the same series needs no model of that.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from aihub.types import FloatArray

MIN_BLOCKS = 20
"""Reference windows below which ranks are too coarse for a level of 0.05."""


def conformal_p(reference: ArrayLike, current: float) -> float:
    """Return (1 + number of reference scores >= current) / (blocks + 1).

    Exact for exchangeable windows: the false-alarm rate is at most the nominal one, whatever the distribution.

    Parameters
    ----------
    reference
        Score per reference window, shape (b,), higher is more unusual; NaN windows are left out.
    current
        Score of the window under test.

    Returns
    -------
    float
        1 for a NaN score: nothing was seen.

    References
    ----------
    Vovk, Gammerman, Shafer: Algorithmic learning in a random world, 2nd ed. (2022), chapter 2.

    Examples
    --------
    >>> conformal_p([0.1, 0.5, 0.2], 0.4)
    0.5
    """
    scores = np.asarray(reference, dtype=np.float64)
    scores = scores[np.isfinite(scores)]
    if not math.isfinite(current):
        return 1.0
    return (1 + int(np.count_nonzero(scores >= current))) / (scores.size + 1)


def tail_p(reference: ArrayLike, current: float) -> float:
    """Return the p-value of a mean of zero expectation beyond all reference windows, by Student's t.

    Ranks end at 1 / (blocks + 1), which no adjustment over many columns survives. Beyond the last reference window the
    t tail with the windows' own standard deviation goes on; means over a window of many rows are close to normal.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> tail_p(rng.normal(size=100), 8.0) < 1e-8
    True
    """
    from scipy import special  # noqa: PLC0415 - only windows beyond all others pay for it

    scores = np.asarray(reference, dtype=np.float64)
    scores = scores[np.isfinite(scores)]
    if scores.size < 3 or not math.isfinite(current):  # noqa: PLR2004 - no degrees of freedom
        return 1.0
    deviation = math.sqrt(float(np.mean(scores**2)) * (1 + 1 / scores.size))
    if deviation == 0:
        return 1.0 if current == 0 else 0.0
    return float(min(1.0, 2 * special.stdtr(scores.size - 1, -abs(current) / deviation)))


def windows(series: FloatArray, length: int) -> FloatArray:
    """Cut a series into windows of `length`, counted from its end, shape (b, length).

    >>> windows(np.arange(5.0), 2).tolist()
    [[1.0, 2.0], [3.0, 4.0]]
    """
    count = len(series) // length
    return series[len(series) - count * length :].reshape(count, length)


def circular_block_bootstrap(
    series: FloatArray, length: int, *, block: int, draws: int, rng: np.random.Generator
) -> FloatArray:
    """Draw windows of `length` made of blocks of `block` neighbours, the series closed to a ring.

    Keeps the dependence inside a block; blocks that meet are independent, so windows vary a little less than real ones.

    Parameters
    ----------
    series
        Shape (n,), n >= 1; NaN stays where it is.
    length, block, draws
        Window length, block length (at most n is used), windows to draw.
    rng
        Source of randomness.

    Returns
    -------
    FloatArray
        Shape (draws, length).

    References
    ----------
    Politis, Romano: A circular block-resampling procedure for stationary data (1992).

    Examples
    --------
    >>> drawn = circular_block_bootstrap(np.arange(6.0), 4, block=2, draws=3, rng=np.random.default_rng(0))
    >>> drawn.shape
    (3, 4)
    """
    n = len(series)
    block = max(1, min(block, n, length))
    pieces = math.ceil(length / block)
    starts = rng.integers(0, n, size=(draws, pieces))
    at = (starts[:, :, None] + np.arange(block)) % n
    drawn: FloatArray = series[at.reshape(draws, -1)[:, :length]]
    return drawn
