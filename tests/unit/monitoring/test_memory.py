from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from aihub.monitoring.memory import SeriesMemory
from aihub.monitoring.units import changed_unit

HOUR_US = 3_600_000_000
BEGIN = int(np.datetime64("2026-01-05T00", "us").astype(np.int64))
RNG = np.random.default_rng(0)


def load(hours: int) -> np.ndarray:
    return 100 + 30 * np.sin(np.arange(hours) * 2 * np.pi / 24) + RNG.normal(0, 5, hours)


def fed(
    values: np.ndarray, times: np.ndarray | None = None, *, behind_h: int = 1, at_once: int = 24
) -> list[tuple[str, Any]]:
    """Feed day by day; kinds and details of the faults, in order, through JSON as the database keeps the memory."""
    times = BEGIN + np.arange(len(values)) * HOUR_US if times is None else times
    memory: dict[str, Any] = {}
    found = []
    for start in range(0, len(values), at_once):
        part = slice(start, start + at_once)
        one = SeriesMemory.of(memory)
        now = int(times[part][-1]) + behind_h * HOUR_US
        found += [(fault.kind, fault.detail) for fault in one.take("s", times[part], values[part], now)]
        memory = json.loads(json.dumps(one.to_dict()))
    return found


def test_a_year_of_ordinary_load_shows_no_fault() -> None:
    assert fed(load(24 * 365)) == []


def test_photovoltaics_rest_at_night_and_are_not_stuck() -> None:
    sun = np.maximum(0, np.sin((np.arange(24 * 60) - 6) * 2 * np.pi / 24)) * RNG.uniform(0.2, 1, 24 * 60)
    assert fed(sun) == []


def test_kilowatts_for_megawatts() -> None:
    values = load(24 * 30)
    values[24 * 20 :] *= 1000
    faults = fed(values)
    assert {kind for kind, _ in faults} == {"unit"}
    assert len(faults) == 10
    assert "1000 times larger" in faults[0][1]
    back = values.copy()
    back[24 * 25 :] /= 1000
    assert len(fed(back)) <= 6


STEADY = [[100 + 5 * np.sin(day), 150 + 7 * np.cos(day), 60 + 2 * np.sin(day)] for day in range(20)]


@pytest.mark.parametrize(
    ("ratio", "factor"), [(1000, 1000), (0.0011, 1e-3), (55, 60), (2.0, None), (15, None)]
)
def test_units(ratio: float, factor: float | None) -> None:
    found = changed_unit(100 * ratio, 150 * ratio, STEADY)
    assert found == (pytest.approx(factor) if factor else None)


def test_another_unit_is_unlike_every_day_known() -> None:
    calm = [*STEADY, [0.12, 0.2, 0.05]]
    assert changed_unit(0.11, 0.16, STEADY) == pytest.approx(1e-3)
    assert changed_unit(0.11, 0.16, calm) is None
    # Of a volatile series two weeks must be known.
    assert changed_unit(0.11, 0.16, [*STEADY[:5], [20.0, 30.0, 3.0]]) is None


def wind(days: int) -> np.ndarray:
    """Power of a wind farm: calms of a day and a half, in which it falls to a hundredth, and storms."""
    rng, speed = np.random.default_rng(4), np.zeros(24 * days)
    for hour in range(1, speed.size):
        speed[hour] = 0.97 * speed[hour - 1] + rng.normal(0, 0.24)
    power = 100 / (1 + np.exp(-3 * speed))
    calms = [(24 * day, 24 * day + 36) for day in range(10, days, 17)]
    for start, end in calms:
        power[start:end] *= rng.uniform(0.01, 0.1, end - start)
    return power


def test_calm_wind_is_no_other_unit_and_another_unit_is_told_of_wind() -> None:
    power = wind(200)
    assert {kind for kind, _ in fed(power)} <= {"spike"}
    power[24 * 150 :] *= 1e-3
    found = [detail for kind, detail in fed(power[: 24 * 154]) if kind == "unit"]
    assert "1000 times smaller" in found[0]


def test_a_stream_of_single_values_shows_another_unit_as_well() -> None:
    values = load(24 * 20)
    assert fed(values, at_once=1) == []
    values[24 * 15 + 5 : 24 * 18] *= 1000
    found = [kind for kind, _ in fed(values, at_once=1)]
    assert found.count("spike") == 5
    assert 24 < found.count("unit") < 24 * 5
    shifted = (
        BEGIN + np.arange(24 * 20) * HOUR_US + np.where(np.arange(24 * 20) >= 24 * 15, 17 * 60_000_000, 0)
    )
    assert fed(load(24 * 20), shifted, at_once=1)[0] == ("clock", "times are 17 min beside their usual grid")


def test_times_without_a_grid_have_no_clock_that_could_be_wrong() -> None:
    times = BEGIN + np.cumsum(np.random.default_rng(1).integers(30, 90, 24 * 30)) * 60_000_000
    assert "clock" not in {kind for kind, _ in fed(load(24 * 30), times)}


def test_what_creeps_through_zero_now_and_then_is_not_reversed() -> None:
    values = load(24 * 60)
    values[24 * 40 : 24 * 42] = -np.abs(RNG.normal(2, 1, 48)) - 0.1
    assert "sign" not in {kind for kind, _ in fed(values)}


