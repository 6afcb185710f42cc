"""Tests of series: season, windows, references, monitors, their stored forms."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aihub.types import Drift
from aihub.validation.drift import (
    SeriesMonitor,
    SeriesReference,
    compare_series,
    fit_references,
    kernel_drift,
)
from aihub.validation.drift.blocks import circular_block_bootstrap, conformal_p, tail_p, windows
from aihub.validation.drift.clock import local_seconds, utc_seconds
from aihub.validation.drift.cusum import Cusum, cusum_thresholds
from aihub.validation.drift.evidence import EProcess
from aihub.validation.drift.storage import monitor_from_dict, monitor_to_dict

YEAR_H = 8766


def load(
    years: float = 3, seed: int = 0, start: str = "2021-01-04"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stamps, load (residual sd 60) and its weather, hourly."""
    rng = np.random.default_rng(seed)
    n = int(YEAR_H * years)
    t = np.arange(n)
    shocks = rng.standard_normal(n)
    weather = np.empty(n)
    level = 0.0
    for i, shock in enumerate(shocks):
        level = 0.97 * level + math.sqrt(1 - 0.97**2) * shock
        weather[i] = level
    season = 1000 + 150 * np.sin(2 * np.pi * t / 24) + 100 * np.abs(np.cos(np.pi * t / YEAR_H))
    season *= np.where(t // 24 % 7 >= 5, 0.9, 1.0)
    stamps = np.datetime64(start, "us") + t * np.timedelta64(1, "h")
    return stamps, season + 50 * weather + 33 * rng.standard_normal(n), weather


@pytest.fixture(scope="module")
def year_three() -> tuple[SeriesReference, np.ndarray, np.ndarray]:
    stamps, values, _ = load()
    split = 2 * YEAR_H
    return SeriesReference.fit(stamps[:split], values[:split], column="load"), stamps[split:], values[split:]


def test_unchanged_weeks_rarely_alarm_and_shifted_ones_mostly_do(
    year_three: tuple[SeriesReference, np.ndarray, np.ndarray],
) -> None:
    reference, stamps, values = year_three
    weeks = [slice(i * 168, (i + 1) * 168) for i in range(52)]
    quiet = [reference.test(stamps[w], values[w]).verdict is Drift.DRIFT for w in weeks]
    shifted = [reference.test(stamps[w], values[w] + 120).verdict is Drift.DRIFT for w in weeks]
    assert np.mean(quiet) <= 0.12
    assert np.mean(shifted) >= 0.8


def test_the_order_of_rows_does_not_matter(
    year_three: tuple[SeriesReference, np.ndarray, np.ndarray],
) -> None:
    reference, stamps, values = year_three
    order = np.random.default_rng(0).permutation(168)
    straight = reference.test(stamps[:168], values[:168])
    mixed = reference.test(stamps[:168][order], values[:168][order])
    assert straight.effect == pytest.approx(mixed.effect)
    assert straight.verdict is mixed.verdict


def test_a_wilder_series_of_the_same_level_is_drift(
    year_three: tuple[SeriesReference, np.ndarray, np.ndarray],
) -> None:
    reference, stamps, values = year_three
    wild = values[:168] + np.where(np.arange(168) % 2, 150.0, -150.0)
    result = reference.test(stamps[:168], wild)
    assert result.verdict is Drift.DRIFT
    assert result.note.startswith("spread")


def test_weather_as_a_covariate_lets_smaller_shifts_be_seen() -> None:
    stamps, values, weather = load(seed=3)
    split = 2 * YEAR_H
    given_weather = {"weather": weather[:split]}
    reference = SeriesReference.fit(stamps[:split], values[:split], covariates=given_weather)
    week = slice(split, split + 168)
    now = {"weather": weather[week]}
    assert reference.scale < 45
    assert reference.test(stamps[week], values[week] + 40, covariates=now).verdict is Drift.DRIFT
    assert reference.test(stamps[week], values[week], covariates=now).verdict is Drift.OK
    # A sensor in another unit is a fault of the covariate and says nothing about the load.
    broken = {"weather": weather[week] + 1000}
    assert reference.test(stamps[week], values[week], covariates=broken).verdict is Drift.NOT_ENOUGH_DATA
    with pytest.raises(KeyError):
        reference.residuals(stamps[week], values[week])


def test_two_days_in_another_unit_do_not_bend_the_season() -> None:
    stamps, values, _ = load(years=2, seed=4)
    clean = SeriesReference.fit(stamps, values)
    values = values.copy()
    values[3000:3048] *= 1000
    assert SeriesReference.fit(stamps, values).scale == pytest.approx(clean.scale, rel=0.05)


@pytest.mark.parametrize(
    "values",
    [np.array([]), np.array([np.nan] * 5), np.array([np.inf] * 5)],
)
def test_a_window_without_values_is_never_ok(
    year_three: tuple[SeriesReference, np.ndarray, np.ndarray], values: np.ndarray
) -> None:
    reference, stamps, _ = year_three
    assert reference.test(stamps[: len(values)], values).verdict is Drift.NOT_ENOUGH_DATA


def test_one_row_and_a_short_reference_are_not_enough() -> None:
    stamps, values, _ = load(years=0.01)
    reference = SeriesReference.fit(stamps, values)
    assert reference.test(stamps[:1], values[:1]).verdict is Drift.NOT_ENOUGH_DATA
    monitor = SeriesMonitor.start(reference)
    assert monitor.update(reference, stamps[-5:], values[-5:]).verdict is Drift.NOT_ENOUGH_DATA
    with pytest.raises(ValueError, match="no row"):
        SeriesReference.fit(stamps, np.full(len(stamps), np.nan))


def test_a_constant_that_moves_alarms_at_once() -> None:
    stamps, _, _ = load(years=0.2)
    reference = SeriesReference.fit(stamps[:1000], np.full(1000, 7.0))
    assert reference.test(stamps[1000:1100], np.full(100, 7.0)).verdict is Drift.OK
    monitor = SeriesMonitor.start(reference)
    assert monitor.update(reference, stamps[1000:1100], np.full(100, 7.0)).verdict is Drift.OK
    look = monitor.update(reference, stamps[1100:1101], np.array([7.1]))
    assert (look.verdict, look.method) == (Drift.DRIFT, "constant")


def test_long_windows_are_judged_by_a_block_bootstrap(
    year_three: tuple[SeriesReference, np.ndarray, np.ndarray],
) -> None:
    reference, stamps, values = year_three
    half = slice(0, 4000)
    assert reference.test(stamps[half], values[half]).verdict is Drift.OK
    assert reference.test(stamps[half], values[half] + 60).verdict is Drift.DRIFT
    assert reference.test(stamps[half], values[half], seed=1) == reference.test(
        stamps[half], values[half], seed=1
    )


def test_many_columns_are_adjusted_together_and_missing_ones_are_drift() -> None:
    stamps, values, weather = load(seed=5)
    split = 2 * YEAR_H
    references = fit_references(
        stamps[:split], {"load": values[:split], "weather": weather[:split]}, covariates=("weather",)
    )
    week = slice(split, split + 336)
    now = {"load": values[week], "weather": weather[week]}
    assert compare_series(references, stamps[week], now).verdicts["load"] is Drift.OK
    shifted = compare_series(
        references, stamps[week], {**now, "load": values[week] + 60}, importance={"load": 1}
    )
    assert shifted.drifted == ("load",)
    assert compare_series(references, stamps[week], {"load": values[week]}).verdicts["weather"] is Drift.DRIFT


def test_looking_often_equals_looking_once_and_repeats_do_no_harm(
    year_three: tuple[SeriesReference, np.ndarray, np.ndarray],
) -> None:
    reference, stamps, values = year_three
    at_once, often = SeriesMonitor.start(reference), SeriesMonitor.start(reference)
    last = at_once.update(reference, stamps[:1998], values[:1998])
    for start in range(0, 1998, 6):
        look = often.update(reference, stamps[start : start + 6], values[start : start + 6])
        often.update(reference, stamps[start : start + 6], values[start : start + 6])
        form = json.dumps(monitor_to_dict(often), allow_nan=False)
        often = monitor_from_dict(json.loads(form))
    assert look.wealth == pytest.approx(last.wealth)
    assert look.cusum == pytest.approx(last.cusum)
    assert often.weeks == pytest.approx(at_once.weeks)
    assert (often.seen_s, often.look, often.week) == (at_once.seen_s, at_once.look, at_once.week)


def test_a_shift_raises_one_alarm_that_says_since_when(
    year_three: tuple[SeriesReference, np.ndarray, np.ndarray],
) -> None:
    reference, stamps, values = year_three
    changed = values.copy()
    changed[2000:] += 200
    monitor = SeriesMonitor.start(reference)
    assert monitor.update(reference, stamps[:2000], changed[:2000]).verdict is Drift.OK
    look = monitor.update(reference, stamps[2000:2500], changed[2000:2500])
    assert look.verdict is Drift.DRIFT
    assert look.since_s == pytest.approx(utc_seconds(stamps[2000:2001])[0], abs=7 * 86_400)
    assert look.shift > 1
    monitor.acknowledge()
    assert monitor.update(reference, stamps[:0], values[:0]).verdict is Drift.OK


def test_a_reference_survives_json(year_three: tuple[SeriesReference, np.ndarray, np.ndarray]) -> None:
    reference, stamps, values = year_three
    form = json.dumps(reference.to_dict(), allow_nan=True)
    assert len(form) < 60_000
    back = SeriesReference.from_dict(json.loads(form))
    week = slice(0, 168)
    assert back.test(stamps[week], values[week]).effect == pytest.approx(
        reference.test(stamps[week], values[week]).effect
    )
    with pytest.raises(ValueError, match="version"):
        SeriesReference.from_dict({**json.loads(form), "version": 99})
    broken = json.loads(form)
    del broken["scale"]
    with pytest.raises(ValueError, match="scale"):
        SeriesReference.from_dict(broken)
    with pytest.raises(ValueError, match="version"):
        monitor_from_dict({})


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=60), st.floats(-100, 100))
def test_a_conformal_p_value_is_a_rank(scores: list[float], current: float) -> None:
    p = conformal_p(scores, current)
    assert 1 / (len(scores) + 1) <= p <= 1
    assert conformal_p(scores, current + 1) <= p
    assert conformal_p(scores, math.nan) == 1


