"""Tell a changed unit (kW for MW) from a calm, a storm or a closed shop: by what the series itself has shown. Pure."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

FACTORS = (60.0, 100.0, 1e3, 1e6)
"""Ratios of units that are confused: minutes and hours, percent and share, kW and MW, W and MW; and their inverses."""
FEW_DAYS, MANY_DAYS = 3, 14
"""Days that must be known of a steady series, and of a volatile one."""
_STEADY = 30.0
"""A series is steady where its largest value is less than so many times its smallest: no calm, no night."""
_UNLIKE = 5.0
"""A day unlike all others is beyond the nearest of them by this factor."""
_FITS = 1.6
"""Divided by the factor, a day in another unit lies among those known, give or take this."""


def is_steady(days: Sequence[Sequence[float]]) -> bool:
    """Say whether no value of the days known (mean, largest and smallest size each) is far from the others."""
    lowest = min(day[2] if len(day) > 2 else 0.0 for day in days)  # noqa: PLR2004 - remembered without it once
    return max(day[1] for day in days) < _STEADY * lowest


def changed_unit(mean: float, largest: float, days: Sequence[Sequence[float]]) -> float | None:
    """Return the factor by which the unit of a day has changed, None where it has not.

    A day is in another unit where mean and largest size are beyond those of *every* day known by a factor of five, and
    among them once they are divided by a factor of two known units. That a wind farm's calm is a hundredth of its usual
    level is then no news, where it had calms before.

    Parameters
    ----------
    mean, largest
        Of the sizes of the day's values that are not zero.
    days
        The same of each day known, and its smallest size.

    Examples
    --------
    >>> changed_unit(0.1, 0.15, [[90, 140, 50], [110, 150, 60], [100, 160, 50]])
    0.001
    >>> changed_unit(1.0, 1.5, [[90, 140, 50], [1.1, 2, 0.5], [100, 160, 50]]) is None
    True
    """
    if len(days) < FEW_DAYS or mean <= 0 or (len(days) < MANY_DAYS and not is_steady(days)):
        return None
    seen = [(mean, [day[0] for day in days]), (largest, [day[1] for day in days])]
    usual = statistics.median(seen[0][1])
    if usual <= 0:
        return None
    candidates = [one for factor in FACTORS for one in (factor, 1 / factor)]
    for factor in sorted(candidates, key=lambda one: abs(math.log(mean / usual / one))):
        if all(_is_unlike(now, known, factor) and _fits(now / factor, known) for now, known in seen):
            return factor
    return None


def _is_unlike(now: float, known: list[float], factor: float) -> bool:
    return now > _UNLIKE * max(known) if factor > 1 else now * _UNLIKE < min(known)


def _fits(now: float, known: list[float]) -> bool:
    return min(known) / _FITS <= now <= max(known) * _FITS
