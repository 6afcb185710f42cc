"""Many hypotheses at once: the Benjamini-Hochberg step-up adjustment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from aihub.types import FloatArray


def benjamini_hochberg(p_values: ArrayLike) -> FloatArray:
    """Adjust p-values for the false discovery rate.

    Rejecting every adjusted value at most q keeps the expected share of false rejections at most q for independent or
    positively dependent tests; when nothing has changed, the chance of any rejection is at most q.

    Parameters
    ----------
    p_values
        Shape (m,), in [0, 1]. NaN (nothing could be computed) stays NaN and counts as no hypothesis.

    Returns
    -------
    FloatArray
        Adjusted p-values, shape (m,), never below the p-values themselves.

    Raises
    ------
    ValueError
        A p-value is outside [0, 1].

    References
    ----------
    Benjamini, Hochberg: Controlling the false discovery rate, JRSS B 57 (1995) 289-300.

    Examples
    --------
    >>> benjamini_hochberg([0.01, 0.04, 0.03, 0.5]).round(3).tolist()
    [0.04, 0.053, 0.053, 0.5]
    """
    p = np.asarray(p_values, dtype=np.float64)
    known = np.flatnonzero(~np.isnan(p))
    values = p[known]
    if values.size and (values.min() < 0 or values.max() > 1):
        raise ValueError(
            f"p-values must lie in [0, 1], got {values.min()} to {values.max()}; check what computed them"
        )
    adjusted = np.full(p.shape, np.nan)
    order = np.argsort(values, kind="stable")
    m = values.size
    stepped = values[order] * m / np.arange(1, m + 1)
    adjusted[known[order]] = np.minimum(np.minimum.accumulate(stepped[::-1])[::-1], 1.0)
    return adjusted
