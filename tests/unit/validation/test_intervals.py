from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from aihub.validation import intervals


@given(st.integers(1, 500), st.floats(0.05, 0.95), st.data())
@settings(max_examples=60, deadline=None)
def test_kupiec_is_a_likelihood_ratio(n: int, level: float, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, n))
    ratio = 2 * (stats.binom.logpmf(hits, n, hits / n) - stats.binom.logpmf(hits, n, level))
    assert intervals.kupiec(hits, n, level) == pytest.approx(stats.chi2.sf(max(ratio, 0), 1), abs=1e-6)


def test_kupiec_size() -> None:
    hits = np.random.default_rng(0).binomial(300, 0.9, 3000)
    assert 0.03 < np.mean([intervals.kupiec(int(h), 300, 0.9) < 0.05 for h in hits]) < 0.075


def test_christoffersen_sees_clusters_and_respects_series() -> None:
    rng = np.random.default_rng(1)
    assert np.mean([intervals.christoffersen(rng.random(300) < 0.1) < 0.05 for _ in range(500)]) < 0.1
    assert intervals.christoffersen(np.repeat(rng.random(60) < 0.2, 5)) < 1e-6
    missed = np.repeat(rng.random(60) < 0.2, 5)
    assert np.isnan(intervals.christoffersen(missed, np.ones(300, bool)))  # every row its own series


@given(st.integers(1, 300), st.data())
@settings(max_examples=60, deadline=None)
def test_the_exact_interval_is_that_of_scipy(n: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, n))
    exact = stats.binomtest(hits, n).proportion_ci(0.95, "exact")
    assert intervals.share_interval(hits, n) == pytest.approx((exact.low, exact.high), abs=1e-9)


def test_the_score_prefers_the_honest_interval() -> None:
    y = np.random.default_rng(0).normal(size=20_000)
    scores = [intervals.winkler(y, np.full_like(y, -w), np.full_like(y, w), 0.9) for w in (1.2, 1.645, 2.2)]
    assert min(scores) == scores[1]


def test_coverage_of_an_honest_a_narrow_and_a_broken_interval() -> None:
    y = np.random.default_rng(2).normal(size=1000)
    honest = intervals.coverage(y, np.full(1000, -1.645), np.full(1000, 1.645), 0.9)
    assert honest.lower < 0.9 < honest.upper
    narrow = intervals.coverage(y, np.full(1000, -1.0), np.full(1000, 1.0), 0.9)
    assert narrow.upper < 0.8
    broken = intervals.coverage(y, np.full(1000, np.nan), np.full(1000, np.nan), 0.9)
    assert broken.observed == 0
    assert np.isnan(broken.width)


def test_all_inside_a_short_sample_is_no_certainty() -> None:
    found = intervals.coverage(np.zeros(30), np.full(30, -1.0), np.ones(30), 0.9)
    assert found.observed == 1
    assert found.lower < 0.9


def test_nothing_to_cover() -> None:
    found = intervals.coverage(np.empty(0), np.empty(0), np.empty(0), 0.9)
    assert (found.lower, found.upper) == (0.0, 1.0)
    assert np.isnan(found.observed)


def test_rows_of_one_timestamp_are_one_step() -> None:
    y = np.repeat(np.random.default_rng(4).normal(size=60), 50)
    stamps = np.repeat(np.datetime64("2026-01-01", "us") + np.arange(60) * np.timedelta64(1, "h"), 50)
    low, high = np.full(3000, -1.645), np.full(3000, 1.645)
    clustered = intervals.coverage(y, low, high, 0.9, timestamps=stamps)
    naive = intervals.share_interval(round(clustered.observed * 3000), 3000)
    assert clustered.upper - clustered.lower > 3 * (naive[1] - naive[0])
