from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aihub.errors import ConfigError
from aihub.validation.profile.cells import CellMoments, hour_of_week, zone_named


@given(st.lists(st.datetimes(datetime(1990, 1, 1), datetime(2037, 1, 1)), max_size=20), st.sampled_from(["UTC", "Australia/Melbourne", "America/St_Johns", "Europe/Berlin"]))  # fmt: skip # noqa: DTZ001
def test_hour_of_week_is_the_wall_clock(stamps: Any, zone: Any) -> None:
    found = hour_of_week(np.array(stamps, dtype="datetime64[us]"), zone)
    local = [s.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)) for s in stamps]
    assert found.tolist() == [t.weekday() * 24 + t.hour for t in local]


def test_the_hours_around_a_change_of_clocks() -> None:
    start = datetime(2024, 3, 30, 22, tzinfo=UTC)
    stamps = [start + timedelta(minutes=20 * i) for i in range(30)]
    naive = np.array([s.replace(tzinfo=None) for s in stamps], dtype="datetime64[us]")
    local = [s.astimezone(ZoneInfo("Europe/Berlin")) for s in stamps]
    assert hour_of_week(naive, "Europe/Berlin").tolist() == [t.weekday() * 24 + t.hour for t in local]


def test_moments_per_cell_merge() -> None:
    rng = np.random.default_rng(0)
    cell, values = rng.integers(0, 168, 5000), rng.normal(1e6, 1, 5000)
    values[::7] = np.nan
    whole = CellMoments.of(cell, values)
    parts = CellMoments.of(cell[:999], values[:999]).merge(CellMoments.of(cell[999:], values[999:]))
    here = values[(cell == 5) & np.isfinite(values)]
    assert whole.n[5] == parts.n[5] == here.size
    assert whole.mean[5] == pytest.approx(here.mean())
    assert parts.mean == pytest.approx(whole.mean)
    assert parts.m2 == pytest.approx(whole.m2, rel=1e-6)
    assert whole.m2[5] == pytest.approx(((here - here.mean()) ** 2).sum(), rel=1e-6)
    empty = CellMoments.empty().merge(whole)
    assert empty.mean == pytest.approx(whole.mean)


@pytest.mark.parametrize("name", ["Mars/Olympus", "../../etc/passwd", "/etc/passwd", "Europe", "+05:30", ""])
def test_a_zone_that_is_none_is_refused_in_words(name: str) -> None:
    with pytest.raises(ConfigError, match="no time zone"):
        zone_named(name)
