"""Whether prediction intervals hold what they promise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.validation import longrun
from aihub.validation.paired import per_timestamp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aihub.types import FloatArray


@dataclass(frozen=True, slots=True)
class Coverage:
    """How often the target lay inside its interval.

    Attributes
    ----------
    observed, lower, upper
        Share of rows inside, and its 95 % interval, which allows for autocorrelation and for a short sample.
    kupiec_p, christoffersen_p
        Classical tests of coverage and of independence of the misses. Both assume what an hourly series never is:
        independent hits under the null. They are reported and decide nothing.
    winkler
        Mean interval (Winkler) score in the target's unit, lower is better: width plus 2/alpha times what was missed by.
    width
        Mean width in the target's unit.
    """

    n: int
    level: float
    observed: float
    lower: float
    upper: float
    below: float
    above: float
    kupiec_p: float
    christoffersen_p: float
    winkler: float
    width: float


def kupiec(hits: int, n: int, level: float) -> float:
    """p-value of Kupiec's proportion-of-failures test of "the coverage is `level`".

    Likelihood ratio, chi-square with one degree of freedom; assumes independent rows. Null behaviour: .04-.05 at 5 %
    for independent rows and level .9 (n = 48 to 720); .20 for AR(.7) errors at every n, which is why it does not
    decide.

    Parameters
    ----------
    hits
        Rows inside their interval, 0 to n.
    level
        Nominal coverage in (0, 1).

    Returns
    -------
    float
        NaN for n = 0.

    References
    ----------
    Kupiec, P. (1995), "Techniques for Verifying the Accuracy of Risk Measurement Models", Journal of Derivatives 3(2).

    Examples
    --------
    >>> round(kupiec(90, 100, 0.9), 4), round(kupiec(80, 100, 0.9), 4)
    (1.0, 0.0029)
    """
    if n == 0:
        return float("nan")
    from scipy.special import chdtrc, xlogy  # noqa: PLC0415 - not paid by those who only import the package

    misses = n - hits
    null = xlogy(misses, 1 - level) + xlogy(hits, level)
    free = xlogy(misses, misses / n) + xlogy(hits, hits / n)
    return float(chdtrc(1, max(2 * (free - null), 0.0)))


def christoffersen(missed: NDArray[np.bool_], breaks: NDArray[np.bool_] | None = None) -> float:
    """p-value of Christoffersen's test that a miss says nothing about the next row.

    Likelihood ratio against a first-order Markov chain, chi-square with one degree of freedom. Null behaviour: .02-.07
    at 5 % for independent rows (level .9, n = 48 to 720). Errors with AR(.7) do cluster, and it says so in .32 (n = 48)
    to 1.00 (n = 720) of cases.

    Parameters
    ----------
    missed
        Whether each row lies outside its interval, shape (n,), in time order.
    breaks
        True where a row does not follow the one before (a new series), shape (n,); its transition is not counted.

    Returns
    -------
    float
        NaN where misses or hits never occur before another row: there is nothing to learn from.

    References
    ----------
    Christoffersen, P. (1998), "Evaluating Interval Forecasts", International Economic Review 39(4).

    Examples
    --------
    >>> import numpy as np
    >>> christoffersen(np.repeat([False, True] * 5, 20)) < 1e-6
    True
    """
    from scipy.special import chdtrc, xlogy  # noqa: PLC0415 - not paid by those who only import the package

    before, after = missed[:-1], missed[1:]
    if breaks is not None:
        follows = ~breaks[1:]
        before, after = before[follows], after[follows]
    n = np.array(
        [
            [(~before & ~after).sum(), (~before & after).sum()],
            [(before & ~after).sum(), (before & after).sum()],
        ]
    )
    rows, total = n.sum(axis=1), n.sum()
    if not rows.all():
        return float("nan")
    share = n[:, 1] / rows
    pooled = n[:, 1].sum() / total
    free = float((xlogy(n[:, 0], 1 - share) + xlogy(n[:, 1], share)).sum())
    null = float(xlogy(n[:, 0].sum(), 1 - pooled) + xlogy(n[:, 1].sum(), pooled))
    return float(chdtrc(1, max(2 * (free - null), 0.0)))


def winkler(y: FloatArray, lower: FloatArray, upper: FloatArray, level: float) -> float:
    """Mean interval score of a central interval, in the target's unit; lower is better, and honesty is optimal.

    References
    ----------
    Winkler, R. L. (1972), JASA 67; Gneiting, T. and Raftery, A. E. (2007), JASA 102(477), section 6.2.

    Examples
    --------
    >>> import numpy as np
    >>> winkler(np.array([0.0, 3.0]), np.array([-1.0, -1.0]), np.array([1.0, 1.0]), 0.5)
    6.0
    """
    missed_by = np.maximum(lower - y, 0.0) + np.maximum(y - upper, 0.0)
    return float((upper - lower + 2 / (1 - level) * missed_by).mean()) if len(y) else float("nan")


def share_interval(hits: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Clopper and Pearson's exact interval of a share, for independent rows.

    >>> low, high = share_interval(0, 10)
    >>> low, round(high, 3)
    (0.0, 0.308)
    """
    from scipy.special import betaincinv  # noqa: PLC0415 - not paid by those who only import the package

    if n == 0:
        return 0.0, 1.0
    tail = (1 - level) / 2
    low = float(betaincinv(hits, n - hits + 1, tail)) if hits else 0.0
    high = float(betaincinv(hits + 1, n - hits, 1 - tail)) if hits < n else 1.0
    return low, high


