"""Categorical columns: changed shares, new categories, vanished categories."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aihub.validation.drift.normal import noncentral_chi2_tail, normal_quantile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aihub.types import FloatArray

OTHER = "(other)"
"""Where counts of rare categories go: the rest of a bounded counter and every pooled cell."""


@dataclass(frozen=True, slots=True)
class CategoryShift:
    """Shares of categories in two samples.

    Attributes
    ----------
    w, w_low, w_high
        Cohen's w of the change, debiased, with its interval.
    chi2, df
        Homogeneity statistic over the pooled cells.
    p_value
        Of the hypothesis "w at most the minimum effect".
    new, vanished
        Categories (with their share of the current or reference rows) that only one side has; of the vanished only
        those whose absence is no chance.
    new_rows, new_limit
        Current rows of new categories, and the share of them that the reference's own rare categories let expect.
    vanished_p
        P-value of "no category with a share of at least `min_share` is gone", over all of them.
    """

    w: float
    w_low: float
    w_high: float
    chi2: float
    df: int
    p_value: float
    n_reference: int
    n_current: int
    new: Mapping[str, float]
    vanished: Mapping[str, float]
    new_rows: int
    new_limit: float
    vanished_p: float


def category_shift(
    reference: Mapping[str, int],
    current: Mapping[str, int],
    *,
    min_effect: float = 0.1,
    min_share: float = 0.05,
    alpha: float = 0.05,
) -> CategoryShift:
    """Test H0: "the shares of the categories differ by at most `min_effect`" (Cohen's w).

    The chi-square statistic of homogeneity follows, at a true effect w, a non-central chi-square with e w^2, e = n m /
    (n + m). Cells with an expected count below 5 on either side are pooled, so that many rare categories neither raise
    alarms nor hide one. Assumes independent rows. Null false-alarm rate at 0.05, simulated with
    1,000 columns of 3 or 12 categories against 10,000 reference rows: at most 0.028 at n = 50, 0.011 at n = 300, 0 at
    n = 1,000 and 10,000; at an effect of exactly `min_effect` 0.057 and 0.034 (n = 1,000 and 10,000).

    Parameters
    ----------
    reference, current
        Count per category; `OTHER` holds what a bounded counter dropped.
    min_effect
        Cohen's w that counts as nothing; 0.1 is the customary "small".
    min_share
        Vanished categories with a smaller reference share are not reported.
    alpha
        Chance at which an absence is taken as no chance, over all reference categories together.

    Returns
    -------
    CategoryShift
        With p = 1 where a side is empty.

    References
    ----------
    Cohen: Statistical power analysis for the behavioral sciences, 2nd ed. (1988), chapter 7.

    Examples
    --------
    >>> shift = category_shift({"a": 600, "b": 400}, {"a": 300, "b": 300, "c": 400})
    >>> shift.p_value < 1e-10, dict(shift.new)
    (True, {'c': 0.4})
    """
    n, m = sum(reference.values()), sum(current.values())
    if n == 0 or m == 0:
        return CategoryShift(math.nan, 0.0, math.inf, math.nan, 0, 1.0, n, m, {}, {}, 0, 0.0, 1.0)
    names = sorted(set(reference) | set(current))
    ref = np.array([reference.get(name, 0) for name in names], dtype=np.float64)
    cur = np.array([current.get(name, 0) for name in names], dtype=np.float64)
    new = {
        k: c / m
        for k, c in current.items()
        if k != OTHER and c and not reference.get(k) and not reference.get(OTHER)
    }
    common = {k: c / n for k, c in reference.items() if k != OTHER and c / n >= min_share}
    gone = {
        k: len(common) * math.exp(m * math.log1p(-min(common[k], 1 - 1e-12)))
        for k in common
        if not current.get(k)
    }
    vanished = {k: common[k] for k, p in gone.items() if p < alpha}
    vanished_p = min(1.0, *gone.values(), 1.0)
    # Good and Turing: the share of rows in categories not yet seen is about the share of those seen once.
    new_limit = sum(1 for c in reference.values() if c == 1) / n
    new_rows = sum(current[k] for k in new)
    ref, cur = _pooled(ref, cur)
    df = ref.size - 1
    if df < 1:
        return CategoryShift(0.0, 0.0, 0.0, 0.0, 0, 1.0, n, m, new, vanished, new_rows, new_limit, vanished_p)
    e = n * m / (n + m)
    pooled = (ref + cur) / (n + m)
    chi2 = e * float(np.sum((ref / n - cur / m) ** 2 / pooled))
    p = noncentral_chi2_tail(chi2, df, e * min_effect**2)
    w = math.sqrt(max(0.0, chi2 - df) / e)
    # sqrt(chi-square) is close to normal with unit variance at most: a plain interval that shrinks like 1 / sqrt(e).
    half = normal_quantile(1 - alpha / 2) / math.sqrt(e)
    return CategoryShift(
        w, max(0.0, w - half), w + half, chi2, df, p, n, m, new, vanished, new_rows, new_limit, vanished_p
    )


def _pooled(ref: FloatArray, cur: FloatArray) -> tuple[FloatArray, FloatArray]:
    share = (ref + cur) / (ref.sum() + cur.sum())
    sparse = share * min(ref.sum(), cur.sum()) < 5  # noqa: PLR2004 - Cochran's rule
    if not sparse.any():
        return ref, cur
    ref = np.append(ref[~sparse], ref[sparse].sum())
    cur = np.append(cur[~sparse], cur[sparse].sum())
    if ref.size > 2 and (ref[-1] + cur[-1]) / (ref.sum() + cur.sum()) * min(ref.sum(), cur.sum()) < 5:  # noqa: PLR2004
        # What is pooled is still too thin to stand alone: it joins the rarest of the others.
        rarest = int(np.argmin((ref + cur)[:-1]))
        ref[rarest] += ref[-1]
        cur[rarest] += cur[-1]
        ref, cur = ref[:-1], cur[:-1]
    return ref, cur


def rows_for_categories(
    n_reference: float,
    cells: int,
    *,
    target: float = 0.4,
    min_effect: float = 0.1,
    alpha: float = 0.05,
    hypotheses: int = 1,
    power: float = 0.8,
) -> int | None:
    """Return the current rows with which a change of w = `target` is found with `power`; None where none would do.

    By the normal approximation of the two non-central chi-squares with `cells` - 1 degrees of freedom.

    Examples
    --------
    >>> rows_for_categories(100_000, 4, hypotheses=20)
    148
    """
    df = max(1, cells - 1)
    z_alpha, z_power = normal_quantile(1 - alpha / hypotheses), normal_quantile(power)

    def finds(e: float) -> bool:
        null, true = e * min_effect**2, e * target**2
        # z^2 / 2 corrects the normal quantile for the skewness of a chi-square.
        critical = df + null + z_alpha * math.sqrt(2 * (df + 2 * null)) + z_alpha**2 / 2
        return df + true - z_power * math.sqrt(2 * (df + 2 * true)) >= critical

    low, high = 1.0, 2.0
    while not finds(high):
        low, high = high, 2 * high
    while high - low > 0.5:  # noqa: PLR2004 - half a row
        middle = (low + high) / 2
        low, high = (low, middle) if finds(middle) else (middle, high)
    return math.ceil(high * n_reference / (n_reference - high)) if n_reference > high else None
