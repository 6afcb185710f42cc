"""Residuals of a reference that are as large as those to come: every part is predicted from the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from aihub.validation.drift.blocks import windows
from aihub.validation.drift.clock import WEEK_S, YEAR_S
from aihub.validation.drift.seasonal import SeasonalModel, fit_season

if TYPE_CHECKING:
    from aihub.types import FloatArray

_ROBUST_SD = 5.0
_FOLDS = 8
"""Parts of a reference without two full years, each predicted from the others."""


def look_means(
    utc_s: FloatArray, residual: FloatArray, look_s: float, first: int
) -> tuple[FloatArray, FloatArray]:
    """Mean and mean square of the finite residuals per look since look number `first`, shape (looks,); NaN if none."""
    seen = np.isfinite(residual) & np.isfinite(utc_s)
    if not seen.any():
        return np.empty(0), np.empty(0)
    at = (np.floor(utc_s[seen] / look_s) - first).astype(np.intp)
    count = np.bincount(at).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        level = np.bincount(at, weights=residual[seen]) / count
        square = np.bincount(at, weights=residual[seen] ** 2) / count
    return level, square


def _folds(utc: FloatArray, *, has_year: bool) -> tuple[FloatArray, int]:
    """Fold of each row: years; eighths below two of them; every eighth fortnight where no annual curve is fitted.

    Leaving out a month of a short reference would ask the effect of the weather for an answer outside its range.
    """
    start, span = float(np.nanmin(utc)), float(np.nanmax(utc) - np.nanmin(utc))
    if not has_year:
        return np.floor((utc - start) / min(2 * WEEK_S, (span + 1) / _FOLDS)) % _FOLDS, _FOLDS
    folds = max(2, round(span / YEAR_S)) if span >= 1.9 * YEAR_S else _FOLDS
    return np.floor(np.minimum((utc - start) / (span + 1) * folds, folds - 1)), folds


def out_of_sample(
    utc: FloatArray,
    local: FloatArray,
    y: FloatArray,
    x: FloatArray | None,
    season: SeasonalModel,
    *,
    spread: FloatArray | None = None,
) -> FloatArray:
    """Residuals of each fold from a season fitted on the others."""
    fold, folds = _folds(utc, has_year=season.has_year)
    fold = np.where(np.isfinite(fold), fold, -1)
    usable = np.isfinite(y) & (fold >= 0)
    for given in (x, spread):
        if given is not None:
            usable &= np.isfinite(given.reshape(len(y), -1)).all(axis=1)
    residual = np.full(y.shape, np.nan)
    for k in range(folds):
        inside = fold == k
        rest = ~inside & usable
        if not inside.any() or not rest.any():
            continue
        other = fit_season(
            utc[rest],
            local[rest],
            y[rest],
            covariates=None if x is None else x[rest],
            cell_s=season.cell_s,
            knots=season.knots,
            spread=None if spread is None else spread[rest],
        )
        residual[inside] = y[inside] - other.predict(
            utc[inside], local[inside], None if x is None else x[inside]
        )
    return residual


def robust_sd(residual: FloatArray) -> float:
    """Return the standard deviation after clipping at five robust deviations; the plain one where half the values are equal."""
    if residual.size < 2:  # noqa: PLR2004 - a spread needs two values
        return 0.0
    centre = float(np.median(residual))
    robust = 1.4826 * float(np.median(np.abs(residual - centre)))
    if not robust > 0:
        return float(residual.std())
    return float(np.clip(residual - centre, -_ROBUST_SD * robust, _ROBUST_SD * robust).std())


def long_run_variance(level: FloatArray, length: int) -> float:
    """Variance of one look such that means of many looks vary by it over their number (from means of `length`)."""
    known = level[np.isfinite(level)]
    length = max(1, min(length, known.size // 8))
    cut = windows(known, length) if known.size else np.empty((0, 1))
    return float(cut.mean(axis=1).var() * length) if len(cut) > 1 else 0.0
