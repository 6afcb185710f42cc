"""How the noise grows with the level: the same deviation is much in a quiet summer and little in a cold winter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from aihub.types import FloatArray

_ROWS = 50
"""Rows per bin of the expected value: knows a standard deviation to about a tenth."""
_MOST_BINS = 8
_PRIOR_ROWS = 5.0
"""Rows by which the logarithm of each bin's spread is drawn towards that of the whole reference."""
_MATTERS = 1.5
"""Largest over smallest spread from which on the season is worth fitting again with weights."""
_SMALLEST = 0.1
"""Relative spread below which a bin is not believed: its rows may be a stuck meter."""
_FAR = 5.0


@dataclass(frozen=True, eq=False)
class LocalSpread:
    """Standard deviation of the residuals as a function of the expected value, relative to that of all.

    Piecewise linear in the logarithm between the medians of equally filled bins, constant beyond them.

    Attributes
    ----------
    knots
        Expected values, ascending, shape (k,); empty where the reference is too short to tell.
    log_ratio
        Logarithm of the relative spread there, shape (k,).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> level = rng.uniform(1, 10, 4000)
    >>> spread = LocalSpread.of(level, level * rng.normal(size=4000))
    >>> bool(spread.at(np.array([9.0]))[0] > 3 * spread.at(np.array([2.0]))[0])
    True
    """

    knots: FloatArray
    log_ratio: FloatArray

    @classmethod
    def of(cls, expected: FloatArray, residual: FloatArray) -> LocalSpread:
        """Learn the spread from out-of-sample residuals, shape (n,) both; rows with a NaN are left out."""
        known = np.isfinite(expected) & np.isfinite(residual)
        expected, residual = expected[known], residual[known]
        bins = min(_MOST_BINS, residual.size // _ROWS)
        if bins < 2 or not np.ptp(expected) > 0:  # noqa: PLR2004 - nothing to compare
            return cls.flat()
        far = _FAR * 1.4826 * float(np.median(np.abs(residual)))
        if not far > 0:
            return cls.flat()
        parts = np.array_split(np.argsort(expected, kind="stable"), bins)
        overall = float(np.mean(np.clip(residual, -far, far) ** 2))
        knots, logs = [], []
        for rows in parts:
            local = residual[rows]
            reach = _FAR * 1.4826 * float(np.median(np.abs(local)))
            ratio = max(float(np.mean(np.clip(local, -reach, reach) ** 2)) / overall, _SMALLEST**2)
            knots.append(float(np.median(expected[rows])))
            logs.append(0.5 * np.log(ratio) * rows.size / (rows.size + _PRIOR_ROWS))
        keep = np.concatenate(([True], np.diff(knots) > 0))
        return cls(np.asarray(knots)[keep], np.asarray(logs)[keep])

    @classmethod
    def flat(cls) -> LocalSpread:
        """Return the same spread everywhere."""
        return cls(np.empty(0), np.empty(0))

    @property
    def matters(self) -> bool:
        """Whether rows differ enough for weights to pay."""
        return self.log_ratio.size > 0 and float(np.ptp(self.log_ratio)) > float(np.log(_MATTERS))

    def at(self, expected: FloatArray) -> FloatArray:
        """Relative spread at expected values, shape (n,); NaN stays NaN."""
        if not self.knots.size:
            return np.where(np.isnan(expected), np.nan, 1.0)
        return np.asarray(np.exp(np.interp(expected, self.knots, self.log_ratio)), dtype=np.float64)
