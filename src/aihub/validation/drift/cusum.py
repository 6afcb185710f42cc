"""Page's CUSUM with a threshold set for a rate of false alarms per year, on autocorrelated residuals."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from aihub.validation.drift.blocks import circular_block_bootstrap
from aihub.validation.drift.seasonal import HARMONICS

if TYPE_CHECKING:
    from aihub.types import FloatArray

PATHS = 999
"""Simulated years behind a threshold."""
_BLOCK_WEEKS = 2
"""Neighbours kept together: longer than weather lasts, short enough for 50 of them in two years."""
_MARGIN = 1.15
"""On top of the quantile: two reference years know the noise of their own residuals to about that factor."""


@dataclass(frozen=True, slots=True)
class Cusum:
    """Two one-sided cumulative sums of residuals beyond an allowance.

    Attributes
    ----------
    allowance
        Half of the level shift that is to be found fastest, in residual standard deviations.
    threshold
        Alarm when a sum exceeds it (unit: residual sd times looks); infinite never alarms.
    up, down
        The sums.
    run
        Looks since the larger sum was last 0: how long ago the change seems to have begun.

    References
    ----------
    Page: Continuous inspection schemes, Biometrika 41 (1954) 100-115.

    Examples
    --------
    >>> state = Cusum(allowance=0.5, threshold=4.0)
    >>> for residual in [0.1, -0.2, 2.0, 2.1, 1.9, 2.2]:
    ...     state = state.update(residual)
    >>> state.is_alarm, round(state.up, 1), state.run
    (True, 6.2, 4)
    """

    allowance: float
    threshold: float
    up: float = 0.0
    down: float = 0.0
    run: int = 0

    def update(self, residual: float) -> Cusum:
        """Return the state after one more look; a NaN look changes nothing."""
        if math.isnan(residual):
            return self
        up = max(0.0, self.up + residual - self.allowance)
        down = max(0.0, self.down - residual - self.allowance)
        return replace(self, up=up, down=down, run=self.run + 1 if max(up, down) > 0 else 0)

    @property
    def is_alarm(self) -> bool:
        """Whether a sum is beyond the threshold."""
        return max(self.up, self.down) > self.threshold

    def restarted(self) -> Cusum:
        """Return the state after an alarm was dealt with."""
        return replace(self, up=0.0, down=0.0, run=0)


def cusum_threshold(
    level: FloatArray,
    *,
    looks_per_year: int,
    allowance: float,
    false_alarms_per_year: float,
    fit_variance: float = 0.0,
    rng: np.random.Generator,
) -> float:
    """Return the threshold that a year without a change exceeds `false_alarms_per_year` times on average.

    Simulates `PATHS` years by a circular block bootstrap of the reference residuals (blocks of two weeks keep their
    autocorrelation), adds to each a smooth error of the season itself, and takes the quantile of the yearly maximum at
    exp(-rate), plus a margin of 15 % for what two years cannot know.

    Parameters
    ----------
    level
        Residual means per look, shape (n,); NaN is left out.
    looks_per_year
        Length of a year in looks.
    allowance
        As in `Cusum`.
    false_alarms_per_year
        Rate, > 0; 0.05 is one in twenty series-years.
    fit_variance
        Variance of the season's level error, shared by the whole year.
    rng
        Source of randomness.

    Returns
    -------
    float
        Infinite where the reference has fewer than four weeks of looks.

    Raises
    ------
    ValueError
        The rate is not positive.
    """
    if not false_alarms_per_year > 0:
        raise ValueError(
            f"false_alarms_per_year must be above 0, got {false_alarms_per_year}; 0.05 is a usual choice"
        )
    known = level[np.isfinite(level)]
    block = max(1, round(looks_per_year * _BLOCK_WEEKS / 52))
    if known.size < 2 * block:
        return math.inf
    years = circular_block_bootstrap(known, looks_per_year, block=block, draws=PATHS, rng=rng)
    years = years + _season_errors(looks_per_year, fit_variance, rng)
    up, down, peak = np.zeros(PATHS), np.zeros(PATHS), np.zeros(PATHS)
    for residual in np.ascontiguousarray(years.T):
        up = np.maximum(0.0, up + residual - allowance)
        down = np.maximum(0.0, down - residual - allowance)
        peak = np.maximum(peak, np.maximum(up, down))
    return _MARGIN * float(np.quantile(peak, math.exp(-false_alarms_per_year), method="higher"))


def _season_errors(looks: int, variance: float, rng: np.random.Generator) -> FloatArray:
    """Draw one smooth error of level and annual curve per path, shape (paths, looks)."""
    angle = np.arange(looks) * (2 * math.pi / looks)
    waves = [np.ones(looks)]
    waves += [math.sqrt(2) * f(k * angle) for k in range(1, HARMONICS + 1) for f in (np.cos, np.sin)]
    basis = np.stack(waves)
    return np.asarray(rng.normal(0.0, math.sqrt(variance), (PATHS, len(basis))) @ basis, dtype=np.float64)
