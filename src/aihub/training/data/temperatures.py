"""A weather column that changes between Celsius, Fahrenheit and Kelvin for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from aihub.training.data.expectation import spread
from aihub.training.data.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from aihub.types import FloatArray

_CONVERSIONS: tuple[tuple[str, Callable[[FloatArray], FloatArray]], ...] = (
    ("degF among degC", lambda x: (x - 32) / 1.8),
    ("degC among degF", lambda x: x * 1.8 + 32),
    ("K among degC", lambda x: x - 273.15),
    ("degC among K", lambda x: x + 273.15),
)
_PLAUSIBLE = (-60.0, 340.0)
_JUMP_SPREAD = 0.4
_JUMP_TIMES = 5.0
_FIT_TIMES = 3.0
_FIT_SPREAD = 0.1
_FEWEST_ROWS = 200
_LONGEST_SHARE = 0.4


def clean_temperature(values: FloatArray) -> tuple[FloatArray, list[Fault]]:
    """Return a copy with blocks of another temperature unit converted, and the blocks.

    A block begins with a jump that vanishes when the block is converted, and ends with one that does too. Both must
    hold, and the converted values must lie in the range of the rest, so that no other column is touched.

    Parameters
    ----------
    values
        Shape (n,), on a regular grid; missing is NaN.
    """
    cleaned = values.copy()
    known = np.flatnonzero(~np.isnan(values))
    if len(known) < _FEWEST_ROWS:
        return cleaned, []
    low, high = np.quantile(values[known], (0.01, 0.99))
    if low < _PLAUSIBLE[0] or high > _PLAUSIBLE[1]:
        return cleaned, []
    steps = np.abs(np.diff(values[known]))
    usual_step = float(np.quantile(steps, 0.99))
    width = spread(values)
    limit = max(_JUMP_SPREAD * width, _JUMP_TIMES * usual_step)
    fit = max(_FIT_TIMES * usual_step, _FIT_SPREAD * width)
    jumps = (np.flatnonzero(steps > limit) + 1).tolist()
    if not jumps or len(jumps) > len(known) / 100:
        return cleaned, []
    found: list[Fault] = []
    taken = 0
    for number, begin in enumerate(jumps):
        if begin <= taken:  # the way back of the block before
            continue
        # Only the last jump may have no way back: the file ends in the other unit.
        for end in jumps[number + 1 :] or [len(known)]:
            block = known[begin:end]
            detail = (
                _conversion(values, known, begin, end, fit)
                if len(block) < _LONGEST_SHARE * len(known)
                else None
            )
            if detail is not None:
                name, convert = detail
                cleaned[block] = convert(values[block])
                found.append(Fault("temperature_unit", int(block[0]), int(block[-1]) + 1, name))
                taken = end
                break
    return cleaned, found


def _conversion(
    values: FloatArray, known: np.ndarray, begin: int, end: int, fit: float
) -> tuple[str, Callable[[FloatArray], FloatArray]] | None:
    """Return the conversion that makes both ends of the block fit what is around it, or None."""
    block = values[known[begin:end]]
    rest = np.delete(values[known], slice(begin, end))
    room = 0.1 * (rest.max() - rest.min())
    for name, convert in _CONVERSIONS:
        tried = convert(block)
        enters = abs(tried[0] - values[known[begin - 1]]) < fit
        leaves = end == len(known) or abs(tried[-1] - values[known[end]]) < fit
        inside = rest.min() - room <= tried.min() and tried.max() <= rest.max() + room
        if enters and leaves and inside:
            return name, convert
    return None