def coverage(
    y: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
    level: float,
    *,
    timestamps: NDArray[Any] | None = None,
    breaks: NDArray[np.bool_] | None = None,
) -> Coverage:
    """Measure the coverage of intervals of nominal `level`.

    The interval of the observed share is the wider of the exact binomial one and of the autocorrelation-robust one
    (`longrun.mean_interval` of the hit rate per timestamp). Null behaviour: P(the true level lies outside) .01-.03 for
    independent rows, .04-.09 for AR(.7) errors (n = 48 to 720, level .9).

    Parameters
    ----------
    y, lower, upper
        Finite target, shape (n,), and bounds; a bound that is not a number is a miss, and is left out of the scores.
    level
        Nominal coverage in (0, 1).
    timestamps
        ``datetime64`` per row; rows that share one count as one time step. None: rows in time order.
    breaks
        See `christoffersen`.
    """
    n = len(y)
    inside = (y >= lower) & (y <= upper)
    hits = int(inside.sum())
    steps = inside.astype(np.float64)
    if timestamps is not None:
        steps, ones = per_timestamp(steps, np.ones(n), timestamps)
        steps /= ones
    mean, low, high = longrun.mean_interval(steps)
    exact = share_interval(round(hits * len(steps) / n), len(steps)) if n else (0.0, 1.0)
    bounded = np.isfinite(lower) & np.isfinite(upper)
    if not bounded.all():
        y, lower, upper = y[bounded], lower[bounded], upper[bounded]
    below, above = float((y < lower).sum()), float((y > upper).sum())
    return Coverage(
        n=n,
        level=level,
        observed=hits / n if n else float("nan"),
        lower=min(max(low, 0.0), exact[0]) if mean == mean else 0.0,  # noqa: PLR0124 - NaN is the only such number
        upper=max(min(high, 1.0), exact[1]) if mean == mean else 1.0,  # noqa: PLR0124 - as above
        below=below / n if n else float("nan"),
        above=above / n if n else float("nan"),
        kupiec_p=kupiec(hits, n, level),
        christoffersen_p=christoffersen(~inside, breaks) if n > 1 else float("nan"),
        winkler=winkler(y, lower, upper, level),
        width=float((upper - lower).mean()) if len(y) else float("nan"),
    )
