"""Faults of the newest actuals, kept out of the history that forecasts are made from.

Training repairs its table. What arrives later would go into the lags as it comes: one reading fifty times too large
spoils the forecasts of a week, and a good version would be rolled back for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from aihub.training.data.faults import clean_target

if TYPE_CHECKING:
    from aihub.training.forecast.panel import IntArray
    from aihub.types import FloatArray

_DAY_S = 86_400
_MARGIN = 0.2
"""Share of the range of what is known that a value may lie outside of it without a closer look."""
_STUCK_ROWS = 6
_LONGEST_STEPS = 1 << 20


def repaired(
    step: IntArray, value: FloatArray, known_step: IntArray, known_value: FloatArray, *, step_s: int
) -> FloatArray:
    """Return the newer values of one series with faults corrected or missing (NaN), by the rules of training.

    The newest value never goes missing, since a forecast begins after it; it is held to the margin of what is known.

    Parameters
    ----------
    step, value
        Newer actuals, shape (n,); the later of two for one step counts.
    known_step, known_value
        The end of the training's own, repaired history.
    """
    low, high = _margin(known_value)
    if not len(value) or not _is_odd(step, value, low, high):
        return value
    first = int(min(step.min(), known_step.min(initial=step.min())))
    last = int(max(step.max(), known_step.max(initial=step.max())))
    if last - first >= _LONGEST_STEPS:
        return value
    grid = np.full(last - first + 1, np.nan)
    grid[known_step - first] = known_value
    grid[step - first] = value
    cleaned, _ = clean_target(grid, max(1, _DAY_S // step_s))
    found: FloatArray = cleaned[step - first]
    is_newest = (step == step.max()) & np.isnan(found)
    return np.where(is_newest, np.clip(value, low, high), found)


def _margin(known: FloatArray) -> tuple[float, float]:
    """Bounds of what needs no closer look; everything, where nothing is known."""
    known = known[np.isfinite(known)]
    if not len(known):
        return -np.inf, np.inf
    low, high = float(known.min()), float(known.max())
    margin = _MARGIN * (high - low)
    return low - margin, high + margin


def _is_odd(step: IntArray, value: FloatArray, low: float, high: float) -> bool:
    """Whether values lie far outside of what is known, or repeat: looking closer costs milliseconds a series."""
    if value.min() < low or value.max() > high:
        return True
    ordered = value[np.argsort(step, kind="stable")]
    same = np.concatenate(([0], np.cumsum(np.diff(ordered) != 0)))
    return bool(np.bincount(same).max() >= _STUCK_ROWS)
