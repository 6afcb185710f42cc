from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from aihub.validation import longrun


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_persistence_is_recovered(rho: float) -> None:
    x = lfilter([1.0], [1.0, -rho], np.random.default_rng(1).standard_normal((100, 4000)))
    assert np.median(longrun.persistence(x)) == pytest.approx(rho, abs=0.06)


def test_variance_of_the_mean_is_recovered() -> None:
    x = lfilter([1.0], [1.0, -0.7], np.random.default_rng(2).standard_normal((2000, 400)))[:, 100:]
    how = longrun.choose(x)
    estimated = np.median(longrun.spectrum(x, x, how)) / x.shape[1]
    assert estimated == pytest.approx(x.mean(axis=1).var(), rel=0.2)


@pytest.mark.parametrize("n", [48, 300])
def test_the_interval_covers_the_mean(n: int) -> None:
    x = lfilter([1.0], [1.0, -0.7], np.random.default_rng(3).standard_normal((500, n + 50)))[:, 50:]
    inside = [low <= 0 <= high for _, low, high in map(longrun.mean_interval, x)]
    assert 0.92 <= np.mean(inside) <= 0.99


def test_nothing_is_known_of_too_little() -> None:
    assert all(np.isnan(v) for v in longrun.mean_interval(np.full(50, np.nan)))
    assert longrun.mean_interval(np.ones(longrun.MIN_N - 1))[1:] == (-np.inf, np.inf)


def test_constants_have_no_doubt() -> None:
    assert longrun.mean_interval(np.full(100, 7.0)) == (7.0, 7.0, 7.0)


@given(st.integers(longrun.MIN_N, 3000), st.integers(0, 2**31), st.floats(-1e6, 1e6))
@settings(max_examples=30, deadline=None)
def test_a_shift_moves_the_interval_along(n: int, seed: int, shift: float) -> None:
    x = np.random.default_rng(seed).normal(size=n)
    plain, moved = longrun.mean_interval(x), longrun.mean_interval(x + shift)
    assert moved == pytest.approx([v + shift for v in plain], abs=1e-6)


def test_thinning_keeps_the_mean() -> None:
    x = np.random.default_rng(0).normal(size=(1, 10 * longrun.MAX_N))
    assert longrun.thin(x).shape[1] <= longrun.MAX_N
    assert longrun.thin(x).mean() == pytest.approx(x.mean())
