"""Intervals that hold what they promise: quantile models, calibrated on time that they have not seen.

Conformalised quantile regression (Romano, Patterson and Candès 2019) with scores relative to the width that the
quantile models give to a row, one side at a time (CQR-r, Sesia and Candès 2020). Relative scores keep the width where the
models say it belongs (lead, hour, weather), and one calibration serves every level: levels are nested.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from aihub.types import FloatArray

GRID = np.round(np.concatenate([np.linspace(0.0, 0.98, 99), np.linspace(0.985, 0.999, 15)]), 4)
"""Levels at which a calibration is stored; between them it is interpolated."""
MIN_WIDTH = 0.05
"""Least width of a side, as a share of its median width: a width of nothing could not be scaled."""


@dataclass(frozen=True)
class Band:
    """Width of both sides of each row's prediction before calibration, positive, float64 ``(n,)``."""

    below: FloatArray
    above: FloatArray


@dataclass(frozen=True)
class Calibration:
    """How far each side must be stretched for each level.

    Attributes
    ----------
    below, above
        Factor per level of `GRID`, increasing, float64 ``(len(GRID),)``.
    floor_below, floor_above
        Least width of a side before stretching.
    """

    below: FloatArray
    above: FloatArray
    floor_below: float
    floor_above: float

    def interval(self, prediction: FloatArray, band: Band, level: float) -> tuple[FloatArray, FloatArray]:
        """Return lower and upper bound at `level` (0 to 1, exclusive)."""
        down = float(np.interp(level, GRID, self.below))
        up = float(np.interp(level, GRID, self.above))
        return (
            prediction - down * np.maximum(band.below, self.floor_below),
            prediction + up * np.maximum(band.above, self.floor_above),
        )

    def to_json(self) -> dict[str, Any]:
        """JSON-able fields."""
        return {
            "below": self.below.tolist(),
            "above": self.above.tolist(),
            "floor_below": self.floor_below,
            "floor_above": self.floor_above,
        }

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Calibration:
        """Read `to_json` back."""
        return cls(
            np.asarray(fields["below"], dtype=np.float64),
            np.asarray(fields["above"], dtype=np.float64),
            float(fields["floor_below"]),
            float(fields["floor_above"]),
        )


def calibrate(residual: FloatArray, band: Band) -> Calibration:
    """Choose the stretch of both sides from residuals on time that the models have not seen.

    Parameters
    ----------
    residual
        Actual minus prediction, float64 ``(n,)``; NaN (no actual) is left out.
    band
        Raw width of the same rows.

    Returns
    -------
    Calibration
        At level ``a`` a share ``(1 - a) / 2`` of the residuals lies below and as many above, with the finite-sample
        correction ``(n + 1) / n`` of split conformal prediction.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> residual = rng.normal(size=2000)
    >>> one = Band(np.ones(2000), np.ones(2000))
    >>> low, high = calibrate(residual, one).interval(np.zeros(1), Band(np.ones(1), np.ones(1)), 0.9)
    >>> abs(low[0] + 1.645) < 0.1 and abs(high[0] - 1.645) < 0.1
    True

    References
    ----------
    Romano, Y., Patterson, E., Candès, E. (2019): Conformalized quantile regression. NeurIPS 32.
    Sesia, M., Candès, E. (2020): A comparison of some conformal quantile regression methods. Stat 9(1), e261.
    """
    known = np.isfinite(residual)
    residual, below, above = residual[known], band.below[known], band.above[known]
    floor_below, floor_above = _floor(below), _floor(above)
    return Calibration(
        _stretch(-residual / np.maximum(below, floor_below)),
        _stretch(residual / np.maximum(above, floor_above)),
        floor_below,
        floor_above,
    )


def _floor(width: FloatArray) -> float:
    return max(MIN_WIDTH * float(np.median(width)), 1e-12) if len(width) else 1e-12


def _stretch(score: FloatArray) -> FloatArray:
    """Quantiles of one side's score at ``(1 + level) / 2``; never negative, so that the prediction stays inside."""
    if not len(score):
        return np.ones_like(GRID)
    share = np.minimum((1 + GRID) / 2 * (1 + 1 / len(score)), 1.0)
    return np.maximum.accumulate(np.maximum(np.quantile(score, share), 0.0))
