from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from aihub.monitoring.context import FixedContexts
from aihub.monitoring.log import ModelLog
from aihub.monitoring.observations import Observations
from aihub.monitoring.parsing import ActualTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Engine

    from aihub.monitoring.context import VersionContext

BEGIN = np.datetime64("2026-01-05T00", "us")
HOUR = np.timedelta64(1, "h")
KNOWN = 35
"""Days before anything happens."""
DAYS = 46


def demand(days: int = DAYS, *, clock: np.ndarray | None = None) -> np.ndarray:
    """Hourly load with a working week, weather that goes on for days, and people who get up by their `clock` (hours)."""
    rng = np.random.default_rng(2)
    hours = np.arange(24 * days)
    local = hours if clock is None else hours + clock
    weather = np.zeros(hours.size)
    for hour in range(1, hours.size):
        weather[hour] = 0.99 * weather[hour - 1] + rng.normal(0, 0.008)
    awake = 1 / (1 + np.exp(-3 * ((local % 24) - 6.5))) - 1 / (1 + np.exp(-2 * ((local % 24) - 21.0)))
    works = 1 - 0.2 * (hours // 24 % 7 >= 5)
    return 100 * (0.6 + 0.4 * awake * works) * np.exp(weather + rng.normal(0, 0.01, hours.size))


def told(
    observations: Observations, values: np.ndarray, stamps: np.ndarray | None = None, *, known: int = KNOWN
) -> list[tuple[int, str, str]]:
    """Send the first weeks at once and the rest day by day; what lasts at the end of each of these days."""
    stamps = BEGIN + np.arange(len(values)) * HOUR if stamps is None else stamps
    found = []
    cuts = [0, *range(24 * known, len(values) + 1, 24)]
    for day, (start, end) in enumerate(pairwise(cuts)):
        table = ActualTable.of(values[start:end], target=stamps[start:end], series=["s"] * (end - start))
        now = datetime.fromisoformat(str(stamps[end - 1])).replace(tzinfo=UTC) + timedelta(hours=1)
        observations.ingest_actuals("t", "m", table, now=now)
        found += [(day, fault.kind, fault.detail) for fault in observations.faults("t", "m")]
    return found


@pytest.mark.parametrize("factor", [0.5, 0.7, 2.0])
def test_a_meter_that_reports_half_is_told_until_it_is_mended(
    observations: Observations, factor: float
) -> None:
    values = demand()
    begin, end = 24 * KNOWN + 13, 24 * (KNOWN + 7) + 10
    values[begin:end] *= factor
    found = told(observations, values)
    assert {kind for _, kind, _ in found} == {"level"}
    days = [day for day, _, _ in found]
    assert min(days) in (3, 4)
    assert max(days) in (7, 8)
    share = float(found[0][2].split(" times")[0].split()[-1])
    assert share == pytest.approx(factor, rel=0.15)


def test_a_holiday_a_lockdown_and_the_cold_are_no_fault_of_the_meter(observations: Observations) -> None:
    values, usual = demand(), demand()
    hour = np.arange(values.size) % 24
    holiday = slice(24 * 36, 24 * 39)
    values[holiday] *= np.where((hour[holiday] > 7) & (hour[holiday] < 20), 0.6, 0.9)
    weeks = np.clip(np.arange(values.size) - 24 * 40, 0, 24 * 4) / (24 * 4)
    values *= 1 - 0.35 * weeks
    assert told(observations, values) == []
    cold = np.clip(np.arange(values.size) - 24 * 37, 0, 36) / 36
    assert told(observations, usual * (1 + 0.6 * cold)) == []


@pytest.mark.parametrize(("lag", "word"), [(1, "later"), (-1, "earlier")])
def test_a_clock_that_is_an_hour_off_is_told_until_it_is_set(
    observations: Observations, lag: int, word: str
) -> None:
    stamps = BEGIN + np.arange(24 * (DAYS + 6)) * HOUR
    values = demand(DAYS + 6)
    begin, end = 24 * KNOWN, 24 * (KNOWN + 8)
    moved = values.copy()
    moved[begin:end] = np.roll(values, lag)[begin:end]
    found = told(observations, moved, stamps)
    assert {kind for _, kind, _ in found} == {"shift"}
    assert f"an hour {word}" in found[0][2]
    days = [day for day, _, _ in found]
    assert min(days) in (3, 4)
    assert 8 <= max(days) <= 12


def test_people_who_set_their_clocks_are_no_fault_of_the_meter(observations: Observations) -> None:
    """In March Berlin gets up an hour earlier, in UTC."""
    days = 104
    stamps = BEGIN + np.arange(24 * days) * HOUR
    clock = np.where(stamps >= np.datetime64("2026-03-29T01"), 1, 0)
    assert told(observations, demand(days, clock=clock), stamps, known=80) == []


@pytest.mark.postgres
def test_postgresql_remembers_the_weeks_before_as_well(postgresql: Engine, context: VersionContext) -> None:
    values = demand()
    values[24 * KNOWN + 13 :] *= 0.5
    found = told(Observations(postgresql, FixedContexts(context)), values[: 24 * (KNOWN + 5)])
    assert {kind for _, kind, _ in found} == {"level"}


def test_noise_of_many_series_costs_no_look_at_their_weeks(
    observations: Observations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has no course has no hours to be moved: reading weeks of a thousand such series would cost more than all else."""
    looks: list[int] = []
    read = ModelLog.courses

    def counted(log: ModelLog, codes: Sequence[int], first_day: int, last_day: int) -> Any:
        looks.append(len(codes))
        return read(log, codes, first_day, last_day)

    monkeypatch.setattr(ModelLog, "courses", counted)
    values = np.random.default_rng(8).gamma(5, 20, 24 * 60)
    values[24 * 50 :] *= 0.5
    assert told(observations, values, known=1) == []
    assert sum(looks) <= 2


def test_the_heat_does_not_mend_a_meter_that_reports_half(observations: Observations) -> None:
    values = demand()
    values[24 * KNOWN :] *= 0.5
    hot = slice(24 * (KNOWN + 6), 24 * (KNOWN + 9))
    values[hot] *= 1.45
    assert told(observations, values)[-1][:2] == (DAYS - KNOWN, "level")
