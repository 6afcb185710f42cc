"""Two models on the same times: tests on paired differences of losses, and intervals of their ratio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.validation import longrun

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aihub.types import FloatArray


@dataclass(frozen=True, slots=True)
class PairedTests:
    """Results of R paired tests; every array has shape (R,)."""

    mean: FloatArray
    statistic: FloatArray
    degrees_of_freedom: FloatArray
    p_value: FloatArray
    persistence: FloatArray


def paired_tests(differences: FloatArray) -> PairedTests:
    """Diebold-Mariano test of equal loss, robust to autocorrelation of unknown length, for many series at once.

    The statistic is the mean difference over its standard error; the long-run variance is Coroneo and Iacone's weighted
    periodogram with fixed-smoothing asymptotics, t with 2m degrees of freedom. Their fixed m = n^(1/3) takes in
    frequencies at which a day-ahead error no longer looks like frequency zero (size .14-.23 at horizon 24 and n = 48),
    so m follows the persistence of the differences, and the bias that is left is divided out: see `longrun.choose`.

    Assumptions: the differences are stationary with a finite variance and a dependence that fades within the sample.
    Null behaviour (``benchmarks/comparison.py``, 5 %, AR(.7) errors, horizons 1 and 24, n = 48 to 2160): size .02 to
    .063. Beyond the design: AR(.95) errors .05-.07; near a unit root (AR(.99)) .21, .19 and .09 at n = 48, 168 and 720.

    Parameters
    ----------
    differences
        Loss of the challenger minus loss of the champion, shape (R, n), finite, in time order.

    Returns
    -------
    PairedTests
        p is 1 where all differences are 0, and NaN below `longrun.MIN_N` points.

    References
    ----------
    Diebold, F. X. and Mariano, R. S. (1995), "Comparing Predictive Accuracy", JBES 13(3).
    Coroneo, L. and Iacone, F. (2020), "Comparing predictive accuracy in small samples using fixed-smoothing
    asymptotics", Journal of Applied Econometrics 35(4).

    Examples
    --------
    >>> import numpy as np
    >>> d = np.random.default_rng(0).normal(size=(1, 200))
    >>> bool(paired_tests(d).p_value[0] > 0.05), bool(paired_tests(d + 1).p_value[0] < 0.05)
    (True, True)
    """
    from scipy.special import stdtr  # noqa: PLC0415 - not paid by those who only import the package

    mean = differences.mean(axis=1)
    if differences.shape[1] < longrun.MIN_N:
        unknown = np.full(len(mean), np.nan)
        return PairedTests(mean, unknown, unknown, unknown, unknown)
    thinned = longrun.thin(differences)
    how = longrun.choose(thinned)
    error = np.sqrt(longrun.spectrum(thinned, thinned, how) / thinned.shape[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.where(mean == 0, 0.0, mean / error)
    p = 2 * stdtr(how.degrees_of_freedom, -np.abs(statistic))
    return PairedTests(mean, statistic, how.degrees_of_freedom, p, how.persistence)


def per_timestamp(
    champion: FloatArray, challenger: FloatArray, timestamps: NDArray[Any] | None
) -> tuple[FloatArray, FloatArray]:
    """Sum the losses of all rows that share a timestamp, in time order.

    Series measured at the same moment share weather and calendar: treating them as independent would multiply the
    apparent n by the number of series. Without timestamps the rows are taken to be in time order.
    """
    if timestamps is None or not len(champion):
        return champion, challenger
    stamps = timestamps.astype(np.int64)
    if (stamps[1:] < stamps[:-1]).any():
        order = np.argsort(stamps, kind="stable")
        stamps, champion, challenger = stamps[order], champion[order], challenger[order]
    starts = np.concatenate([[0], np.flatnonzero(stamps[1:] != stamps[:-1]) + 1])
    if len(starts) == len(stamps):
        return champion, challenger
    return np.add.reduceat(champion, starts), np.add.reduceat(challenger, starts)


def bootstrap_ratio(
    champion: FloatArray, challenger: FloatArray, *, block: int, level: float, resamples: int, seed: int
) -> tuple[float, float]:
    """Percentile interval of the ratio of mean losses by the paired circular block bootstrap.

    Whole blocks of consecutive time steps are drawn with replacement, of both models together, wrapping around at the
    end. Null behaviour: the interval is too narrow on short series (an equal challenger lies outside the 95 % interval
    in .13 of cases for AR(.7) errors at n = 48, in .07 at n = 720), so it explains and does not decide.

    References
    ----------
    Politis, D. N. and Romano, J. P. (1992), "A circular block-resampling procedure for stationary data".
    """
    n = len(champion)
    rng = np.random.default_rng(seed)
    blocks = -(-n // block)
    starts = rng.integers(0, n, size=(resamples, blocks))
    sums = []
    for loss in (challenger, champion):
        running = np.concatenate([[0.0], np.cumsum(np.concatenate([loss, loss[:block]]))])
        sums.append((running[starts + block] - running[starts]).sum(axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        lower, upper = np.nanquantile(sums[0] / sums[1], [(1 - level) / 2, (1 + level) / 2])
    return float(lower), float(upper)


def fieller(
    means: tuple[float, float], covariance: tuple[float, float, float], t: float
) -> tuple[float, float]:
    """Ratios r for which mean(challenger - r * champion) is not significantly different from 0."""
    a, b = means
    v_aa, v_ab, v_bb = covariance
    quadratic = b * b - t * t * v_bb
    linear = a * b - t * t * v_ab
    constant = a * a - t * t * v_aa
    if quadratic <= 0:
        return 0.0, float("inf")
    root = float(np.sqrt(max(linear * linear - quadratic * constant, 0.0)))
    return max((linear - root) / quadratic, 0.0), (linear + root) / quadratic
