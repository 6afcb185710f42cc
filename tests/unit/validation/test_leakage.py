from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aihub.validation import leakage

RNG = np.random.default_rng(0)
Y = RNG.normal(100, 10, 500)


@pytest.mark.parametrize("steps", [0, 1, 24])
@pytest.mark.parametrize("slope", [1.0, -3.0, 1e-6])
def test_a_copy_of_the_target_is_found_with_its_shift(steps: int, slope: float) -> None:
    copied = np.full(500, np.nan)
    copied[: 500 - steps] = slope * Y[steps:] + 7
    (found,) = leakage.target_copies({"x": copied}, Y, steps=tuple(range(25)))
    assert (found.feature, found.steps) == ("x", steps)


def test_a_lag_and_a_noisy_copy_are_no_leak() -> None:
    lag = np.concatenate([[np.nan], Y[:-1]])
    features = {
        "lag": lag,
        "near": Y + RNG.normal(0, 0.01, 500),
        "other": RNG.normal(size=500),
        "flat": np.ones(500),
    }
    assert leakage.target_copies(features, Y, steps=tuple(range(25))) == []


def test_zeros_at_night_are_no_copy() -> None:
    sun = np.maximum(0, np.sin(2 * np.pi * np.arange(500) / 24))
    power = sun * RNG.random(500)
    assert leakage.target_copies({"irradiance": sun * RNG.random(500)}, power, steps=(0,)) == []


def test_a_target_that_repeats_itself_or_is_a_line_leaks_nothing_by_its_lags() -> None:
    day = RNG.normal(size=24)
    y = np.tile(day, 30)
    lag = np.concatenate([np.full(24, np.nan), y[:-24]])
    assert leakage.target_copies({"lag_24": lag}, y, steps=tuple(range(25))) == []
    line = 3.0 * np.arange(500.0) + 1
    assert leakage.target_copies({"trend": np.arange(500.0)}, line, steps=tuple(range(25))) == []


@given(st.integers(0, 2**31), st.integers(60, 1000))
@settings(max_examples=30, deadline=None)
def test_noise_explains_nothing(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    assert abs(leakage.explained_share(rng.normal(size=n), rng.normal(size=n))) < 0.35


def test_explained_share_of_what_cannot_be_explained() -> None:
    assert np.isnan(leakage.explained_share(Y, np.ones(500)))
    assert np.isnan(leakage.explained_share(Y[:10], Y[:10]))
    assert leakage.explained_share(np.ones(500), Y) == pytest.approx(0.0)


def test_shared_rows_are_counted() -> None:
    training = {"a": RNG.normal(size=1000), "b": RNG.normal(size=1000), "hour": np.arange(1000.0) % 24}
    validation = {name: np.concatenate([v[:50], RNG.normal(size=150)]) for name, v in training.items()}
    shared, repeated, names = leakage.overlap(validation, training)
    assert shared == pytest.approx(0.25)
    assert repeated == 0.0
    assert set(names) >= {"a", "b"}


def test_few_codes_do_not_tell_rows_apart() -> None:
    codes = {"hour": np.arange(500.0) % 24, "weekday": np.arange(500.0) % 7}
    assert leakage.overlap(codes, codes)[2] == ()


@given(st.lists(st.floats(), min_size=1, max_size=50))
@settings(max_examples=50, deadline=None)
def test_equal_rows_have_equal_hashes(values: list[float]) -> None:
    column = np.array(values)
    other = column.copy()
    other[other == 0] = -0.0
    hashes = leakage.row_hashes({"x": column, "y": column}, ("x", "y"))
    assert (hashes == leakage.row_hashes({"x": other, "y": other}, ("x", "y"))).all()
    assert len(np.unique(hashes)) == len(np.unique(column))


def test_rounded_measurements_of_another_time_are_no_overlap() -> None:
    rng = np.random.default_rng(5)
    rows = {name: np.round(rng.normal(15, 3, 4000), 1) for name in ("temperature", "humidity")}
    time = np.arange(4000.0)
    training = {name: values[:3000] for name, values in rows.items()}
    validation = {name: values[3000:] for name, values in rows.items()}
    assert leakage.overlap(validation, training)[0] > 0.01
    training[leakage.TIME], validation[leakage.TIME] = time[:3000], time[3000:]
    assert leakage.overlap(validation, training)[0] == 0
    validation[leakage.TIME] = time[2500:3500]
    validation |= {name: values[2500:3500] for name, values in rows.items()}
    assert leakage.overlap(validation, training)[0] == 0.5
