from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from aihub.training.forecast.calendar import Calendar
from aihub.training.forecast.layout import Layout
from aihub.training.forecast.origins import Issue, blocks, origin_steps


def _hours(begin: datetime, n: int, zone: str, country: str | None = None) -> Calendar:
    return Calendar(int(begin.timestamp()) // 3600, n, 3600, 0, zone, country)


def test_local_time_follows_the_clock_changes() -> None:
    spring = _hours(datetime(2024, 3, 30, 23, tzinfo=UTC), 24, "Europe/Berlin")
    assert (spring.minute[:4] // 60).tolist() == [0, 1, 3, 4]
    autumn = _hours(datetime(2024, 10, 26, 22, tzinfo=UTC), 25, "Europe/Berlin")
    assert (autumn.minute // 60).tolist() == [0, 1, 2, 2, *range(3, 24)]
    assert set(autumn.weekday.tolist()) == {6}


def test_zones_of_a_half_hour_keep_their_minutes() -> None:
    assert _hours(datetime(2024, 1, 1, tzinfo=UTC), 2, "Asia/Kolkata").minute.tolist() == [330, 390]


def test_holidays_and_the_days_around_them() -> None:
    christmas = _hours(datetime(2024, 12, 23, tzinfo=UTC), 24 * 5, "UTC", "DE")
    today, after, before = (flags.reshape(5, 24)[:, 12].tolist() for flags in christmas.holiday)
    assert today == [0, 0, 1, 1, 0]
    assert after == [0, 0, 0, 1, 1]
    assert before == [0, 1, 1, 0, 0]


def test_melbourne_cup_is_a_holiday_of_victoria_only() -> None:
    day = datetime(2024, 11, 4, 14, tzinfo=UTC)
    assert _hours(day, 2, "Australia/Melbourne", "AU-VIC").holiday[0].tolist() == [1, 1]
    assert _hours(day, 2, "Australia/Melbourne", "AU-NSW").holiday[0].tolist() == [0, 0]


def test_the_year_is_a_circle() -> None:
    new_year = _hours(datetime(2023, 12, 31, tzinfo=UTC), 48, "UTC")
    assert new_year.year_day[[0, -1]].tolist() == [365, 1]
    assert np.abs(np.diff(np.cos(new_year.year_angle))).max() < 0.001


def test_a_daily_block_has_all_hours_of_the_local_day() -> None:
    layout = Layout(3600, 24, 168, 24)
    calendar = _hours(datetime(2024, 10, 25, 22, tzinfo=UTC), 24 * 3 + 1, "Europe/Berlin")
    _, sizes = np.unique(blocks(calendar, layout, Issue(0, 0)), return_counts=True)
    assert sizes.tolist() == [24, 25, 24]
    served, latest = origin_steps(calendar, layout, Issue(0, 0))
    np.testing.assert_array_equal(served, latest)
    steps = np.arange(calendar.length) + calendar.first
    assert (served < steps).all()
    assert (steps - served).max() == 25


def test_a_block_that_begins_inside_the_repeated_hour_begins_once() -> None:
    layout = Layout(3600, 24, 168, 24)
    calendar = _hours(datetime(2024, 10, 26, 22, tzinfo=UTC), 48, "Europe/Berlin")
    number = blocks(calendar, layout, Issue(150, 0))
    assert (np.diff(number) >= 0).all()


def test_short_horizons_count_steps() -> None:
    layout = Layout(900, 96, 672, 4)
    calendar = Calendar(1000, 20, 900, 0, "UTC")
    served, _ = origin_steps(calendar, layout, Issue(0, 1002))
    assert served[:8].tolist() == [999, 999, 1001, 1001, 1001, 1001, 1005, 1005]
