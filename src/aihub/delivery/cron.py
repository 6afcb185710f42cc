"""When a cron expression is next true in a time zone. Pure.

Clocks are put forward and back: a time that does not exist comes at once after the gap, and one that exists twice comes the
first time only - unless the hour is ``*``, where every hour counts. Nothing is left out, nothing comes twice.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from aihub.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

FIELDS = 5
_LARGEST_STEPS = {"minute": 59, "hour": 23, "day": 31, "month": 12, "weekday": 7}
_LARGEST_SHIFT = timedelta(hours=3)
_MAX_LOOKED_AT = 2000


def check(expression: str, time_zone: str) -> None:
    """Refuse what is no cron expression of five fields, or never true, and what is no time zone.

    Raises
    ------
    ConfigError
        With the field ``cron`` or ``time_zone``.
    """
    check_zone(time_zone)
    _check_steps(expression)
    next_after(expression, time_zone, datetime(2024, 1, 1, tzinfo=UTC))


def check_zone(time_zone: str) -> None:
    """Refuse what is no time zone.

    Raises
    ------
    ConfigError
        With the field ``time_zone``.
    """
    try:
        ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        from zoneinfo import available_timezones

        near = did_you_mean(time_zone, available_timezones())
        raise ConfigError(
            f"no time zone {time_zone[:64]!r}.{near} Write an IANA name such as 'Europe/Berlin'.",
            field="time_zone",
        ) from None


def _check_steps(expression: str) -> None:
    """Refuse a step that goes beyond its field, of which only the first moment would ever be true."""
    for (name, largest), text in zip(_LARGEST_STEPS.items(), expression.split(), strict=False):
        for part in text.split(","):
            _, slash, step = part.partition("/")
            if slash and not (step.isascii() and step.isdigit() and 1 <= int(step[:9]) <= largest):
                raise ConfigError(
                    f"cron: the step {step[:20]!r} of the {name} is not from 1 to {largest}. Correct it.",
                    field="cron",
                )


def next_after(expression: str, time_zone: str, after: datetime) -> datetime:
    """Return the first moment (UTC) behind `after` at which the expression is true.

    >>> next_after("30 2 * * *", "Europe/Berlin", datetime(2026, 3, 28, 12, tzinfo=UTC)).isoformat()
    '2026-03-29T01:30:00+00:00'

    Raises
    ------
    ConfigError
        It is no cron expression of five fields, or there is no such moment.
    """
    from croniter import CroniterBadDateError, CroniterError

    zone = ZoneInfo(time_zone)
    found: list[datetime] = []
    try:
        for wall in islice(_walls(expression, after.astimezone(zone)), _MAX_LOOKED_AT):
            if (
                found
                and wall.replace(tzinfo=UTC) > found[0].astimezone(zone).replace(tzinfo=UTC) + _LARGEST_SHIFT
            ):
                break
            found += [moment for moment in _moments(wall, zone, expression) if moment > after]
    except CroniterBadDateError:
        raise ConfigError(f"cron {expression[:64]!r} is never true. Correct the day.", field="cron") from None
    except (CroniterError, KeyError, ValueError):
        raise ConfigError(
            f"cron {expression[:64]!r} is no expression of five fields. Write one like '0 2 * * 0' (Sundays at 2).",
            field="cron",
        ) from None
    return min(found)


def _walls(expression: str, local: datetime) -> Iterator[datetime]:
    """Yield times of the clock on the wall, from a little before."""
    from croniter import croniter

    if len(expression.split()) != FIELDS:
        raise ValueError(expression)
    times = croniter(expression, local.replace(tzinfo=None) - _LARGEST_SHIFT, ret_type=datetime)
    while True:
        yield times.get_next()


def _moments(wall: datetime, zone: ZoneInfo, expression: str) -> set[datetime]:
    """Moments at which the wall shows this time: one, or two where clocks were put back."""
    first = wall.replace(tzinfo=zone).astimezone(UTC)
    second = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    every_hour = expression.split()[1].startswith("*")
    # In a gap the second lies before the first; the later of the two is the one at once after the gap.
    return (
        {first, second}
        if every_hour and second > first
        else {max(first, second) if second < first else first}
    )
