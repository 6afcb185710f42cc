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
    from numpy.typing import NDArray

    from aihub.types import FloatArray

RECENT_DAYS = 28
"""Days of a model's own recent errors that intervals adapt to."""
_TRUST_DAYS = 7.0
"""After so many days, recent errors weigh as much as the calibration."""
_LIMITS = (0.9, 3.0)
"""Recent errors stretch an interval to no less and no more than this: a calm month is no promise of a calm tomorrow."""
GRID = np.round(np.concatenate([np.linspace(0.0, 0.98, 99), np.linspace(0.985, 0.999, 15)]), 4)
"""Levels at which a calibration is stored; between them it is interpolated."""
MIN_WIDTHS = (0.05, 0.25, 0.5, 1.0)
"""Least widths of a side to choose from, as shares of its mean width: a width of nothing could not be scaled."""
_BETTER = 0.98
"""A larger least width must lower the interval score at least to this share: the models' own widths are trusted first."""
_SCORED_LEVEL = 0.9
_TRUE_CLAIMS = 0.98
"""Share of the rows without width that the actual must not have left, for the claim to be believed."""


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
    sure_below, sure_above
        Of a row with less than this on both sides, the models are certain: it is no evidence about the others.
    """

    below: FloatArray
    above: FloatArray
    floor_below: float
    floor_above: float
    sure_below: float = 0.0
    sure_above: float = 0.0

    def interval(self, prediction: FloatArray, band: Band, level: float) -> tuple[FloatArray, FloatArray]:
        """Return lower and upper bound at `level` (0 to 1, exclusive)."""
        down = float(np.interp(level, GRID, self.below))
        up = float(np.interp(level, GRID, self.above))
        return (
            prediction - down * np.maximum(band.below, self.floor_below),
            prediction + up * np.maximum(band.above, self.floor_above),
        )

    def excess(self, residual: FloatArray, band: Band, level: float) -> FloatArray:
        """How far each residual lies out, as a share of the interval's own side at `level`: 1 is on the bound; NaN if certain.

        Parameters
        ----------
        residual
            Actual minus prediction, float64 ``(n,)``.
        band
            Raw width of the same rows.
        level
            Level of the interval.
        """
        lower, upper = self.interval(np.zeros_like(residual), band, level)
        out = np.maximum(residual / np.maximum(upper, 1e-12), residual / np.minimum(lower, -1e-12))
        return np.where(_is_certain(band, self.sure_below, self.sure_above), np.nan, out)

    def to_json(self) -> dict[str, Any]:
        """JSON-able fields."""
        return {
            "below": self.below.tolist(),
            "above": self.above.tolist(),
            "floor_below": self.floor_below,
            "floor_above": self.floor_above,
            "sure_below": self.sure_below,
            "sure_above": self.sure_above,
        }

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Calibration:
        """Read `to_json` back."""
        return cls(
            np.asarray(fields["below"], dtype=np.float64),
            np.asarray(fields["above"], dtype=np.float64),
            float(fields["floor_below"]),
            float(fields["floor_above"]),
            float(fields.get("sure_below", 0.0)),
            float(fields.get("sure_above", 0.0)),
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
        correction ``(n + 1) / n`` of split conformal prediction. Rows of which the models are certain (see `Calibration`)
        are left out: the nights of a solar plant say nothing about its days, and would let them be narrow.

    Notes
    -----
    Where a side is falsely narrow in a few rows, the stretch that covers those makes all others far too wide. The least
    width of a side is therefore the one of `MIN_WIDTHS` with the best interval score on the same rows.

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
    Gneiting, T., Raftery, A. (2007): Strictly proper scoring rules, prediction, and estimation. JASA 102 (interval score).
    """
    known = np.isfinite(residual)
    residual, band = residual[known], Band(band.below[known], band.above[known])
    sure = _sure(residual, band)
    used = ~_is_certain(band, sure[0], sure[1])
    residual, band = residual[used], Band(band.below[used], band.above[used])
    best = _calibrated(residual, band, MIN_WIDTHS[0], sure)
    least = _interval_score(best, residual, band)
    for share in MIN_WIDTHS[1:] if len(residual) else ():
        tried = _calibrated(residual, band, share, sure)
        score = _interval_score(tried, residual, band)
        if score < _BETTER * least:
            best, least = tried, score
    return best


def _calibrated(residual: FloatArray, band: Band, share: float, sure: list[float]) -> Calibration:
    floor_below, floor_above = _floor(band.below, share), _floor(band.above, share)
    return Calibration(
        _stretch(-residual / np.maximum(band.below, floor_below)),
        _stretch(residual / np.maximum(band.above, floor_above)),
        floor_below,
        floor_above,
        sure[0],
        sure[1],
    )


def _interval_score(calibration: Calibration, residual: FloatArray, band: Band) -> float:
    """Mean width, and what lies outside at ``2 / (1 - level)`` times its distance."""
    if not len(residual):
        return 0.0
    lower, upper = calibration.interval(np.zeros_like(residual), band, _SCORED_LEVEL)
    outside = np.maximum(lower - residual, 0.0) + np.maximum(residual - upper, 0.0)
    return float(np.mean(upper - lower + 2 / (1 - _SCORED_LEVEL) * outside))


def recent_stretch(excess: FloatArray, level: float, days: float) -> float:
    """Return the factor by which recent errors ask an interval to be stretched.

    The quantile of the recent excess at `level` is the factor that would have made the recent intervals hold. It is
    shrunk towards 1 by the days it rests on, so that a handful of rows says little and a month says nearly all.

    Parameters
    ----------
    excess
        See `Calibration.excess`; NaN is left out.
    level
        Level of the interval.
    days
        Days that the rows stand for.

    Examples
    --------
    >>> recent_stretch(np.full(100, 2.0), 0.9, days=7.0) == 2.0**0.5
    True
    """
    known = excess[np.isfinite(excess)]
    if not len(known) or days <= 0:
        return 1.0
    share = min(level * (1 + 1 / len(known)), 1.0)
    wanted = float(np.clip(np.quantile(known, share), *_LIMITS))
    return float(wanted ** (days / (days + _TRUST_DAYS)))


def _sure(residual: FloatArray, band: Band) -> list[float]:
    """Width of both sides below which the claim to be certain was true, or 0 where it was not."""
    limits = [_floor(side, MIN_WIDTHS[0]) for side in (band.below, band.above)]
    claimed = residual[_is_certain(band, limits[0], limits[1])]
    is_true = np.mean((-limits[0] <= claimed) & (claimed <= limits[1])) if len(claimed) else 0.0
    return limits if is_true >= _TRUE_CLAIMS else [0.0, 0.0]


def _is_certain(band: Band, below: float, above: float) -> NDArray[np.bool_]:
    return (band.below < below) & (band.above < above)


def _floor(width: FloatArray, share: float) -> float:
    # Not the median, which is nothing itself where most rows are nights.
    return max(share * float(np.mean(width)), 1e-12) if len(width) else 1e-12


def _stretch(score: FloatArray) -> FloatArray:
    """Quantiles of one side's score at ``(1 + level) / 2``; never negative, so that the prediction stays inside."""
    if not len(score):
        return np.ones_like(GRID)
    share = np.minimum((1 + GRID) / 2 * (1 + 1 / len(score)), 1.0)
    return np.maximum.accumulate(np.maximum(np.quantile(score, share), 0.0))
