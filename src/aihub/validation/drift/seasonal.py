"""A season taken off: hour of the week, a smooth year, and weather where it is given.

The form is deliberately plain and not that of any generator: a free level per hour of the week, plus a smooth annual
curve that may bend the daily shape, plus piecewise linear effects of covariates that differ over the day. Outliers are
clipped, so that a stuck meter in the reference does not bend the season.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aihub.validation.drift.clock import DAY_S, WEEK_S, YEAR_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from aihub.types import FloatArray

HARMONICS = 3
"""Of the annual curve: bends down to about two months."""
_RIDGE = 1e-5
"""Share of each term's own weighted square added to the diagonal: terms that repeat each other share their effect."""
_FLOOR = 1e-9
"""Share of the rows added as well: keeps a covariate that never moves at no effect."""
_CLIP = 4.0
"""Robust standard deviations beyond which a residual is clipped before the second fit."""
_MAD_TO_SD = 1.4826
_KNOTS = np.linspace(0.1, 0.9, 6)
"""Quantiles at which the effect of a covariate may bend: near any temperature at which heating or cooling begins."""
_LOWEST, _HIGHEST = -1.5, 2.5
"""Covariates count within this many spreads (10 % to 90 % quantile) of the lowest knot; beyond, nothing was learnt."""
_MONDAY_S = 4 * DAY_S
"""The epoch was a Thursday; the first Monday came four days later."""


@dataclass(frozen=True, eq=False)
class SeasonalModel:
    """A fitted season.

    Attributes
    ----------
    cell_s
        Width of a time-of-week cell in seconds.
    level
        Level per cell, shape (cells,); NaN where the reference has no row.
    offset
        Mean of the smooth terms per cell, shape (cells, k).
    slope
        Coefficients of the smooth terms, shape (k,).
    has_year
        Whether an annual curve could be learnt (reference of nearly a year or more).
    knots
        Per covariate the knots of its piecewise linear effect, shape (c, j).
    """

    cell_s: float
    level: FloatArray
    offset: FloatArray
    slope: FloatArray
    has_year: bool
    knots: FloatArray

    def predict(
        self, utc_s: FloatArray, local_s: FloatArray, covariates: FloatArray | None = None
    ) -> FloatArray:
        """Return the expected value per row, shape (n,); NaN where a covariate is missing or the cell was never seen."""
        cell = _cells(local_s, self.cell_s, self.level.size)
        smooth = _smooth(utc_s, local_s, covariates, self.knots, has_year=self.has_year)
        return np.asarray(self.level[cell] + ((smooth - self.offset[cell]) @ self.slope), dtype=np.float64)


def cell_width(step_s: float) -> float:
    """Width of the time-of-week cells for rows every `step_s` seconds: an hour, or the step where it is longer."""
    if step_s <= 3600:  # noqa: PLR2004 - an hour
        return 3600.0
    return step_s if step_s <= DAY_S and DAY_S % step_s == 0 else float(DAY_S if step_s <= DAY_S else WEEK_S)


def fit_season(
    utc_s: FloatArray,
    local_s: FloatArray,
    values: FloatArray,
    *,
    covariates: FloatArray | None = None,
    cell_s: float = 3600.0,
    knots: FloatArray | None = None,
    spread: FloatArray | None = None,
) -> SeasonalModel:
    """Fit the season by ridge regression within cells, three times: the later times with clipped residuals.

    Parameters
    ----------
    utc_s, local_s
        Seconds since 1970 in UTC and on the wall clock, shape (n,).
    values
        Shape (n,). Rows with a NaN or infinite value, stamp or covariate are left out.
    covariates
        Shape (n, c), known at the same time, such as the temperature.
    cell_s
        Width of a time-of-week cell.
    knots
        Knots of the covariates; default their quantiles.
    spread
        Relative standard deviation of each row's noise, shape (n,), above 0; default the same for all.

    Returns
    -------
    SeasonalModel

    Raises
    ------
    ValueError
        No usable row.
    """
    cells = max(1, round(WEEK_S / cell_s))
    usable = np.isfinite(values) & np.isfinite(utc_s)
    if covariates is not None:
        usable &= np.isfinite(covariates).all(axis=1)
    if spread is not None:
        usable &= np.isfinite(spread)
    if not usable.any():
        raise ValueError(
            "no row has a value, a time stamp and every covariate; look at the table's missing values"
        )
    utc_s, local_s, y = utc_s[usable], local_s[usable], np.asarray(values[usable], dtype=np.float64)
    covariates = None if covariates is None else covariates[usable]
    noise = np.ones(len(y)) if spread is None else spread[usable]
    weight = 1 / noise**2
    weight *= len(y) / weight.sum()
    if knots is None:
        knots = _knots(covariates)
    has_year = bool(np.ptp(utc_s) >= 0.9 * YEAR_S)
    smooth = _smooth(utc_s, local_s, covariates, knots, has_year=has_year)
    cell = _cells(local_s, cell_s, cells)
    count = np.bincount(cell, weights=weight, minlength=cells).astype(np.float64)
    offset = _cell_means(cell, smooth, count, weight)
    inner = smooth - offset[cell]
    weighted = inner * weight[:, None]
    gram = weighted.T @ inner
    gram += np.diag(_RIDGE * np.diag(gram) + _FLOOR * len(y))
    level: FloatArray = np.zeros(cells)
    slope: FloatArray = np.zeros(inner.shape[1])
    y = _without_faults(y)
    for _ in range(3):
        level = _cell_means(cell, y[:, None], count, weight)[:, 0]
        if slope.size:
            slope = np.asarray(np.linalg.solve(gram, weighted.T @ (y - level[cell])), dtype=np.float64)
        fitted = np.asarray(level[cell] + inner @ slope, dtype=np.float64)
        residual = (y - fitted) / noise
        centre = float(np.median(residual))
        limit = _CLIP * _MAD_TO_SD * float(np.median(np.abs(residual - centre)))
        if limit > 0:
            y = fitted + noise * np.clip(residual, centre - limit, centre + limit)
    return SeasonalModel(cell_s, np.where(count > 0, level, np.nan), offset, slope, has_year, knots)


