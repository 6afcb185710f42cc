"""Evidence that may be looked at as often as one likes: e-processes made of p-values."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

_BETS = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
"""Exponents of the power calibrators e * p^(e - 1); a mixture needs no guess of how small p will get."""


@dataclass(frozen=True, slots=True)
class EProcess:
    """Wealth of a gambler who bets against "nothing has changed", one p-value after the other.

    Each p-value multiplies a bet's wealth by e p^(e - 1), whose expectation is at most 1 while nothing has changed. An
    equal share of the capital waits for each of `horizon` possible starts of a change, so that quiet months do not use
    it up; after `horizon` p-values the capital is dealt out anew. By Ville's inequality the wealth exceeds 1 / alpha
    with probability at most alpha per horizon, however often it is looked at. Assumes p-values that are valid given
    those before (online block-conformal ranks of exchangeable windows). Null false-alarm rate, measured over a year of
    weekly p-values at alpha = 0.05: see ``benchmarks/drift.py``.

    Attributes
    ----------
    horizon
        P-values per horizon, 52 weekly ones for a year.
    count
        P-values seen in this horizon.
    log_wealth
        Per start and bet, log of the factor so far; one row per p-value seen.

    References
    ----------
    Vovk, Gammerman, Shafer: Algorithmic learning in a random world (2022), chapter 8 (power martingales).
    Shin, Ramdas, Rinaldo: E-detectors, New England J. Statist. Data Sci. 2 (2024) 229-260.

    Examples
    --------
    >>> quiet = shifted = EProcess(horizon=52)
    >>> for _ in range(8):
    ...     quiet, shifted = quiet.update(0.4), shifted.update(0.01)
    >>> quiet.wealth < 2, shifted.wealth > 20
    (True, True)
    """

    horizon: int = 52
    count: int = 0
    log_wealth: tuple[tuple[float, ...], ...] = field(default=())

    def update(self, p_value: float) -> EProcess:
        """Return the process after one more p-value.

        Raises
        ------
        ValueError
            The p-value is not in (0, 1].
        """
        if not 0 < p_value <= 1:
            raise ValueError(
                f"a p-value must lie in (0, 1], got {p_value}; leave out windows that were not tested"
            )
        if self.count >= self.horizon:
            return EProcess(self.horizon).update(p_value)
        factors = np.log(_BETS) + (_BETS - 1) * math.log(p_value)
        grown = np.asarray((*self.log_wealth, (0.0,) * _BETS.size)) + factors
        rows = tuple(tuple(float(value) for value in row) for row in grown)
        return replace(self, count=self.count + 1, log_wealth=rows)

    @property
    def wealth(self) -> float:
        """Wealth per unit of capital: the e-value of everything seen in this horizon."""
        if not self.log_wealth:
            return 1.0
        started = np.exp(np.minimum(np.asarray(self.log_wealth), 700.0)).mean(axis=1)
        return float((started.sum() + (self.horizon - self.count)) / self.horizon)

    @property
    def p_value(self) -> float:
        """Anytime-valid p-value: one over the wealth, at most 1."""
        return min(1.0, 1.0 / self.wealth)