def test_block_ranks_are_uniform_under_exchangeability() -> None:
    rng = np.random.default_rng(6)
    p = [conformal_p(rng.normal(size=40), rng.normal()) for _ in range(2000)]
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(2 / 41, abs=0.015)
    assert tail_p([1.0], 3.0) == 1
    assert tail_p([0.0] * 5, 1.0) == 0


@given(st.integers(1, 50), st.integers(1, 60), st.integers(1, 60))
def test_bootstrap_windows_are_made_of_the_series(n: int, length: int, block: int) -> None:
    series = np.arange(float(n))
    drawn = circular_block_bootstrap(series, length, block=block, draws=3, rng=np.random.default_rng(0))
    assert drawn.shape == (3, length)
    assert set(drawn.ravel()) <= set(series)
    assert windows(series, length).shape == (n // length, length)


def test_evidence_rarely_reaches_twenty_without_a_change_and_soon_with_one() -> None:
    rng = np.random.default_rng(7)
    reached = 0
    for _ in range(100):
        process = EProcess()
        wealth = []
        for p in rng.uniform(1e-6, 1, 52):
            process = process.update(p)
            wealth.append(process.wealth)
        reached += max(wealth) >= 20
    assert reached / 100 <= 0.08
    process = EProcess()
    for _ in range(10):
        process = process.update(0.01)
    assert process.p_value < 0.05
    with pytest.raises(ValueError, match="p-value"):
        process.update(0.0)
    for _ in range(43):
        process = process.update(1.0)
    assert process.count == 1


def test_a_cusum_threshold_keeps_its_rate_on_autocorrelated_noise() -> None:
    rng = np.random.default_rng(8)

    def noise(n: int) -> np.ndarray:
        x = np.zeros(n)
        for i in range(1, n):
            x[i] = 0.8 * x[i - 1] + 0.6 * rng.standard_normal()
        return x

    crossed = 0
    for _ in range(30):
        thresholds = cusum_thresholds(
            noise(1000), looks_per_year=500, allowances=(0.5, 1.0), false_alarms_per_year=0.2, rng=rng
        )
        state = Cusum.fresh((0.5, 1.0), thresholds)
        level = 0.0
        for residual in noise(500):
            state = state.update(residual)
            level = max(level, state.level)
        crossed += level > 1
    assert crossed <= 12
    assert cusum_thresholds(
        np.zeros(3), looks_per_year=500, allowances=(1,), false_alarms_per_year=1, rng=rng
    ) == (math.inf,)
    with pytest.raises(ValueError, match="above 0"):
        cusum_thresholds(np.zeros(3), looks_per_year=5, allowances=(1,), false_alarms_per_year=0, rng=rng)


def test_wall_clock_seconds_follow_daylight_saving() -> None:
    stamps = utc_seconds(np.array(["2023-03-26T00:30", "2023-03-26T01:30", "NaT"], dtype="datetime64[us]"))
    shift = local_seconds(stamps, "Europe/Berlin") - stamps
    assert shift[:2].tolist() == [3600.0, 7200.0]
    assert math.isnan(shift[2])


def test_the_joint_detector_sees_what_no_column_shows() -> None:
    rng = np.random.default_rng(9)
    x = rng.normal(size=600)
    together = {"a": x, "b": x + 0.3 * rng.normal(size=600)}
    again = rng.normal(size=600)
    same = {"a": again, "b": again + 0.3 * rng.normal(size=600)}
    apart = {"a": x, "b": rng.permutation(together["b"])}
    assert kernel_drift(together, same).verdict is Drift.OK
    assert kernel_drift(together, apart).verdict is Drift.DRIFT
    assert kernel_drift(together, {"a": x[:5], "b": x[:5]}).verdict is Drift.NOT_ENOUGH_DATA
    assert kernel_drift(together, {"c": x}).verdict is Drift.NOT_ENOUGH_DATA
