"""Who hears of what, and when."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from aihub.notify.config import QuietHours, Route
from aihub.notify.message import Severity, digest_of
from aihub.notify.routing import deliveries, due, matches, quiet_until
from notices import AT, notice

NIGHT = QuietHours(start=time(22), end=time(6), time_zone="Europe/Berlin")
BERLIN = ZoneInfo("Europe/Berlin")


def test_a_route_is_chosen_by_tenant_model_event_and_severity() -> None:
    route = Route(channels=("a",), tenants=("grid",), models=("load*",), events=("approval.*",))
    assert matches(route, notice())
    assert not matches(route, notice(tenant="other"))
    assert not matches(route, notice(model="wind"))
    assert not matches(route, notice(event="model.deployed"))
    assert not matches(Route(channels=("a",), severity=Severity.WARNING), notice())


def test_a_channel_hears_a_notice_once_and_by_its_earliest_route() -> None:
    routes = [Route(channels=("a", "b"), digest_minutes=60), Route(channels=("a",))]
    found = {one.channel: one for one in deliveries(notice(), routes, AT)}
    assert found["a"].at == AT
    assert not found["a"].is_digest
    assert found["b"].at == AT.replace(hour=9, minute=0)
    assert found["b"].is_digest


def test_what_is_critical_does_not_wait() -> None:
    route = Route(channels=("a",), quiet=NIGHT, digest_minutes=60)
    night = datetime(2026, 3, 2, 23, tzinfo=UTC)
    assert due(route, Severity.CRITICAL, night) == (night, False)
    assert due(route, Severity.WARNING, night)[0] == datetime(2026, 3, 3, 5, tzinfo=UTC)


def test_quiet_hours_follow_the_clock_on_the_wall() -> None:
    winter, summer = datetime(2026, 1, 10, 23, tzinfo=BERLIN), datetime(2026, 7, 10, 23, tzinfo=BERLIN)
    assert quiet_until(NIGHT, winter) == datetime(2026, 1, 11, 5, tzinfo=UTC)
    assert quiet_until(NIGHT, summer) == datetime(2026, 7, 11, 4, tzinfo=UTC)
    assert quiet_until(NIGHT, datetime(2026, 7, 10, 12, tzinfo=BERLIN)) is None


def test_a_friday_night_ends_on_monday_morning_where_the_weekend_is_quiet() -> None:
    quiet = QuietHours(start=time(22), end=time(6), weekend=True)
    friday = datetime(2026, 3, 6, 23, tzinfo=UTC)
    assert quiet_until(quiet, friday) == datetime(2026, 3, 9, 6, tzinfo=UTC)


@given(
    start=st.times(), end=st.times(), weekend=st.booleans(), minute=st.integers(min_value=0, max_value=20_000)
)
def test_the_end_of_quiet_is_later_and_not_quiet(start: time, end: time, weekend: bool, minute: int) -> None:  # noqa: FBT001
    quiet = QuietHours(
        start=start.replace(second=0, microsecond=0),
        end=end.replace(second=0, microsecond=0),
        weekend=weekend,
    )
    at = AT + timedelta(minutes=minute)
    found = quiet_until(quiet, at)
    if found is not None:
        assert found > at
        assert quiet_until(quiet, found) is None


def test_a_digest_is_as_urgent_as_its_worst_notice_and_hides_none() -> None:
    many = [notice(key=str(n), severity=Severity.WARNING if n == 3 else Severity.INFO) for n in range(30)]
    folded = digest_of(many, key="d", at=AT)
    assert folded.severity is Severity.WARNING
    assert folded.title == "30 notices"
    assert folded.text == "and 10 more"
