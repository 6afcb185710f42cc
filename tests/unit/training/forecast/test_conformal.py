from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aihub.training.forecast.conformal import Band, Calibration, calibrate, recent_stretch


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95])
def test_it_holds_what_it_promises_where_the_spread_differs_by_row(level: float) -> None:
    rng = np.random.default_rng(0)
    spread = rng.uniform(0.5, 5, 8000)
    residual = spread * rng.gumbel(size=8000)
    band = Band(spread * 3, spread * 0.2)
    half = slice(0, 4000), slice(4000, None)
    calibration = calibrate(residual[half[0]], Band(band.below[half[0]], band.above[half[0]]))
    low, high = calibration.interval(np.zeros(4000), Band(band.below[half[1]], band.above[half[1]]), level)
    below, above = (residual[half[1]] < low).mean(), (residual[half[1]] > high).mean()
    assert abs(below - (1 - level) / 2) < 0.02
    assert abs(above - (1 - level) / 2) < 0.02


@given(st.integers(0, 50), st.integers(0, 10_000))
@settings(max_examples=30)
def test_levels_are_nested_and_hold_the_prediction_however_few_rows_there_are(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    calibration = calibrate(rng.normal(size=n), Band(rng.exponential(size=n), np.zeros(n)))
    again = Calibration.from_json(calibration.to_json())
    last_low, last_high = np.zeros(3), np.zeros(3)
    for level in (0.1, 0.5, 0.9, 0.99, 0.9999):
        low, high = again.interval(np.zeros(3), Band(np.array([0.0, 1.0, 2.0]), np.ones(3)), level)
        assert (low <= last_low).all()
        assert (high >= last_high).all()
        last_low, last_high = low, high


def test_missing_actuals_are_left_out() -> None:
    residual = np.array([1.0, np.nan, -1.0, 2.0])
    band = Band(np.ones(4), np.ones(4))
    known = np.isfinite(residual)
    with_gap, without = calibrate(residual, band), calibrate(residual[known], Band(np.ones(3), np.ones(3)))
    np.testing.assert_array_equal(with_gap.below, without.below)


def test_recent_errors_stretch_more_the_longer_they_last() -> None:
    excess = np.full(200, 2.0)
    days = [recent_stretch(excess, 0.9, days) for days in (0, 1, 7, 28)]
    assert days == sorted(days)
    assert days[0] == 1.0
    assert days[-1] < 2.0
    assert recent_stretch(np.full(200, 0.1), 0.9, 28) < 1.0
    assert recent_stretch(np.full(3, np.nan), 0.9, 28) == 1.0
    assert recent_stretch(np.full(9, 1e9), 0.9, 1e9) <= 3.0


def test_excess_is_one_on_either_bound() -> None:
    calibration = calibrate(np.random.default_rng(0).normal(size=500), Band(np.ones(500), np.ones(500)))
    one = Band(np.ones(1), np.ones(1))
    low, high = calibration.interval(np.zeros(1), one, 0.9)
    assert calibration.excess(low, one, 0.9)[0] == pytest.approx(1.0)
    assert calibration.excess(high, one, 0.9)[0] == pytest.approx(1.0)
    assert calibration.excess(np.zeros(1), one, 0.9)[0] == 0.0


def test_rows_that_claim_no_width_do_not_widen_all_others() -> None:
    """A fifth of the rows are falsely sure of themselves; covering those by one stretch would be paid for everywhere."""
    rng = np.random.default_rng(4)
    residual = rng.normal(size=2000)
    width = np.where(rng.random(2000) < 0.2, 1e-3, 1.0)
    band = Band(width, width)
    low, high = calibrate(residual, band).interval(np.zeros(2000), band, 0.9)
    assert np.mean(high - low) < 5
    assert 0.88 < np.mean((residual >= low) & (residual <= high)) < 0.93


def test_widths_that_are_right_are_kept() -> None:
    rng = np.random.default_rng(5)
    width = rng.uniform(0.2, 3, 4000)
    residual = width * rng.normal(size=4000)
    low, high = calibrate(residual, Band(width, width)).interval(
        np.zeros(2), Band(*2 * [np.array([0.5, 3.0])]), 0.9
    )
    assert (high - low)[1] / (high - low)[0] > 5


def test_sure_rows_do_not_make_the_others_narrow() -> None:
    rng = np.random.default_rng(0)
    is_night = np.arange(4000) % 2 == 0
    residual = np.where(is_night, 0.0, rng.normal(size=4000))
    band = Band(np.where(is_night, 0.0, 1.0), np.where(is_night, 0.0, 1.0))
    calibration = calibrate(residual, band)
    low, high = calibration.interval(np.zeros(4000), band, 0.9)
    inside = (low <= residual) & (residual <= high)
    assert inside[is_night].all()
    assert abs(inside[~is_night].mean() - 0.9) < 0.01
    excess = Calibration.from_json(calibration.to_json()).excess(residual, band, 0.9)
    np.testing.assert_array_equal(np.isnan(excess), is_night)
