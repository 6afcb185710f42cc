"""The step between two rows, as written in a configuration and as printed in a report."""

from __future__ import annotations

import re
from datetime import timedelta

_SECONDS = {
    "s": 1, "sec": 1, "second": 1, "seconds": 1,
    "m": 60, "t": 60, "min": 60, "minute": 60, "minutes": 60,
    "h": 3600, "hour": 3600, "hours": 3600, "hourly": 3600,
    "d": 86400, "day": 86400, "days": 86400, "daily": 86400,
    "w": 604800, "week": 604800, "weeks": 604800, "weekly": 604800,
}  # fmt: skip
_PATTERN = re.compile(r"\s*(\d{1,8})?\s*([A-Za-z]+)\s*")
_ISO = re.compile(r"P(?:(\d{1,4})D)?(?:T(?:(\d{1,4})H)?(?:(\d{1,5})M)?(?:(\d{1,6})S)?)?")
_DAY = timedelta(days=1)
MAX_FREQUENCY = timedelta(days=366)
MAX_HORIZON_STEPS = 10_000
"""Most steps ahead of one model or question."""


def parse_frequency(text: str) -> timedelta:
    """Read ``"1h"``, ``"30min"``, ``"15m"``, ``"1d"``, ``"H"`` or ISO 8601 ``"PT30M"``; ``m`` is minutes.

    Raises
    ------
    ValueError
        The text is none of these, or not between one second and a year.

    >>> parse_frequency("30min")
    datetime.timedelta(seconds=1800)
    """
    seconds = 0
    if iso := _ISO.fullmatch(text.strip()):
        days, hours, minutes, rest = (int(part or 0) for part in iso.groups())
        seconds = days * 86400 + hours * 3600 + minutes * 60 + rest
    elif match := _PATTERN.fullmatch(text):
        seconds = int(match.group(1) or 1) * _SECONDS.get(match.group(2).lower(), 0)
    step = timedelta(seconds=seconds)
    if not timedelta(seconds=1) <= step <= MAX_FREQUENCY:
        raise ValueError(
            f"{text[:40]!r} is no frequency. Write a number and a unit, such as '1h', '30min' or '1d'."
        )
    return step


def format_frequency(step: timedelta) -> str:
    """Write a step the way `parse_frequency` reads it.

    >>> format_frequency(timedelta(minutes=30))
    '30min'
    """
    seconds = round(step.total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def steps_per_day(step: timedelta) -> int:
    """Rows of one day, at least 1.

    >>> steps_per_day(timedelta(minutes=30))
    48
    """
    return max(1, round(_DAY / step))
