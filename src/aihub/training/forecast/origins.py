"""From when a row is forecast.

A forecast of a day or more is issued once a day, at the time of day at which the training data of the series ends (the
usual export ends at midnight, so that the usual issue time is local midnight). Forecasts of less than a day are issued
every `horizon` steps, counted from that end. The steps from one issue time to the next form a *block*; the origin of all
its rows is the last step before it. A horizon of ``k`` days is served every ``k`` days, counted in local days.

Rows after the end of the known target are forecast from the last issue time at or before that end; rows further ahead
than the horizon from the model's own predictions, one block after the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from aihub.training.forecast.calendar import Calendar
    from aihub.training.forecast.layout import Layout
    from aihub.training.forecast.panel import IntArray


@dataclass(frozen=True)
class Issue:
    """When forecasts of one series are issued.

    Attributes
    ----------
    minute
        Local minute of the day at which a daily block begins.
    step
        A step at which a block of less than a day begins.
    """

    minute: int
    step: int

    def to_json(self) -> list[int]:
        """JSON-able fields."""
        return [self.minute, self.step]

    @classmethod
    def from_json(cls, fields: list[Any]) -> Issue:
        """Read `to_json` back."""
        return cls(int(fields[0]), int(fields[1]))


def blocks(calendar: Calendar, layout: Layout, issue: Issue) -> IntArray:
    """Return the block number of every step of `calendar`; it never decreases. Daily blocks are numbered by local day."""
    if layout.days_ahead:
        local = calendar.day * 1440 + calendar.minute - issue.minute
        # A clock set back repeats an hour: the later one of the two stays in the block that has begun.
        return np.maximum.accumulate(local // 1440)
    steps = np.arange(calendar.length, dtype=np.int64) + calendar.first
    return (steps - issue.step) // layout.horizon


def origin_steps(calendar: Calendar, layout: Layout, issue: Issue) -> tuple[IntArray, IntArray]:
    """Return the origin of every step of `calendar`: as served, and the latest issue time before it.

    Both are int64 ``(length,)`` numbers of steps before the row; they differ where a horizon of several days is served
    every so many days. The first block of the calendar may begin before it: its origin is then the step before the first.
    """
    number = blocks(calendar, layout, issue)
    latest = _before(number, calendar.first)
    if layout.days_ahead > 1:
        return _before(number // layout.days_ahead, calendar.first), latest
    return latest, latest


def _before(number: IntArray, first: int) -> IntArray:
    begins = np.concatenate([[True], number[1:] != number[:-1]])
    at = np.maximum.accumulate(np.where(begins, np.arange(len(number)), 0))
    return at + first - 1


def training_pairs(latest: IntArray, first: int, layout: Layout) -> tuple[IntArray, IntArray]:
    """Pairs of (origin, step) to learn from: every issue time with every lead up to the horizon.

    Parameters
    ----------
    latest
        See `origin_steps`.
    first
        Number of the first step.
    """
    steps = np.arange(len(latest), dtype=np.int64) + first
    if layout.days_ahead <= 1 and layout.is_sub_daily:
        return latest, steps
    if not layout.is_sub_daily:
        leads = np.arange(1, layout.horizon + 1)
        origin = np.repeat(steps, len(leads)) - np.tile(leads, len(steps))
        keep = origin >= first - 1
        return origin[keep], np.repeat(steps, len(leads))[keep]
    issued = np.unique(latest)
    origin = np.repeat(issued, layout.horizon)
    step = origin + np.tile(np.arange(1, layout.horizon + 1), len(issued))
    keep = step <= steps[-1]
    return origin[keep], step[keep]
