"""Tests of the local spread: noise that grows with the level neither hides a change nor raises an alarm."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aihub.validation.drift import SeriesReference
from aihub.validation.drift.seasonal import fit_season
from aihub.validation.drift.spread import LocalSpread


def heated(days: int = 1100, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Daily stamps, use and temperature of a heated house: base load 1, noise a quarter of the load."""
    rng = np.random.default_rng(seed)
    t = np.arange(days)
    warmth = 12 - 12 * np.cos(2 * np.pi * t / 365.25) + 3 * rng.standard_normal(days)
    expected = 1 + 0.5 * np.maximum(0.0, 15 - warmth)
    stamps = np.datetime64("2020-01-15", "us") + t * np.timedelta64(1, "D")
    return stamps, expected * (1 + 0.25 * rng.standard_normal(days)), warmth


def test_the_spread_follows_the_level_and_is_flat_where_the_noise_is() -> None:
    rng = np.random.default_rng(1)
    level = rng.uniform(1, 10, 5000)
    noise = rng.standard_normal(5000)
    grows, same = LocalSpread.of(level, level * noise), LocalSpread.of(level, noise)
    low, high = grows.at(np.array([2.0, 9.0]))
    assert high / low == pytest.approx(4.5, rel=0.15)
    assert grows.matters
    assert not same.matters
    assert np.abs(same.log_ratio).max() < 0.12


@given(st.lists(st.floats(-1e6, 1e6), max_size=150), st.integers(0, 1000))
def test_the_spread_is_positive_and_finite_for_any_numbers(values: list[float], seed: int) -> None:
    expected = np.array(values)
    residual = np.random.default_rng(seed).standard_cauchy(expected.size)
    found = LocalSpread.of(expected, residual).at(np.array([-1e9, 0.0, 1e9]))
    assert np.isfinite(found).all()
    assert (found > 0).all()
    assert np.isnan(LocalSpread.flat().at(np.array([np.nan]))).all()


def test_residuals_of_summer_and_winter_are_of_one_size() -> None:
    stamps, use, warmth = heated()
    split = 735
    reference = SeriesReference.fit(stamps[:split], use[:split], covariates={"temperature": warmth[:split]})
    assert reference.spread.matters
    residual = reference.residuals(stamps[split:], use[split:], {"temperature": warmth[split:]})
    cold, warm = warmth[split:] < 5, warmth[split:] > 20
    assert residual[cold].std() / residual[warm].std() == pytest.approx(1, abs=0.35)
    saved = reference.residuals(stamps[split:], 0.9 * use[split:], {"temperature": warmth[split:]})
    assert saved[cold].mean() < -0.2
    assert saved[warm].mean() < -0.2


def test_weights_do_not_bend_the_season_where_the_noise_is_large() -> None:
    stamps, use, warmth = heated()
    utc = stamps.astype(np.int64) / 1e6
    expected = 1 + 0.5 * np.maximum(0.0, 15 - warmth)
    season = fit_season(
        utc, utc, use, covariates=warmth[:, None], cell_s=86400.0, spread=expected / expected.mean()
    )
    fitted = season.predict(utc, utc, warmth[:, None])
    cold = warmth < 3
    assert fitted[cold].mean() == pytest.approx(expected[cold].mean(), rel=0.05)


def test_the_spread_survives_json_and_older_references_have_none() -> None:
    stamps, use, warmth = heated()
    reference = SeriesReference.fit(stamps, use, covariates={"temperature": warmth})
    form = json.loads(json.dumps(reference.to_dict()))
    back = SeriesReference.from_dict(form)
    assert np.array_equal(back.spread.log_ratio, reference.spread.log_ratio)
    del form["spread"]
    assert not SeriesReference.from_dict(form).spread.matters
