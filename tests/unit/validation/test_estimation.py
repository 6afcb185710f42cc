from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri

from aihub.validation import estimation


@given(st.floats(0.1, 100), st.floats(0.5, 0.99))
def test_the_estimate_is_right_for_normal_errors_of_the_stated_width(sd: float, level: float) -> None:
    half = np.array([sd * ndtri(0.5 + level / 2)])
    assert estimation.expected_absolute_error(-half, half, level)[0] == pytest.approx(sd * np.sqrt(2 / np.pi))


def test_it_follows_a_change_of_the_inputs_and_is_blind_to_one_of_the_relation() -> None:
    rng = np.random.default_rng(0)
    width = rng.uniform(1, 3, 20_000)
    error = rng.normal(size=20_000) * width
    estimated = estimation.expected_absolute_error(-1.645 * width, 1.645 * width, 0.9).mean()
    assert estimated == pytest.approx(np.abs(error).mean(), rel=0.03)
    changed = np.abs(2 * error).mean()  # twice the noise, the same intervals
    assert estimated < 0.6 * changed


def test_crossed_and_missing_bounds_are_unknown() -> None:
    found = estimation.expected_absolute_error(
        np.array([1.0, np.nan, 0.0]), np.array([0.0, 1.0, np.inf]), 0.9
    )
    assert np.isnan(found).all()


def test_rates_of_a_calibrated_score() -> None:
    rng = np.random.default_rng(1)
    score = rng.beta(0.5, 3, 50_000)
    label = rng.random(50_000) < score
    flagged = (score > 0.4).astype(float)
    precision, recall = estimation.expected_rates(score, flagged)
    assert precision == pytest.approx(label[flagged > 0].mean(), abs=0.02)
    assert recall == pytest.approx(label[flagged > 0].sum() / label.sum(), abs=0.02)


def test_rates_of_nothing() -> None:
    assert all(np.isnan(v) for v in estimation.expected_rates(np.zeros(3), np.zeros(3)))
    assert all(np.isnan(v) for v in estimation.expected_rates(np.full(3, np.nan), np.ones(3)))
