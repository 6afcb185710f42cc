"""Which channels hear of a notice, and when. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from aihub.notify.message import Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aihub.notify.config import QuietHours, Route
    from aihub.notify.message import Notice

_SATURDAY = 5


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One channel hears of a notice at `at`; with others that wait for the same moment where `is_digest`."""

    channel: str
    at: datetime
    is_digest: bool = False


def deliveries(notice: Notice, routes: Iterable[Route], now: datetime) -> list[Delivery]:
    """Return who hears of `notice` and when: each channel once, at the earliest moment that one of its routes allows."""
    found: dict[str, Delivery] = {}
    for route in routes:
        if not matches(route, notice):
            continue
        at, is_digest = due(route, notice.severity, now)
        for channel in route.channels:
            known = found.get(channel)
            if known is None or at < known.at:
                found[channel] = Delivery(channel=channel, at=at, is_digest=is_digest)
    return list(found.values())


def matches(route: Route, notice: Notice) -> bool:
    """Whether a route is for this notice."""
    return (
        notice.severity.rank >= route.severity.rank
        and _any(notice.tenant, route.tenants)
        and _any(notice.model, route.models)
        and _any(notice.event, route.events)
    )


def due(route: Route, severity: Severity, now: datetime) -> tuple[datetime, bool]:
    """Return when a route tells a notice of `now`, and whether together with others.

    What is critical is told at once, whatever the hour.
    """
    if severity is Severity.CRITICAL:
        return now, False
    at, is_digest = now, False
    if route.digest_minutes:
        # Slots of the clock, not of the first notice: all processes agree on them without talking to each other.
        slot = route.digest_minutes * 60
        at = datetime.fromtimestamp(math.floor(now.timestamp() / slot + 1) * slot, tz=UTC)
        is_digest = True
    if route.quiet is not None:
        end = quiet_until(route.quiet, at)
        if end is not None:
            # The night's notices come as one in the morning.
            return end, True
    return at, is_digest


def quiet_until(quiet: QuietHours, at: datetime) -> datetime | None:
    """End of the quiet time that `at` lies in, None outside of it."""
    moment = at
    # A night that runs into a weekend ends after it: at most a night and two days, some steps of which are empty.
    for _ in range(8):
        end = _end_of_piece(quiet, moment)
        if end is None:
            break
        moment = end
    return moment if moment > at else None


def _end_of_piece(quiet: QuietHours, at: datetime) -> datetime | None:
    zone = ZoneInfo(quiet.time_zone)
    local = at.astimezone(zone)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    if quiet.weekend and local.weekday() >= _SATURDAY:
        return (midnight + timedelta(days=1)).astimezone(UTC)
    clock = local.time()
    if quiet.start <= quiet.end:
        inside = quiet.start <= clock < quiet.end
        days = 0
    else:
        inside = clock >= quiet.start or clock < quiet.end
        days = 1 if clock >= quiet.start else 0
    if not inside:
        return None
    end = midnight + timedelta(days=days)
    return end.replace(hour=quiet.end.hour, minute=quiet.end.minute).astimezone(UTC)


def _any(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
