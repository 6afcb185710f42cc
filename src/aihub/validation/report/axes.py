"""Scales and ticks of a figure: round numbers, and dates where people expect them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

HOUR_S = 3600
DAY_S = 86_400
_STEPS_S = (60, 300, 900, 1800, *(HOUR_S * h for h in (1, 2, 3, 6, 12)), *(DAY_S * d for d in (1, 2, 7, 14)))
_STEPS_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120)


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear map from values to pixels or shares."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Position of `value`."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def bounds(values: Iterable[float | None], *, zero: bool = False, room: float = 0.04) -> tuple[float, float]:
    """Return the range of the values with some room around it; never empty.

    >>> bounds([None, 2.0, 4.0], room=0)
    (2.0, 4.0)
    """
    known = [value for value in values if value is not None and math.isfinite(value)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if high - low <= abs(high) * 1e-12:
        pad = abs(high) * 0.1 or 1.0
        return low - pad, high + pad
    pad = (high - low) * room
    return (low if zero and low == 0 else low - pad), (high if zero and high == 0 else high + pad)


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Return about `count` round numbers within the range.

    >>> ticks(0, 97)
    [0.0, 20.0, 40.0, 60.0, 80.0]
    """
    raw = (high - low) / count
    if not math.isfinite(raw) or raw <= 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.8)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    decimals = max(0, 3 - math.floor(math.log10(step)))
    return [round(i * step, decimals) for i in range(first, last + 1)]


def tick_text(value: float, step: float) -> str:
    """Return a tick's label: no more decimals than its distance to the next one needs.

    >>> tick_text(1200.0, 400.0), tick_text(0.25, 0.25), tick_text(3_500_000.0, 500_000.0)
    ('1,200', '0.25', '3.5M')
    """
    size = abs(value)
    if size >= 1e15 or 0 < size < 1e-6:  # noqa: PLR2004 - beyond what words help
        return f"{value:.2g}"
    for unit, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if size >= unit:
            divisor = min(unit, 1e3) if letter == "k" else unit
            return f"{value / divisor:.4g}{letter}"
    decimals = max(0, -math.floor(math.log10(step) + 1e-9)) if step > 0 else 2
    if step > 0 and round(step, decimals) != round(step, decimals + 1):
        decimals += 1
    return f"{value:,.{min(decimals, 8)}f}"


def moments(x: Sequence[Any]) -> list[float] | None:
    """Return seconds since 1970 where every value is ISO 8601 text, None where one is not."""
    found = []
    for value in x:
        try:
            stamp = datetime.fromisoformat(value)
        except (TypeError, ValueError):
            return None
        found.append((stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp())
    return found


def time_ticks(low: float, high: float, count: int = 7) -> list[tuple[float, str]]:
    """Return positions (seconds since 1970) and labels at full hours, days, months or years, in UTC.

    >>> [label for _, label in time_ticks(1704067200, 1704067200 + 5 * 86400)]
    ['1 Jan', '2 Jan', '3 Jan', '4 Jan', '5 Jan', '6 Jan']
    """
    span = high - low
    step = next((step for step in _STEPS_S if span / step <= count), None)
    if step is not None:
        first = math.ceil(low / step)
        stamps = [datetime.fromtimestamp(i * step, UTC) for i in range(first, math.floor(high / step) + 1)]
        return [(s.timestamp(), _stamp_text(s, step)) for s in stamps]
    months = next((m for m in _STEPS_MONTHS if span / (m * 30.4 * DAY_S) <= count), _STEPS_MONTHS[-1])
    return [
        (s.timestamp(), f"{s:%Y}" if months % 12 == 0 else f"{s:%b %Y}") for s in _months(low, high, months)
    ]


def _stamp_text(stamp: datetime, step: int) -> str:
    if step < DAY_S and (stamp.hour or stamp.minute):
        return f"{stamp:%H:%M}"
    return f"{stamp.day} {stamp:%b}"


def _months(low: float, high: float, stride: int) -> Iterator[datetime]:
    stamp = datetime.fromtimestamp(low, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    end = datetime.fromtimestamp(high, UTC)
    while stamp <= end:
        index = stamp.year * 12 + stamp.month - 1
        if stamp.timestamp() >= low and index % stride == 0:
            yield stamp
        stamp = (stamp + timedelta(days=32)).replace(day=1)
