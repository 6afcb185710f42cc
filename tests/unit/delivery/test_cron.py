"""When a cron expression is next true, also where clocks are put forward and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aihub.delivery.cron import check, next_after
from aihub.errors import ConfigError

BERLIN = "Europe/Berlin"


def fired(expression: str, zone: str, start: str, hours: float) -> list[str]:
    at, end = datetime.fromisoformat(start), datetime.fromisoformat(start) + timedelta(hours=hours)
    found = []
    while (at := next_after(expression, zone, at)) <= end:
        found.append(at.astimezone(ZoneInfo(zone)).isoformat(timespec="minutes"))
    return found


def test_the_time_of_the_zone_is_meant() -> None:
    assert fired("0 2 * * 0", BERLIN, "2026-07-01T00:00:00+00:00", 24 * 14) == [
        "2026-07-05T02:00+02:00",
        "2026-07-12T02:00+02:00",
    ]


def test_a_time_in_the_gap_of_spring_comes_once_behind_it() -> None:
    assert fired("30 2 * * *", BERLIN, "2026-03-28T00:00:00+00:00", 72) == [
        "2026-03-28T02:30+01:00",
        "2026-03-29T03:30+02:00",
        "2026-03-30T02:30+02:00",
    ]


def test_a_time_that_autumn_has_twice_comes_once() -> None:
    assert fired("30 2 * * *", BERLIN, "2026-10-24T12:00:00+00:00", 48) == [
        "2026-10-25T02:30+02:00",
        "2026-10-26T02:30+01:00",
    ]


@pytest.mark.parametrize(
    ("start", "zone"), [("2026-03-28T20:00:00+00:00", BERLIN), ("2026-10-24T20:00:00+00:00", BERLIN)]
)
def test_every_quarter_of_an_hour_is_every_quarter_of_an_hour_on_any_day(start: str, zone: str) -> None:
    assert len(fired("*/15 * * * *", zone, start, 12)) == 48


@given(
    at=st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis adds the zone
    zone=st.sampled_from(["UTC", BERLIN, "Australia/Lord_Howe", "America/New_York", "Asia/Kathmandu"]),
    expression=st.sampled_from(["*/5 * * * *", "30 2 * * *", "0 0 1 * *", "15 */6 * * 1-5", "0 3 29 2 *"]),
)
def test_the_next_time_is_later_and_nothing_lies_between(at: datetime, zone: str, expression: str) -> None:
    following = next_after(expression, zone, at)
    assert following > at
    assert next_after(expression, zone, following - timedelta(seconds=1)) == following


@pytest.mark.parametrize(
    ("expression", "zone", "field"),
    [
        ("* * * *", "UTC", "cron"),
        ("0 0 0 0 0 0", "UTC", "cron"),
        ("0 0 30 2 *", "UTC", "cron"),
        ("99 * * * *", "UTC", "cron"),
        ("", "UTC", "cron"),
        ("0 2 * * 0", "Europe/Berln", "time_zone"),
    ],
)
def test_what_is_never_true_is_refused(expression: str, zone: str, field: str) -> None:
    with pytest.raises(ConfigError) as raised:
        check(expression, zone)
    assert raised.value.field == field