def test_a_meter_that_stands_still() -> None:
    values = load(24 * 20)
    values[24 * 10 : 24 * 14] = values[24 * 10]
    faults = fed(values)
    assert {kind for kind, _ in faults} == {"stuck"}
    assert len(faults) == 3


def test_gaps_and_spikes() -> None:
    values = load(24 * 20)
    values[24 * 15 + 3] = 5000.0
    times = BEGIN + np.arange(len(values)) * HOUR_US
    keep = np.ones(len(values), bool)
    keep[24 * 17 + 5 : 24 * 17 + 15] = False
    assert fed(values[keep], times[keep]) == [
        ("spike", fed(values)[0][1]),
        ("gap", "10 values missing"),
    ]


def test_clocks() -> None:
    times = BEGIN + np.arange(24 * 20) * HOUR_US
    assert {kind for kind, _ in fed(load(24 * 20), times, behind_h=-3)} == {"clock"}
    shifted = np.where(np.arange(24 * 20) >= 24 * 10, times + 17 * 60_000_000, times)
    faults = fed(load(24 * 20), shifted)
    assert faults[0] == ("clock", "times are 17 min beside their usual grid")


def test_old_values_are_left_out() -> None:
    memory = SeriesMemory()
    now = int(datetime(2027, 1, 1, tzinfo=UTC).timestamp() * 1e6)
    times = BEGIN + np.arange(48) * HOUR_US
    memory.take("s", times[24:], load(24), now)
    before = memory.to_dict().copy()
    assert memory.take("s", times[:24], load(24) * 1000, now) == []
    assert memory.to_dict() == before


def test_one_value_of_next_year_does_not_blind_the_stream_to_what_is_wrong_today() -> None:
    values, times = load(24 * 30), BEGIN + np.arange(24 * 30) * HOUR_US
    values[24 * 20 :] *= 1000
    times[24 * 5 + 23] += 365 * 24 * HOUR_US
    memory, found = SeriesMemory(), []
    for start in range(0, len(values), 24):
        now = BEGIN + (start + 24) * HOUR_US
        found += memory.take("s", times[start : start + 24], values[start : start + 24], now)
    assert {fault.kind for fault in found} == {"clock", "unit"}
    assert "days in the future; left out" in next(fault.detail for fault in found if fault.kind == "clock")


@pytest.mark.parametrize("at", [24 * 20, 24 * 20 + 13])
def test_a_dead_meter_reports_zeros_where_there_were_none(at: int) -> None:
    values = load(24 * 30)
    values[at:] = 0.0
    faults = fed(values)
    assert {kind for kind, _ in faults} == {"stuck"}
    assert faults[0][1].startswith("0 for ")


def test_a_shop_that_is_closed_for_a_long_weekend_is_not_dead() -> None:
    day = np.arange(24 * 60) // 24
    values = np.where(day % 7 >= 5, 0.0, load(24 * 60))
    values[(day >= 40) & (day < 44)] = 0.0
    assert fed(values) == []


@pytest.mark.parametrize("at", [24 * 20, 24 * 20 + 13])
def test_a_meter_wired_the_wrong_way_round(at: int) -> None:
    values = load(24 * 30)
    values[at : 24 * 25] *= -1
    faults = fed(values)
    assert {kind for kind, _ in faults} == {"sign"}
    assert 3 <= len(faults) <= 5


def test_values_that_pass_through_zero_have_no_wrong_sign() -> None:
    hours = np.arange(24 * 120)
    temperature = 15 * np.cos(hours * 2 * np.pi / (24 * 120)) + 3 * np.sin(hours * 2 * np.pi / 24)
    net = load(24 * 120) - 260 * np.maximum(0, np.sin((hours - 6) * 2 * np.pi / 24)) * (hours > 24 * 40)
    assert fed(temperature) == []
    assert fed(net) == []


def test_a_memory_of_an_older_form_is_read_and_goes_on() -> None:
    """As it was written before days had a smallest value and weeks were remembered, with a fault that lasts."""
    older = {
        "last_us": BEGIN + (24 * 20 - 1) * HOUR_US,
        "last": 97.0,
        "step_us": HOUR_US,
        "phase_us": 0,
        "run": 1,
        "run_us": BEGIN,
        "longest": 2,
        "recent": [97.0] * 6,
        "today": int((BEGIN + 24 * 19 * HOUR_US) // (24 * HOUR_US)),
        "day": [24.0, 2400.0, 140.0],
        "days": [[100.0, 140.0]] * 19,
        "sides": [480, 0],
        "sided_us": BEGIN,
        "turned": 0,
        "faults": {"stuck": [BEGIN, "97 for 30 h"]},
    }
    memory = SeriesMemory.of(older)
    times = BEGIN + (24 * 20 + np.arange(48)) * HOUR_US
    assert memory.take("s", times, load(48), int(times[-1])) == []
    assert memory.faults == {}
    assert [len(day) for day in memory.days[-2:]] == [2, 3]
    assert SeriesMemory.of(json.loads(json.dumps(memory.to_dict()))) == memory
