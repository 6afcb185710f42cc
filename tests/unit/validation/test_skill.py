from __future__ import annotations

import numpy as np

from aihub.validation import skill

HOURS = np.datetime64("2026-01-01", "us") + np.arange(24 * 21) * np.timedelta64(1, "h")


def test_the_value_of_a_day_ago_by_timestamp_in_any_order() -> None:
    rng = np.random.default_rng(0)
    y = np.sin(2 * np.pi * np.arange(len(HOURS)) / 24) + np.arange(len(HOURS)) * 0.01
    order = rng.permutation(len(HOURS))
    found = skill.seasonal_naive(y[order], HOURS[order], None)
    assert found is not None
    rows, before, season_s = found
    assert season_s == 86_400
    assert len(rows) == len(HOURS) - 24
    np.testing.assert_allclose(y[order][rows] - before, 0.24)


def test_a_week_is_taken_where_it_repeats_better() -> None:
    y = (np.arange(len(HOURS)) // 24 % 7 >= 5).astype(float)
    found = skill.seasonal_naive(y, HOURS, None)
    assert found is not None
    assert found[2] == 7 * 86_400


def test_the_season_is_no_shorter_than_the_horizon() -> None:
    y = np.random.default_rng(0).normal(size=len(HOURS))
    found = skill.seasonal_naive(y, HOURS, None, season_steps=24, horizon_steps=36)
    assert found is not None
    assert found[2] == 2 * 86_400


def test_series_are_kept_apart_and_gaps_are_left_out() -> None:
    stamps = np.tile(HOURS, 2)
    series = np.repeat(np.array(["a", "b"], dtype=object), len(HOURS))
    y = np.where(series == "a", 1.0, 2.0)
    y[5] = np.nan
    found = skill.seasonal_naive(y, stamps, series, season_steps=24)
    assert found is not None
    rows, before, _ = found
    assert (y[rows] == before).all()
    assert 5 not in rows
    assert 5 + 24 not in rows


def test_too_short_or_without_time() -> None:
    assert skill.seasonal_naive(np.ones(20), HOURS[:20], None) is None
    assert skill.seasonal_naive(np.ones(3), np.full(3, np.datetime64("NaT", "us")), None) is None
    assert skill.seasonal_naive(np.ones(30), np.full(30, HOURS[0]), None) is None


def test_only_the_latest_rows_of_many() -> None:
    y = np.random.default_rng(0).normal(size=len(HOURS))
    found = skill.seasonal_naive(y, HOURS, None, season_steps=24, max_rows=100)
    assert found is not None
    assert found[0].min() >= len(HOURS) - 100


def test_reliability_of_a_calibrated_score_is_near_zero() -> None:
    errors = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        score = rng.random(1000)
        errors.append(skill.reliability((rng.random(1000) < score).astype(float), score).error)
    assert np.quantile(errors, 0.95) < 0.06


def test_reliability_of_one_row() -> None:
    found = skill.reliability(np.array([1.0]), np.array([0.25]))
    assert found.error == 0.75


def test_the_value_before_is_looked_up_by_time_where_rows_are_missing() -> None:
    y = np.arange(len(HOURS), dtype=float)
    kept = np.ones(len(HOURS), bool)
    kept[100:107] = False
    kept[300] = False
    order = np.random.default_rng(0).permutation(np.flatnonzero(kept))
    series = np.array(["a", "b"], dtype=object)[np.arange(len(HOURS)) // 300]
    found = skill.season_before(y[order], 24, timestamps=HOURS[order], series=series[order])
    has = np.isfinite(found)
    np.testing.assert_array_equal(y[order][has] - found[has], 24)
    gone = {100 + k + 24 for k in range(7)} | {324} | set(range(24)) | set(range(301, 324))
    assert set(order[~has].tolist()) == gone - set(np.flatnonzero(~kept).tolist())


def test_without_times_rows_are_steps_of_their_series() -> None:
    found = skill.season_before(
        np.array([1.0, 10.0, 2.0, 20.0, 3.0]), 1, series=np.array(["a", "b", "a", "b", "a"], dtype=object)
    )
    np.testing.assert_array_equal(found, [np.nan, np.nan, 1.0, 10.0, 2.0])
    assert np.isnan(skill.season_before(np.ones(3), 5)).all()
