"""A meter whose clock is an hour off for some days: the daily shape comes an hour early or late, and comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from aihub.training.data.expectation import expected
from aihub.training.data.faults import Fault

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aihub.types import FloatArray

_WEEKS = (7, 14, 21, 28)
_SHORTEST_DAYS, _LONGEST_DAYS = 3, 45
_GAIN_FLOOR = 0.15
_LEAST_MEAN_GAIN = 0.3
_LEAST_SUM = 2.0
_FEWEST_DAYS = 35
_REACH_DAYS = 1.5


def clean_clock(
    values: FloatArray, local: NDArray[np.int64], steps_per_day: int, steps_per_hour: int
) -> tuple[FloatArray, list[Fault]]:
    """Return a copy with blocks of a shifted clock moved back, and the blocks. The rows that a shift lost are missing.

    Parameters
    ----------
    values
        Shape (n,), on a regular grid in UTC; missing is NaN.
    local
        Position of each row on the wall clock, in steps, so that a change to summer time is no shift.
    """
    cleaned = values.copy()
    if steps_per_hour < 1 or len(values) < _FEWEST_DAYS * steps_per_day:
        return cleaned, []
    slots = local - local.min()
    wall = np.full(int(slots.max()) + 1, np.nan)
    wall[slots] = values
    usual = expected(wall, steps_per_day, _WEEKS)
    misfit = {shift: _misfit(values, usual, slots, shift) for shift in (0, steps_per_hour, -steps_per_hour)}
    day = slots // steps_per_day
    changes, near = np.flatnonzero(np.diff(local) != 1), 2 * steps_per_day
    found: list[Fault] = []
    for shift in (steps_per_hour, -steps_per_hour):
        gain = _gains(misfit[0], misfit[shift], day)
        for stretch in _stretches(gain):
            start, stop = _edges(misfit[0], misfit[shift], day, stretch, steps_per_day)
            start, stop = _snapped(values, start, stop, shift, steps_per_day)
            if np.any(np.abs(changes - start) < near) or np.any(np.abs(changes - stop) < near):
                continue  # the file's zone is in doubt there, not its clock
            _move_back(cleaned, values, start, stop, shift)
            found.append(Fault("clock_shift", start, stop, "late" if shift > 0 else "early"))
    return cleaned, found


def _misfit(values: FloatArray, usual: FloatArray, slots: NDArray[np.int64], shift: int) -> FloatArray:
    """Distance from what is expected when the clock is `shift` steps late."""
    there = np.clip(slots - shift, 0, len(usual) - 1)
    distance = values - usual[there]
    return np.asarray(distance, dtype=np.float64)


def _gains(plain: FloatArray, shifted: FloatArray, day: NDArray[np.int64]) -> FloatArray:
    """Per day, how much better the shifted clock fits: -1 (much worse) to 1 (much better). The day's level is taken out."""
    days = int(day.max()) + 1
    both = ~np.isnan(plain) & ~np.isnan(shifted)

    def sums(x: FloatArray) -> FloatArray:
        return np.asarray(np.bincount(day[both], weights=x[both], minlength=days), dtype=np.float64)

    count = np.maximum(sums(np.ones_like(plain)), 1)
    costs = [sums(x**2) - sums(x) ** 2 / count for x in (plain, shifted)]
    total = costs[0] + costs[1]
    gain: FloatArray = np.where(total > 0, (costs[0] - costs[1]) / np.where(total > 0, total, 1), -1.0)
    return gain


def _stretches(gain: FloatArray) -> list[tuple[int, int]]:
    """Stretches of days (first, last) whose summed gain is largest and large enough."""
    found = []
    score = gain - _GAIN_FLOOR
    start, total, best, best_end = 0, 0.0, 0.0, -1
    for i, value in enumerate([*score.tolist(), -1e9]):
        if total <= 0:
            start, total, best, best_end = i, 0.0, 0.0, -1
        total += value
        if total > best:
            best, best_end = total, i
        if total < best - 1.0 or total <= 0:
            length = best_end - start + 1
            inside = gain[start : best_end + 1]
            if (
                _SHORTEST_DAYS <= length <= _LONGEST_DAYS
                and best > _LEAST_SUM
                and float(np.mean(inside)) > _LEAST_MEAN_GAIN
                and float(np.mean(inside > 0)) > 0.75  # noqa: PLR2004 - a holiday or two may not fit
            ):
                found.append((start, best_end))
            total = 0.0
    return found


def _edges(
    plain: FloatArray,
    shifted: FloatArray,
    day: NDArray[np.int64],
    stretch: tuple[int, int],
    steps_per_day: int,
) -> tuple[int, int]:
    """Find the rows at which the shift begins and ends: where the misfit of both sides together is least.

    Steps are compared and not values: a mild day is off in level, but not in the times at which it rises and falls.
    """
    reach = round(_REACH_DAYS * steps_per_day)
    gain = np.nan_to_num(np.diff(plain, prepend=np.nan) ** 2 - np.diff(shifted, prepend=np.nan) ** 2)
    begin, end = int(np.searchsorted(day, stretch[0])), int(np.searchsorted(day, stretch[1], side="right"))
    low, high = max(1, begin - reach), min(len(day), begin + reach)
    tail = np.cumsum(gain[low:high][::-1])[::-1]
    start = low + int(np.argmax(tail))
    low, high = max(start + 1, end - reach), min(len(day), end + reach)
    head = np.cumsum(gain[low:high])
    return start, low + int(np.argmax(head)) + 1


def _snapped(values: FloatArray, start: int, stop: int, shift: int, reach: int) -> tuple[int, int]:
    """Move an edge to where a reading was sent twice, which is how a late block begins and an early one ends."""
    size = abs(shift)
    edge = start if shift > 0 else stop - size
    near = np.arange(max(size, edge - reach), min(len(values) - size, edge + reach))
    if not len(near):
        return start, stop
    sides = [
        values[near + k] == (values[near + k - size] if shift > 0 else values[near + k + size])
        for k in range(size)
    ]
    twice = near[np.all(sides, axis=0)]
    if len(twice) != 1:
        return start, stop
    return (int(twice[0]), stop) if shift > 0 else (start, int(twice[0]) + size)


def _move_back(cleaned: FloatArray, values: FloatArray, start: int, stop: int, shift: int) -> None:
    if shift > 0:
        cleaned[start : stop - shift] = values[start + shift : stop]
        cleaned[stop - shift : stop] = np.nan
    else:
        cleaned[start - shift : stop] = values[start : stop + shift]
        cleaned[start : start - shift] = np.nan
