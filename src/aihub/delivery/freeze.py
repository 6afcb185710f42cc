"""Times in which nothing new is deployed: weekends, nights, holidays, a cron expression. Pure.

A rollback is always allowed: a freeze protects what works.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field

from aihub.errors import ConfigError
from aihub.training.strict import StrictModel

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_WINDOWS = 50
_SEARCH_DAYS = 400
"""How far ahead the end of a freeze is looked for."""
_MINUTES_A_DAY = 24 * 60
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def _clock(value: Any) -> Any:
    """YAML 1.1 reads an unquoted 16:30 as the number 990, minutes to the base of 60."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MINUTES_A_DAY:
        return time(value // 60, value % 60)
    return value


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name[:64]!r} is no IANA time zone, such as 'Europe/Berlin'") from None
    return name


def _cron(text: str) -> str:
    from croniter import croniter

    if len(text.split()) != 5 or not croniter.is_valid(text):  # noqa: PLR2004 - the fields of a crontab
        raise ValueError(f"{text[:64]!r} is no cron expression of five fields, such as '0 16 * * fri'")
    return text


Clock = Annotated[time, BeforeValidator(_clock, json_schema_input_type=str)]


class FreezeWindow(StrictModel):
    """One freeze: the hours of the weekdays between two dates that are given, or so many hours from each cron time."""

    weekdays: list[Weekday] = Field(default_factory=list, max_length=7, description="Days; empty: every day.")
    from_: Clock | None = Field(
        default=None, alias="from", description="Local time at which it begins; empty: midnight."
    )
    until: Clock | None = Field(
        default=None,
        description="Local time at which it ends; empty: midnight. Before `from`: on the next day.",
    )
    start: date | None = Field(default=None, description="First day.")
    end: date | None = Field(default=None, description="Last day, included.")
    cron: Annotated[str, AfterValidator(_cron)] | None = Field(
        default=None, description="Begins at these local times, instead of all of the above."
    )
    hours: float | None = Field(
        default=None, gt=0, le=24 * 366, description="How long after each `cron` time."
    )
    time_zone: Annotated[str, AfterValidator(_zone)] = Field(
        default="UTC", description="IANA zone of the times."
    )
    reason: str = Field(default="", max_length=500, description="Why, for those who have to wait.")

    def check_agreement(self) -> None:
        """Refuse a window that says nothing, two things, or ends before it begins."""
        calendar = [self.weekdays, self.from_, self.until, self.start, self.end]
        if (self.cron is None) != (self.hours is None):
            raise ConfigError("a freeze by 'cron' also needs 'hours'. Give both.", field="cron")
        if self.cron is not None and any(part not in (None, []) for part in calendar):
            raise ConfigError(
                "a freeze is given by 'cron' or by days and hours, not by both. Make two.", field="cron"
            )
        if self.cron is None and all(part in (None, []) for part in calendar):
            raise ConfigError("a freeze without days would never end. Give 'weekdays', 'start' or 'cron'.")
        if self.start and self.end and self.end < self.start:
            raise ConfigError("a freeze ends before it starts. Exchange 'start' and 'end'.", field="end")

    def covers(self, now: datetime) -> bool:
        """Whether `now` (aware) lies in the window."""
        local = now.astimezone(ZoneInfo(self.time_zone))
        if self.cron is not None:
            return self._last_cron(local) + timedelta(hours=self.hours or 0.0) > local.astimezone(UTC)
        begin, end = self.from_ or time(), self.until or time()
        clock = local.time().replace(tzinfo=None)
        if begin < end:
            return begin <= clock < end and self._has_day(local.date())
        # Over midnight, or the whole day: the hours after midnight belong to the day before.
        if clock >= begin:
            return self._has_day(local.date())
        return clock < end and self._has_day(local.date() - timedelta(days=1))

    def _has_day(self, day: date) -> bool:
        return (
            (not self.weekdays or _WEEKDAYS[day.weekday()] in self.weekdays)
            and (self.start is None or day >= self.start)
            and (self.end is None or day <= self.end)
        )

    def _last_cron(self, local: datetime) -> datetime:
        from croniter import croniter

        # It answers with what lies strictly before.
        before = local.replace(microsecond=0) + timedelta(seconds=1)
        last: datetime = croniter(self.cron, before).get_prev(datetime)
        return last.astimezone(UTC)

    def next_end(self, now: datetime) -> datetime | None:
        """Return the first moment after `now` at which it is over; None where that is more than a year away."""
        return next((at for at in self._ends(now) if at > now and not self.covers(at)), None)

    def _ends(self, now: datetime) -> Iterator[datetime]:
        zone = ZoneInfo(self.time_zone)
        local = now.astimezone(zone)
        if self.cron is not None:
            last = self._last_cron(local)
            for _ in range(_SEARCH_DAYS):
                over = last + timedelta(hours=self.hours or 0.0)
                yield over
                # A later start before the end prolongs it.
                last = max(self._last_cron(over.astimezone(zone)), last)
            return
        for ahead in range(_SEARCH_DAYS):
            day = local.date() + timedelta(days=ahead)
            for clock in sorted({time(), self.until or time()}):
                yield datetime.combine(day, clock, zone).astimezone(UTC)


@dataclass(frozen=True, kw_only=True)
class Freeze:
    """That nothing new may be deployed now, until when (None: not foreseeable) and why."""

    until: datetime | None
    reason: str

    def __str__(self) -> str:
        ending = f" until {self.until:%Y-%m-%d %H:%M} UTC" if self.until else ""
        return f"deployments are frozen{ending}{f' ({self.reason})' if self.reason else ''}"


def frozen(windows: Sequence[FreezeWindow], now: datetime) -> Freeze | None:
    """Return the freeze that `now` lies in, with its end where windows follow each other without a gap."""
    active = [window for window in windows if window.covers(now)]
    if not active:
        return None
    reason = "; ".join(dict.fromkeys(window.reason for window in active if window.reason))
    until: datetime = now
    for _ in range(_SEARCH_DAYS):
        covering = [window for window in windows if window.covers(until)]
        if not covering:
            return Freeze(until=until, reason=reason)
        ends = [window.next_end(until) for window in covering]
        if None in ends:
            break
        until = max(end for end in ends if end is not None)
    return Freeze(until=None, reason=reason)
