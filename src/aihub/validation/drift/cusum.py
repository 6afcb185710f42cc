"""Page's CUSUM with thresholds set for a rate of false alarms per year, on autocorrelated residuals."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from aihub.validation.drift.blocks import circular_block_bootstrap
from aihub.validation.drift.seasonal import HARMONICS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aihub.types import FloatArray

PATHS = 999
"""Simulated years behind a threshold."""
_BLOCK_WEEKS = 2
"""Neighbours kept together: longer than weather lasts, short enough for 50 of them in two years."""
_MARGIN = 1.15
"""On top of the quantile: two reference years know the noise of their own residuals to about that factor."""


@dataclass(frozen=True, slots=True)
class Cusum:
    """Two-sided cumulative sums of residuals beyond an allowance, several allowances side by side.

    A small allowance finds small shifts, a large one finds large shifts at once; one false-alarm rate covers them all.

    Attributes
    ----------
    allowances
        Half of the level shifts that are to be found fastest, in residual standard deviations.
    thresholds
        Alarm when a sum exceeds its own (unit: residual sd times looks); infinite never alarms.
    up, down
        The sums, one per allowance.
    runs
        Looks since both sums of an allowance were last 0: how long ago the change seems to have begun.

    References
    ----------
    Page: Continuous inspection schemes, Biometrika 41 (1954) 100-115.
    Lorden, Eisenberger: Detection of failure rate increases, Technometrics 15 (1973) 167-175 (several at once).

    Examples
    --------
    >>> state = Cusum.fresh(allowances=(0.5,), thresholds=(4.0,))
    >>> for residual in [0.1, -0.2, 2.0, 2.1, 1.9, 2.2]:
    ...     state = state.update(residual)
    >>> state.is_alarm, round(state.up[0], 1), state.onset
    (True, 6.2, 4)
    """

    allowances: tuple[float, ...]
    thresholds: tuple[float, ...]
    up: tuple[float, ...]
    down: tuple[float, ...]
    runs: tuple[int, ...]

    @classmethod
    def fresh(cls, allowances: Sequence[float], thresholds: Sequence[float]) -> Cusum:
        """Return the state before the first look."""
        zeros = (0.0,) * len(allowances)
        return cls(tuple(allowances), tuple(thresholds), zeros, zeros, (0,) * len(allowances))

    def update(self, residual: float) -> Cusum:
        """Return the state after one more look; a NaN look changes nothing."""
        if math.isnan(residual):
            return self
        up = tuple(max(0.0, s + residual - k) for s, k in zip(self.up, self.allowances, strict=True))
        down = tuple(max(0.0, s - residual - k) for s, k in zip(self.down, self.allowances, strict=True))
        runs = tuple(run + 1 if a > 0 or b > 0 else 0 for run, a, b in zip(self.runs, up, down, strict=True))
        return replace(self, up=up, down=down, runs=runs)

    @property
    def level(self) -> float:
        """Largest sum as a share of its threshold: an alarm above 1."""
        return max(self._shares(), default=0.0)

    @property
    def is_alarm(self) -> bool:
        """Whether any sum is beyond its threshold."""
        return self.level > 1

    @property
    def onset(self) -> int:
        """Looks since the change seems to have begun, by the sum that is nearest to its threshold."""
        return self.runs[self._leader()]

    @property
    def shift(self) -> float:
        """Mean residual since then, signed; NaN before anything was summed."""
        i = self._leader()
        if not self.runs[i]:
            return math.nan
        if self.up[i] >= self.down[i]:
            return self.allowances[i] + self.up[i] / self.runs[i]
        return -self.allowances[i] - self.down[i] / self.runs[i]

    def restarted(self) -> Cusum:
        """Return the state after an alarm was dealt with."""
        return Cusum.fresh(self.allowances, self.thresholds)

    def _shares(self) -> list[float]:
        return [max(a, b) / h for a, b, h in zip(self.up, self.down, self.thresholds, strict=True)]

    def _leader(self) -> int:
        shares = self._shares()
        return shares.index(max(shares))


def cusum_thresholds(
    level: FloatArray,
    *,
    looks_per_year: int,
    allowances: Sequence[float],
    false_alarms_per_year: float,
    fit_variance: float = 0.0,
    rng: np.random.Generator,
) -> tuple[float, ...]:
    """Return the thresholds that a year without a change exceeds `false_alarms_per_year` times on average.

    Simulates `PATHS` years by a circular block bootstrap of the reference residuals (blocks of two weeks keep their
    autocorrelation) and adds to each a smooth error of the season itself. Every allowance gets the same share of
    exceeding years; that share is set so that any of them exceeds in a share 1 - exp(-rate) of the years. A margin of
    15 % and of one allowance covers what two reference years cannot know of their own noise.

    Parameters
    ----------
    level
        Residual means per look, shape (n,); NaN is left out.
    looks_per_year
        Length of a year in looks.
    allowances
        As in `Cusum`.
    false_alarms_per_year
        Rate, > 0; 0.05 is one in twenty series-years.
    fit_variance
        Variance of the season's level error, shared by the whole year.
    rng
        Source of randomness.

    Returns
    -------
    tuple of float
        One per allowance; infinite where the reference has fewer than four weeks of looks.

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
        return (math.inf,) * len(allowances)
    years = circular_block_bootstrap(known, looks_per_year, block=block, draws=PATHS, rng=rng)
    years = years + _season_errors(looks_per_year, fit_variance, rng)
    allowance = np.asarray(allowances, dtype=np.float64)[:, None]
    up = np.zeros((len(allowances), PATHS))
    down, peak = np.zeros_like(up), np.zeros_like(up)
    for residual in np.ascontiguousarray(years.T):
        np.maximum(0.0, up + (residual - allowance), out=up)
        np.maximum(0.0, down - (residual + allowance), out=down)
        np.maximum(peak, np.maximum(up, down), out=peak)
    ordered = np.sort(peak, axis=1)
    above = np.stack([PATHS - np.searchsorted(o, p, side="left") for o, p in zip(ordered, peak, strict=True)])
    # The rarest of a year's peaks, over the allowances: how few years a threshold there would let through.
    exceeding = round(PATHS * (1 - math.exp(-false_alarms_per_year)))
    rank = int(np.sort(above.min(axis=0))[min(max(exceeding, 1), PATHS) - 1])
    # A bootstrap cannot draw an extreme beyond that of the reference: one more look's allowance on top.
    found = _MARGIN * ordered[:, PATHS - min(rank, PATHS)] + allowance[:, 0]
    return tuple(float(threshold) for threshold in found)


def _season_errors(looks: int, variance: float, rng: np.random.Generator) -> FloatArray:
    """Draw one smooth error of level and annual curve per path, shape (paths, looks)."""
    angle = np.arange(looks) * (2 * math.pi / looks)
    waves = [np.ones(looks)]
    waves += [math.sqrt(2) * f(k * angle) for k in range(1, HARMONICS + 1) for f in (np.cos, np.sin)]
    basis = np.stack(waves)
    return np.asarray(rng.normal(0.0, math.sqrt(variance), (PATHS, len(basis))) @ basis, dtype=np.float64)
