"""Faults of measurement in one series, told from what the world really does.

Every rule is built for precision: on clean data (see `benchmarks`) it must find nothing. A lasting level shift, a heat
wave, a solar or appliance peak is behaviour and stays. Rules run in this order, each on what the ones before left:
impossible values, unit changes, stuck meters, spikes, shifted clocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aihub.training.data.expectation import expected, runs, spread

if TYPE_CHECKING:
    from collections.abc import Callable

    from aihub.types import FloatArray

SENTINELS = (-99999.0, -9999.0, -999.0, -99.0, 999.0, 9999.0, 99999.0, 65535.0, 32767.0, -32768.0)
_RARE = 0.01
_FEWEST_DAYS = 10
_FEWEST_ROWS = 200
_POSITIVE_FLOOR = 0.1
"""A meter whose lowest hundredth stays above this share of its median does not read zero by itself."""

UNIT_EXPONENTS = (3, -3, 6, -6, 2, -2, 1, -1)
_UNIT_TOLERANCE = 0.12
_UNIT_JUMP = 0.25
_UNIT_NEAR = 0.35
_SHORTEST_UNIT_ROWS = {1: 6, 2: 4}

_STUCK_ROWS = 6
_STUCK_CHANCE = 1e-3
_STUCK_MOVE = 0.2
_STUCK_LIKE = 0.05

_SPIKE_QUANTILE = 0.995
_SPIKE_TIMES = 8.0
_SPIKE_SPREAD = 0.2
_SPIKE_WIDTHS = (2, 4)
_MOST_SPIKES = 0.001
_GROSS_TIMES, _MOST_GROSS = 3.0, 0.005
"""Spikes that exceed the limit so many times are faults also where mild ones are frequent, up to this share of the rows."""
_MOST_FLAT = 0.3


@dataclass(frozen=True)
class Fault:
    """Rows `start` to `stop` (excluded) of one column are not what was measured.

    Attributes
    ----------
    kind
        ``sentinel``, ``zero_load``, ``negative_load``, ``unit_change``, ``temperature_unit``, ``stuck_meter``,
        ``spike`` or ``clock_shift``.
    detail
        What it looks like, for the note.
    """

    kind: str
    start: int
    stop: int
    detail: str = ""


def clean_target(values: FloatArray, steps_per_day: int) -> tuple[FloatArray, list[Fault]]:
    """Return a copy of `values` with faults corrected or missing, and the faults.

    Parameters
    ----------
    values
        Shape (n,), on a regular grid; missing is NaN.
    """
    cleaned = values.copy()
    if np.sum(~np.isnan(values)) < max(_FEWEST_ROWS, _FEWEST_DAYS * steps_per_day):
        return cleaned, []
    faults = [
        *_impossible(cleaned),
        *_units(cleaned, steps_per_day),
        *_stuck(cleaned, steps_per_day),
        *_spikes(cleaned, steps_per_day),
    ]
    return cleaned, sorted(faults, key=lambda fault: fault.start)


def _impossible(values: FloatArray) -> list[Fault]:
    """Sentinels far outside the rest; zeros and negatives of a meter that never comes near zero."""
    found = sentinels(values)
    known = values[~np.isnan(values)]
    positive = known[known > 0]
    if len(positive) < (1 - _RARE) * len(known):
        return found
    floor = float(np.quantile(positive, _RARE))
    if floor <= _POSITIVE_FLOOR * float(np.median(positive)):
        return found
    least = _POSITIVE_FLOOR * float(np.median(positive))
    beside = _neighbours(values)
    for kind, is_bad in (("zero_load", values == 0), ("negative_load", values < 0)):
        for start, stop in runs(is_bad):
            # A value that glides through zero is behaviour; a fault jumps there and back.
            if min(beside(start, stop)) > least:
                found.append(Fault(kind, start, stop))
    for fault in found:
        values[fault.start : fault.stop] = np.nan
    return found


def _neighbours(values: FloatArray) -> Callable[[int, int], tuple[float, float]]:
    """Return a function that gives the last known value before a stretch and the first known one after it."""
    known = np.flatnonzero(~np.isnan(values))

    def beside(start: int, stop: int) -> tuple[float, float]:
        before = int(np.searchsorted(known, start)) - 1
        after = int(np.searchsorted(known, stop))
        first = values[known[before]] if before >= 0 else values[known[min(after, len(known) - 1)]]
        last = values[known[after]] if after < len(known) else first
        return float(first), float(last)

    return beside


def sentinels(values: FloatArray) -> list[Fault]:
    """Values that loggers write for "missing" (-999, 9999, ...), where they lie far outside all others."""
    found: list[Fault] = []
    for word in SENTINELS:
        is_word = values == word
        count = int(is_word.sum())
        if not count or count > len(values) / 2:
            continue
        rest = values[~is_word & ~np.isnan(values)]
        if not len(rest):
            continue
        low, high, width = float(rest.min()), float(rest.max()), spread(rest)
        if word < low - width or word > high + width:
            found += [Fault("sentinel", start, stop, f"{word:g}") for start, stop in runs(is_word)]
            values[is_word] = np.nan
    return found


def _units(values: FloatArray, steps_per_day: int) -> list[Fault]:
    """Blocks in another unit (kW among MW): all values the same power of ten away from what is expected."""
    known = values[~np.isnan(values) & (values != 0)]
    if not len(known):
        return []
    centre = float(np.median(np.log10(np.abs(known))))
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.log10(np.abs(values)) - centre
    inside = np.abs(size) < 0.5  # noqa: PLR2004 - within half a decade of the median
    if np.mean(inside[~np.isnan(values)]) < 0.9:  # noqa: PLR2004 - a series that spans decades by itself
        return []
    low, high = np.quantile(size[inside], (0.001, 0.999))
    found: list[Fault] = []
    beside = _neighbours(values)
    # What is expected is judged by the rows of ordinary size only, or a long block would be its own measure.
    usual = expected(np.where(inside, values, np.nan), steps_per_day)
    usual = np.where(np.isnan(usual), float(np.sign(np.median(known))) * 10.0**centre, usual)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log10(values / usual)
    for exponent in UNIT_EXPONENTS:
        is_near = (
            (np.abs(ratio - exponent) < _UNIT_NEAR)
            & (size > low + exponent - _UNIT_TOLERANCE)
            & (size < high + exponent + _UNIT_TOLERANCE)
        )
        for start, stop in _bridged(is_near, np.isnan(values)):
            block = slice(start, stop)
            here = ratio[block][is_near[block]]
            if len(here) < _SHORTEST_UNIT_ROWS.get(abs(exponent), 3):
                continue
            ends = np.array([values[start], values[stop - 1]]), np.array(beside(start, stop))
            with np.errstate(divide="ignore", invalid="ignore"):
                jumps = np.abs(np.log10(np.abs(ends[0] / ends[1])) - exponent)
            jumps = jumps[[start > 0, stop < len(values)]]
            if abs(float(np.median(here)) - exponent) < _UNIT_TOLERANCE and (jumps < _UNIT_JUMP).all():
                values[block] /= 10.0**exponent
                found.append(Fault("unit_change", start, stop, f"{10.0**exponent:g}"))
    return found


def _bridged(is_in: np.ndarray, is_missing: np.ndarray) -> list[tuple[int, int]]:
    """Stretches of True, where missing rows in between do not part them."""
    joined: list[tuple[int, int]] = []
    for start, stop in runs(is_in):
        if joined and is_missing[joined[-1][1] : start].all():
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((start, stop))
    return joined


def _stuck(values: FloatArray, steps_per_day: int) -> list[Fault]:
    """Long repeats of one value while the days around say that it should have moved."""
    same = np.concatenate(([False], values[1:] == values[:-1]))
    long = [(start - 1, stop) for start, stop in runs(same) if stop - start + 1 >= _STUCK_ROWS]
    if not long:
        return []
    usual, width = expected(values, steps_per_day), spread(values)
    found = []
    for start, stop in long:
        here = usual[start:stop]
        here = here[~np.isnan(here)]
        if not len(here) or values[start] == 0:
            continue
        moves = float(here.max() - here.min()) > _STUCK_MOVE * width
        # How often a value repeats is asked of rows of like size: idle machines repeat, busy ones do not.
        is_like = np.abs(values - values[start]) <= _STUCK_LIKE * width
        is_like[start:stop] = False
        chance = (float(same[is_like].sum()) + 0.5) / (float(is_like.sum()) + 1)
        is_rare = len(values) * chance ** (stop - start - 1) < _STUCK_CHANCE
        if moves and is_rare:
            # The first value was read before the meter stuck.
            found.append(Fault("stuck_meter", start + 1, stop, f"{values[start]:g}"))
    for fault in found:
        values[fault.start : fault.stop] = np.nan
    return found


def _spikes(values: FloatArray, steps_per_day: int) -> list[Fault]:
    """One to three rows far from both neighbours, compared with how far such rows usually are."""
    from scipy.ndimage import grey_opening  # noqa: PLC0415 - 0.2 s that a clean import must not pay

    known = np.flatnonzero(~np.isnan(values))
    series = values[known]
    if np.mean(np.diff(series) == 0) > _MOST_FLAT:
        return []
    usual = expected(values, steps_per_day)[known]
    residual = series - np.where(np.isnan(usual), float(np.median(series)), usual)
    least = _SPIKE_SPREAD * spread(series)
    is_spike, is_gross = np.zeros(len(series), dtype=bool), np.zeros(len(series), dtype=bool)
    for width in _SPIKE_WIDTHS:
        for sign in (1, -1):
            height, raw = (sign * x - grey_opening(sign * x, width) for x in (residual, series))
            limit = max(least, _SPIKE_TIMES * float(np.quantile(height, _SPIKE_QUANTILE)))
            is_spike |= (height > limit) & (raw > limit / 2)
            is_gross |= (height > _GROSS_TIMES * limit) & (raw > limit / 2)
    # Many mild ones are how this meter behaves; one that towers over those is a fault all the same.
    if (is_spike & ~is_gross).sum() > max(5, _MOST_SPIKES * len(series)):
        is_spike = is_gross
    if not is_spike.any() or is_spike.sum() > max(5, _MOST_GROSS * len(series)):
        return []
    is_there = np.zeros(len(values), dtype=bool)
    is_there[known[is_spike]] = True
    found = [Fault("spike", start, stop, f"{values[start]:g}") for start, stop in runs(is_there)]
    values[is_there] = np.nan
    return found
