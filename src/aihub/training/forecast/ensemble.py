"""The boosters of one forecast: a level and a change whose mean is the prediction, and two quantiles for its interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.training.forecast.conformal import Band

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aihub.training.algorithms.base import Algorithm, Booster, Objective
    from aihub.training.forecast.features import Design
    from aihub.training.progress import Watch
    from aihub.types import FloatArray

POINT = ("level", "change")
QUANTILES = ("lower", "upper")
_RAW_LEVEL = 0.9
_WEIGHTS = np.linspace(0.25, 0.75, 11)
"""Shares of the change model that are tried; the middle is the safe choice, an end would throw one model away."""


@dataclass(frozen=True)
class Ensemble:
    """Fitted boosters.

    The level model learns the target itself, the change model its difference from the last known value at the same time
    of day. Each errs where the other does not: a level cannot follow a shift, a change repeats yesterday's accident.

    Attributes
    ----------
    boosters
        By name: ``level``, ``change``, ``lower``, ``upper``.
    change_share
        Weight of the change model, 0 to 1.
    """

    boosters: Mapping[str, Booster]
    change_share: float = 0.5

    def point(self, design: Design, *, threads: int) -> FloatArray:
        """Predict each row of `design`, in units of the series' scale; the level alone where nothing is known."""
        level = self.boosters["level"].predict(design.x, threads=threads)
        change = design.base + self.boosters["change"].predict(design.x, threads=threads)
        return blend(level, change, self.change_share)

    def band(self, design: Design, point: FloatArray, *, threads: int) -> Band:
        """Width that the quantile models give to both sides of `point`; never negative."""
        base = np.where(np.isfinite(design.base), design.base, point)
        lower = base + self.boosters["lower"].predict(design.x, threads=threads)
        upper = base + self.boosters["upper"].predict(design.x, threads=threads)
        return Band(np.maximum(point - lower, 0.0), np.maximum(upper - point, 0.0))


def blend(level: FloatArray, change: FloatArray, share: float) -> FloatArray:
    """Weighted mean of both predictions; the level where there is no change."""
    return np.where(np.isfinite(change), (1 - share) * level + share * change, level)


def best_share(level: FloatArray, change: FloatArray, actual: FloatArray) -> float:
    """Return the weight of the change model with the least absolute error, half way back to one half.

    Going half way keeps a short or odd calibration period from deciding alone.
    """
    known = np.isfinite(change) & np.isfinite(actual)
    if not known.any():
        return 0.5
    errors = [float(np.abs(blend(level, change, w) - actual)[known].mean()) for w in _WEIGHTS]
    return float(round((_WEIGHTS[int(np.argmin(errors))] + 0.5) / 2, 4))


@dataclass(frozen=True)
class Fitter:
    """Fits boosters with one algorithm and one set of settings."""

    algorithm: Algorithm
    params: Mapping[str, Any]
    quantile_params: Mapping[str, Any]
    loss: str
    categorical: tuple[str, ...]
    seed: int
    threads: int

    def fit(self, name: str, design: Design, target: FloatArray, watch: Watch) -> Booster:
        """Fit the booster called `name` to `target` (in units of the scale), of which none is missing."""
        quantile = {"lower": (1 - _RAW_LEVEL) / 2, "upper": (1 + _RAW_LEVEL) / 2}.get(name)
        return self.algorithm.fit(
            design.x,
            target if name == "level" else target - design.base,
            names=design.names,
            categorical=self.categorical,
            params=self.params if quantile is None else self.quantile_params,
            objective=self._objective(name),
            quantile=quantile,
            seed=self.seed,
            threads=self.threads,
            on_round=watch,
        )

    def _objective(self, name: str) -> Objective:
        if name in QUANTILES:
            return "quantile"
        if self.loss == "auto":
            # One of each: their mean was better than either loss alone on most meters, and never far from the best.
            return "l2" if name == "level" else "l1"
        return "l1" if self.loss == "l1" else "l2"
