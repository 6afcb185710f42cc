"""What the loss probably is where there are no labels. An estimate; it sees no change of the relation itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from aihub.types import FloatArray


def expected_absolute_error(lower: FloatArray, upper: FloatArray, level: float) -> FloatArray:
    """Mean absolute error that intervals of nominal `level` imply for normal errors, per row.

    Direct loss estimation from the model's own stated uncertainty: a central interval of level p of a normal
    distribution is 2 z wide, and its mean absolute deviation is sqrt(2 / pi). It follows a change of the inputs as far
    as the intervals do, and is blind to a change of the relation between inputs and target (measured elsewhere: true
    1.66, estimated 1.37).

    Parameters
    ----------
    lower, upper
        Bounds, shape (n,).
    level
        Nominal coverage in (0, 1).

    Returns
    -------
    FloatArray
        Shape (n,), in the target's unit; NaN where a bound is not finite or the bounds are crossed.

    References
    ----------
    Bialek, J. et al. (2024), "Estimating Model Performance Under Covariate Shift Without Labels", arXiv:2401.08348.

    Examples
    --------
    >>> import numpy as np
    >>> float(expected_absolute_error(np.array([-1.6449]), np.array([1.6449]), 0.9)[0].round(3))
    0.798
    """
    from scipy.special import ndtri  # noqa: PLC0415 - not paid by those who only import the package

    with np.errstate(invalid="ignore"):
        width = upper - lower
        sd = width / (2 * float(ndtri(0.5 + level / 2)))
        return np.asarray(np.where(np.isfinite(width) & (width >= 0), sd * np.sqrt(2 / np.pi), np.nan))


def expected_rates(score: FloatArray, flagged: FloatArray) -> tuple[float, float]:
    """Precision and recall that calibrated scores imply for the rows that were flagged.

    Parameters
    ----------
    score
        Calibrated probability that a row is anomalous, shape (n,), NaN left out.
    flagged
        0 or 1, shape (n,).

    Returns
    -------
    tuple of float
        Precision (NaN without a flagged row) and recall (NaN where the scores add up to nothing).

    Examples
    --------
    >>> import numpy as np
    >>> expected_rates(np.array([0.9, 0.1]), np.array([1.0, 0.0]))
    (0.9, 0.9)
    """
    known = np.isfinite(score) & np.isfinite(flagged)
    score, flags = np.clip(score[known], 0.0, 1.0), flagged[known] > 0
    total = float(score.sum())
    caught = float(score[flags].sum())
    count = int(flags.sum())
    return (caught / count if count else float("nan")), (caught / total if total > 0 else float("nan"))
