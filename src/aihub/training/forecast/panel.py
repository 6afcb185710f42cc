"""Series laid on a regular grid, in one flat array per column, so that features are gathers and never joins."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from aihub.types import FloatArray

    IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Table:
    """Rows as numbers: which series, which step, and the columns.

    Attributes
    ----------
    series
        Index of the series of each row, int64 ``(n,)``.
    step
        Number of the step of each row (see `aihub.training.forecast.calendar.Calendar`), int64 ``(n,)``.
    columns
        Float64 ``(n,)`` by name; NaN is missing. Categories are codes.
    """

    series: IntArray
    step: IntArray
    columns: Mapping[str, FloatArray]

    def __len__(self) -> int:
        return len(self.step)


@dataclass(frozen=True)
class Panel:
    """Series of different lengths, one after the other in flat arrays.

    Attributes
    ----------
    start
        First step of each series, int64 ``(s,)``.
    length
        Steps of each series, int64 ``(s,)``; 0 where a series has no rows.
    columns
        Flat float64 arrays, the series one after the other; NaN is missing.
    """

    start: IntArray
    length: IntArray
    columns: dict[str, FloatArray] = field(default_factory=dict)

    @property
    def base(self) -> IntArray:
        """Where each series begins in the flat arrays."""
        return np.concatenate([[0], np.cumsum(self.length)[:-1]]).astype(np.int64)

    @property
    def size(self) -> int:
        """Length of the flat arrays."""
        return int(self.length.sum())

    def gather(self, values: FloatArray, series: IntArray, step: IntArray) -> FloatArray:
        """Return `values` at each (series, step); NaN outside of the series."""
        at = step - self.start[series]
        inside = (at >= 0) & (at < self.length[series])
        found = values[np.where(inside, self.base[series] + at, 0)] if len(values) else np.zeros(len(step))
        return np.where(inside, found, np.nan)

    def per_series(self, values: FloatArray, function: Callable[[FloatArray], FloatArray]) -> FloatArray:
        """Apply `function` to the stretch of each series."""
        out = np.empty_like(values)
        for begin, length in zip(self.base, self.length, strict=True):
            if length:
                out[begin : begin + length] = function(values[begin : begin + length])
        return out

    def rows(self) -> tuple[IntArray, IntArray]:
        """Series and step of every element of the flat arrays."""
        series = np.repeat(np.arange(len(self.length)), self.length)
        step = np.arange(self.size) - np.repeat(self.base, self.length) + np.repeat(self.start, self.length)
        return series, step


def panel_of(
    tables: list[Table], count: int, names: tuple[str, ...], *, until: IntArray | None = None
) -> Panel:
    """Lay `tables` on one grid per series; where two hold the same cell, the later table wins unless it is missing.

    Parameters
    ----------
    tables
        Rows, in any order; columns that a table does not have count as missing.
    count
        Number of series.
    names
        Columns wanted.
    until
        Last step that the grid of each series reaches at least; shape ``(count,)``.
    """
    big = np.iinfo(np.int64).max // 4
    low, high = np.full(count, big), np.full(count, -big)
    for table in tables:
        np.minimum.at(low, table.series, table.step)
        np.maximum.at(high, table.series, table.step)
    if until is not None:
        high = np.where(high > -big, np.maximum(high, until), high)
    length = np.maximum(high - low + 1, 0)
    panel = Panel(np.where(length > 0, low, 0), length)
    for name in names:
        flat = np.full(panel.size, np.nan)
        for table in tables:
            if name in table.columns:
                values = table.columns[name]
                known = np.isfinite(values)
                where = panel.base[table.series] + table.step - panel.start[table.series]
                flat[where[known]] = values[known]
        panel.columns[name] = flat
    return panel


def trailing_mean(values: FloatArray, window: int) -> FloatArray:
    """Mean of the last `window` values up to and including each; NaN where fewer than half of them are known.

    Parameters
    ----------
    values
        Float64 ``(n,)``; NaN is missing and left out of the mean.
    window
        Values looked at, at least 1.

    Examples
    --------
    >>> trailing_mean(np.array([1.0, np.nan, 3.0, 5.0]), 2)
    array([1., 1., 3., 4.])
    """
    known = np.isfinite(values)
    total = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0))])
    count = np.concatenate([[0], np.cumsum(known)])
    end = np.arange(1, len(values) + 1)
    begin = np.maximum(end - window, 0)
    n = count[end] - count[begin]
    enough = n >= max(1, window // 2)
    return np.where(enough, (total[end] - total[begin]) / np.maximum(n, 1), np.nan)


def trailing_extreme(values: FloatArray, window: int, *, largest: bool) -> FloatArray:
    """Smallest or largest of the last `window` known values up to and including each; NaN where none is known.

    Examples
    --------
    >>> trailing_extreme(np.array([1.0, 4.0, 2.0, 0.0]), 2, largest=True)
    array([1., 4., 4., 2.])
    """
    best = np.array(values, dtype=np.float64)
    pick = np.fmax if largest else np.fmin
    # Windows double until the last one overlaps: log2(window) passes instead of window.
    reach = 1
    while reach < window:
        shift = min(reach, window - reach)
        best[shift:] = pick(best[shift:], best[:-shift].copy()) if shift < len(best) else best[shift:]
        reach += shift
    return best


def smoothed(values: FloatArray, half_life: float) -> FloatArray:
    """Exponentially weighted mean of the values up to and including each, cut off after ten to twenty half-lives.

    Cutting it off makes it depend on a finite past: a model that carries the tail of its history smooths to the same
    figure as one that is given everything.

    Parameters
    ----------
    values
        Float64 ``(n,)``; NaN is missing and has no weight.
    half_life
        Steps after which a weight has halved, above 0.
    """
    decay = 0.5 ** (1.0 / half_life)
    known = np.isfinite(values)
    weight, total = known.astype(np.float64), np.where(known, values, 0.0)
    reach = 1
    while reach < 10 * half_life:
        # The weighted sum over twice the reach is the sum over the reach and the older one's, decayed.
        for one in (weight, total):
            one[reach:] += one[:-reach].copy() * decay**reach
        reach *= 2
    return np.where(weight > 1e-3, total / np.maximum(weight, 1e-12), np.nan)  # noqa: PLR2004 - a stale rest is not known


def carried(values: FloatArray, short: int, long: int) -> FloatArray:
    """Fill what is missing with the mean of the last known value whole short seasons before and the one a long season before.

    Only older values are used, so that a row that may look at a step may look at its filling. Of both seasons' values the
    mean was nearest to the truth over gaps of an hour to three days in load, solar and wind; either alone was far off on
    some of them.

    Parameters
    ----------
    values
        Float64 ``(n,)``; NaN is missing.
    short, long
        Steps of the seasons; at most one long season is looked back.

    Returns
    -------
    ndarray of float64, shape ``(n,)``
        NaN where nothing is known at those steps.

    Examples
    --------
    >>> carried(np.array([1.0, 5.0, 3.0, 6.0, np.nan, np.nan]), 2, 4)
    array([1. , 5. , 3. , 6. , 2. , 5.5])
    """
    missing = ~np.isfinite(values)
    if not missing.any():
        return values
    by_day = _last_known(values, short, max(1, long // short))
    by_week = _last_known(values, long, 1)
    both = np.where(np.isfinite(by_day) & np.isfinite(by_week), (by_day + by_week) / 2, by_day)
    return np.where(missing, np.where(np.isfinite(both), both, by_week), values)


def _last_known(values: FloatArray, season: int, times: int) -> FloatArray:
    """Value one season before each, or two, up to `times`: the first that is known."""
    found = np.full(len(values), np.nan)
    for back in range(season, min(times * season, len(values) - 1) + 1, season):
        np.copyto(found[back:], values[:-back], where=~np.isfinite(found[back:]))
    return found
