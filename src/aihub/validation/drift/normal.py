"""The normal, binomial and non-central chi-square tails that the drift tests need, without scipy.stats.

`scipy.stats` costs more than a second to import; `scipy.special` a tenth of it, and only where categories are tested.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

_NORMAL = NormalDist()


def normal_tail(z: float) -> float:
    """Return P(Z > z) of a standard normal; accurate far into the tail.

    >>> round(normal_tail(1.959964), 4)
    0.025
    """
    return 0.5 * math.erfc(z / math.sqrt(2))


@lru_cache(maxsize=256)  # a comparison asks for the same few levels ten times a column
def normal_quantile(p: float) -> float:
    """Return z with P(Z <= z) = p.

    >>> round(normal_quantile(0.975), 3)
    1.96
    """
    return _NORMAL.inv_cdf(p)


def folded_normal_tail(distance: float, shift: float, error: float) -> float:
    """Return P(abs(shift + error Z) >= distance): the p-value of "the true value is at most `shift` from zero".

    `error` 0 answers 0 or 1.

    >>> round(folded_normal_tail(1.96, 0.0, 1.0), 3)
    0.05
    """
    if not error > 0:
        return 0.0 if distance > shift else 1.0
    return min(1.0, normal_tail((distance - shift) / error) + normal_tail((distance + shift) / error))


def noncentral_chi2_tail(x: float, df: float, noncentrality: float) -> float:
    """Return P(X > x) for a non-central chi-square; Sankaran's approximation where the exact sum is too long.

    References
    ----------
    Sankaran: Approximations to the non-central chi-square distribution, Biometrika 50 (1963) 199-204.

    Examples
    --------
    >>> round(noncentral_chi2_tail(3.841459, 1, 0.0), 3)
    0.05
    """
    from scipy import special  # noqa: PLC0415 - only tables with categories pay for it

    if noncentrality < 1e4:  # noqa: PLR2004 - beyond, the series takes longer than the whole comparison
        tail = 1.0 - float(special.chndtr(x, df, noncentrality))
        if tail > 1e-9 or noncentrality == 0:  # noqa: PLR2004 - below, the subtraction has lost its digits
            return tail if noncentrality else float(special.chdtrc(df, x))
    mean = df + noncentrality
    h = 1 - 2 * mean * (df + 3 * noncentrality) / (3 * (df + 2 * noncentrality) ** 2)
    p = (df + 2 * noncentrality) / mean**2
    m = (h - 1) * (1 - 3 * h)
    centre = 1 + h * p * (h - 1 - 0.5 * (2 - h) * m * p)
    spread = h * math.sqrt(2 * p) * (1 + 0.5 * m * p)
    return normal_tail(((x / mean) ** h - centre) / spread)


def wilson(hits: float, n: float, confidence: float) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion.

    >>> tuple(round(bound, 3) for bound in wilson(0, 50, 0.95))
    (0.0, 0.071)
    """
    if n <= 0:
        return 0.0, 1.0
    z2 = normal_quantile(0.5 + confidence / 2) ** 2
    p = hits / n
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (p * (1 - p) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return (0.0 if hits == 0 else centre - half), (1.0 if hits == n else centre + half)