def _without_faults(y: FloatArray) -> FloatArray:
    """Clip what lies far beyond the middle 90 %: two days in another unit would move every cell's mean."""
    low, high = np.quantile(y, [0.05, 0.95])
    if not high > low:
        return y
    reach = 1.5 * (high - low)
    return np.asarray(np.clip(y, low - reach, high + reach), dtype=np.float64)


def _cells(local_s: FloatArray, cell_s: float, cells: int) -> NDArray[np.intp]:
    return np.asarray(np.floor((local_s - _MONDAY_S) / cell_s) % cells, dtype=np.intp)


def _cell_means(
    cell: NDArray[np.intp], columns: FloatArray, count: FloatArray, weight: FloatArray
) -> FloatArray:
    sums = (
        np.stack([np.bincount(cell, weights=c * weight, minlength=count.size) for c in columns.T], axis=1)
        if columns.size
        else np.zeros((count.size, columns.shape[1]))
    )
    return np.asarray(sums / np.where(count > 0, count, 1.0)[:, None], dtype=np.float64)


def _knots(covariates: FloatArray | None) -> FloatArray:
    if covariates is None:
        return np.empty((0, _KNOTS.size))
    return np.asarray(np.quantile(covariates, _KNOTS, axis=0).T, dtype=np.float64)


def _smooth(
    utc_s: FloatArray,
    local_s: FloatArray,
    covariates: FloatArray | None,
    knots: FloatArray,
    *,
    has_year: bool,
) -> FloatArray:
    """Smooth terms, shape (n, k): the annual curve, the same bent over the day, covariates likewise."""
    day = local_s * (2 * math.pi / DAY_S)
    bends = [np.cos(day), np.sin(day), np.cos(2 * day), np.sin(2 * day)]
    terms: list[FloatArray] = []
    if has_year:
        terms += list(annual_basis(utc_s).T)
        terms += [yearly * bend for yearly in terms[:2] for bend in bends]
    for column, at in enumerate(knots):
        terms += _weather(np.asarray(covariates)[:, column], at, bends[:2])
    return np.stack(terms, axis=1) if terms else np.empty((len(utc_s), 0))


def _weather(values: FloatArray, knots: FloatArray, bends: Sequence[FloatArray]) -> list[FloatArray]:
    spread = max(float(knots[-1] - knots[0]), 1e-12)
    x = np.clip((values - knots[0]) / spread, _LOWEST, _HIGHEST)
    hinges = [x, *(np.maximum(0.0, x - (k - knots[0]) / spread) for k in knots)]
    middle = hinges[1 + len(knots) // 2]
    return [*hinges, *(hinges[0] * bend for bend in bends), *(middle * bend for bend in bends)]


def is_plausible(covariates: FloatArray, knots: FloatArray) -> NDArray[np.bool_]:
    """Whether every covariate of a row lies where the season could have learnt something, shape (n,)."""
    spread = np.maximum(knots[:, -1] - knots[:, 0], 1e-12)
    place = (covariates - knots[:, 0]) / spread
    return np.asarray(((place >= _LOWEST) & (place <= _HIGHEST)).all(axis=1))


def annual_basis(utc_s: FloatArray) -> FloatArray:
    """Cosines and sines of the year, shape (n, 2 `HARMONICS`), each of mean square 1/2."""
    year = utc_s * (2 * math.pi / YEAR_S)
    return np.stack([f(k * year) for k in range(1, HARMONICS + 1) for f in (np.cos, np.sin)], axis=1)
