from __future__ import annotations

import numpy as np
import pytest

from aihub.training.anomaly.clock import Clock


def _at(*stamps: str) -> np.ndarray:
    return np.array(stamps, dtype="datetime64[us]").astype(np.int64)


def test_a_holiday_counts_as_a_sunday_and_its_eve_a_half() -> None:
    found = Clock(zone="UTC", country="DE").features(
        _at("2024-10-02T08:00", "2024-10-03T08:00", "2024-10-04T08:00")
    )
    assert found["day_of_week"].tolist() == [2, 3, 4]
    assert found["kind_of_day"].tolist() == [2, 6, 4]
    assert found["holiday"].tolist() == [0.5, 1, 0]


def test_new_year_is_seen_from_the_old_year() -> None:
    assert Clock(zone="UTC", country="DE").features(_at("2024-12-31T12:00"))["holiday"].tolist() == [0.5]


def test_the_day_is_the_local_one() -> None:
    found = Clock(zone="Australia/Melbourne", country="AU-VIC").features(_at("2024-12-24T14:00"))
    assert found["hour"].tolist() == [1]
    assert found["holiday"].tolist() == [1]


@pytest.mark.parametrize("country", [None, "DE"])
def test_survives_its_state_and_no_rows(country: str | None) -> None:
    clock = Clock(zone="Europe/Berlin", country=country)
    assert Clock.from_state(clock.to_state()) == clock
    assert all(len(value) == 0 for value in clock.features(_at()).values())


def test_few_rows_and_many_have_the_same_clock() -> None:
    clock = Clock(zone="Europe/Berlin", country="DE")
    times = _at("2024-03-31T00:30") + np.arange(0, 60 * 86_400, 3_571, dtype=np.int64) * 10_000_000
    every = clock.features(times)
    for first in range(0, len(times), 997):
        few = clock.features(times[first : first + 3])
        assert {name: value.tolist() for name, value in few.items()} == {
            name: value[first : first + 3].tolist() for name, value in every.items()
        }
