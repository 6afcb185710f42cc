from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aihub.delivery.freeze import FreezeWindow, frozen
from aihub.errors import ConfigError


def window(**given: Any) -> FreezeWindow:
    return FreezeWindow.model_validate(given)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "now", "is_frozen"),
    [
        ({"weekdays": ["sat", "sun"]}, "2026-11-28 00:00", True),
        ({"weekdays": ["sat", "sun"]}, "2026-11-27 23:59", False),
        ({"weekdays": ["sat"], "time_zone": "Asia/Tokyo"}, "2026-11-27 15:00", True),
        ({"weekdays": ["fri"], "from": "22:00", "until": "06:00"}, "2026-11-28 05:59", True),
        ({"weekdays": ["fri"], "from": "22:00", "until": "06:00"}, "2026-11-27 05:59", False),
        ({"from": "22:00"}, "2026-11-27 22:30", True),
        ({"from": 990, "until": "18:00"}, "2026-11-27 16:30", True),
        ({"until": "06:00"}, "2026-11-27 06:00", False),
        ({"start": "2026-12-20", "end": "2027-01-02"}, "2027-01-02 23:59", True),
        ({"start": "2026-12-20", "end": "2027-01-02"}, "2027-01-03 00:00", False),
        ({"cron": "0 16 * * fri", "hours": 62}, "2026-11-27 16:00", True),
        ({"cron": "0 16 * * fri", "hours": 62}, "2026-11-30 06:00", False),
        ({"cron": "0 16 * * fri", "hours": 62, "time_zone": "Europe/Berlin"}, "2026-11-27 15:30", True),
    ],
)
def test_a_window_covers_its_times(given: dict[str, Any], now: str, *, is_frozen: bool) -> None:
    assert window(**given).covers(at(now)) is is_frozen


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"weekdays": ["saturday"]}, "'sat'"),
        ({"cron": "0 16 * *", "hours": 1}, "five fields"),
        ({"cron": "0 16 * * fri"}, "also needs 'hours'"),
        ({"cron": "0 16 * * fri", "hours": 1, "weekdays": ["mon"]}, "Make two"),
        ({"start": "2026-12-20", "end": "2026-12-01"}, "before it starts"),
        ({"weekdays": ["sat"], "time_zone": "Berlin"}, "IANA"),
        ({"weekdays": ["sat"], "form": "16:00"}, "Did you mean 'from"),
        ({"time_zone": "UTC"}, "never end"),
    ],
)
def test_a_wrong_window_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        window(**given)


def test_a_freeze_ends_with_the_last_of_the_windows_that_follow_each_other() -> None:
    windows = [
        window(weekdays=["fri"], **{"from": "16:00"}, reason="weekend"),
        window(weekdays=["sat", "sun"], reason="weekend"),
        window(start="2026-11-30", end="2026-11-30", reason="audit"),
    ]
    found = frozen(windows, at("2026-11-27 17:00"))
    assert found is not None
    assert found.until == at("2026-12-01 00:00")
    assert str(found) == "deployments are frozen until 2026-12-01 00:00 UTC (weekend)"
    assert frozen(windows, at("2026-11-27 15:59")) is None


def test_a_freeze_without_a_foreseeable_end_says_none() -> None:
    found = frozen([window(start="2026-01-01")], at("2026-11-27 17:00"))
    assert found is not None
    assert found.until is None


@given(
    st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia"]),
    st.lists(st.sampled_from(["mon", "tue", "wed", "thu", "fri"]), min_size=1, unique=True),
    st.times(timezones=st.none()).map(lambda t: t.replace(second=0, microsecond=0)),
    st.times(timezones=st.none()).map(lambda t: t.replace(second=0, microsecond=0)),
    st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31)).map(lambda t: t.replace(tzinfo=UTC)),  # noqa: DTZ001
)
def test_the_end_is_the_first_moment_that_is_free(
    zone: str, weekdays: list[str], begin: Any, until: Any, now: datetime
) -> None:
    one = window(weekdays=weekdays, **{"from": begin}, until=until, time_zone=zone)
    found = frozen([one], now)
    assert (found is not None) is one.covers(now)
    if found is not None:
        assert found.until is not None
        assert not one.covers(found.until)
        assert one.covers(found.until - timedelta(seconds=1))
