from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from aihub.validation.profile.numeric import Moments, NumericSummary

columns = arrays(
    np.float64, st.integers(0, 50), elements=st.floats(-1e9, 1e9) | st.just(math.nan) | st.just(math.inf)
)


@given(columns)
def test_a_summary_says_what_numpy_says(values: Any) -> None:
    summary = NumericSummary.of(values)
    finite = values[np.isfinite(values)]
    assert (summary.rows, summary.n, summary.missing) == (
        len(values),
        finite.size,
        int(np.isnan(values).sum()),
    )
    assert summary.positive_infinite == int(np.isposinf(values).sum())
    if finite.size:
        assert (summary.minimum, summary.maximum) == (finite.min(), finite.max())
        assert summary.mean == pytest.approx(finite.mean(), rel=1e-9, abs=1e-6)
    if finite.size > 1:
        assert summary.std == pytest.approx(finite.std(ddof=1), rel=1e-7, abs=1e-5)


@given(columns, columns, columns)
def test_merging_equals_the_summary_of_all(a: Any, b: Any, c: Any) -> None:
    x, y, z = (NumericSummary.of(v) for v in (a, b, c))
    whole = NumericSummary.of(np.concatenate((a, b, c)))
    left, right = x.merge(y).merge(z), x.merge(y.merge(z))
    for found in (left, right):
        assert (found.rows, found.missing, found.n) == (whole.rows, whole.missing, whole.n)
        assert found.histogram.keys.tolist() == whole.histogram.keys.tolist()
        assert found.histogram.counts.tolist() == whole.histogram.counts.tolist()
        assert found.mean == pytest.approx(whole.mean, rel=1e-9, abs=1e-6, nan_ok=True)
        assert found.moments.m2 == pytest.approx(whole.moments.m2, rel=1e-6, abs=1e-3)
    assert x.merge(y).moments == y.merge(x).moments or math.isnan(x.merge(y).mean)


def test_moments_keep_their_digits_far_from_zero() -> None:
    values = 1e9 + np.random.default_rng(0).normal(size=300_000)
    summary = NumericSummary.of(values)
    assert summary.std == pytest.approx(values.std(ddof=1), rel=1e-9)


def test_a_constant_has_no_variance_and_stays_itself() -> None:
    summary = NumericSummary.of(np.full(100_000, 0.1))
    assert (summary.mean, summary.minimum, summary.maximum, summary.variance) == (0.1, 0.1, 0.1, 0.0)
    assert summary.quantile(0.5) == 0.1


@pytest.mark.parametrize("values", [[], [math.nan], [math.inf, -math.inf]])
def test_nothing_finite_is_not_a_number(values: Any) -> None:
    summary = NumericSummary.of(np.array(values, dtype=float))
    assert all(math.isnan(v) for v in (summary.mean, summary.minimum, summary.maximum, summary.std))
    assert math.isnan(summary.quantile(0.5))


def test_one_row_has_a_mean_and_no_spread() -> None:
    summary = NumericSummary.of(np.array([3.0]))
    assert summary.mean == 3.0
    assert math.isnan(summary.std)


def test_numbers_near_the_largest_do_not_break_the_mean() -> None:
    moments = Moments.of(np.array([1.7e308, 1.7e308]))
    assert moments.mean == pytest.approx(1.7e308)


def test_a_view_with_steps_is_read_right() -> None:
    values = np.arange(100_000, dtype=float)
    assert NumericSummary.of(values[::2]).mean == pytest.approx(values[::2].mean(), rel=1e-14)
