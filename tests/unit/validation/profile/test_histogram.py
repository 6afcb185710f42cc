from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from aihub.validation.profile.common import CommonBins
from aihub.validation.profile.counting import SHORT, HistogramBuilder
from aihub.validation.profile.histogram import MAX_BINS, FloatHistogram

finite = st.floats(allow_nan=False, allow_infinity=False)
columns = arrays(np.float64, st.integers(0, 60), elements=finite)


def same(a: FloatHistogram, b: FloatHistogram) -> bool:
    return (a.shift, a.grain, a.keys.tolist(), a.counts.tolist()) == (
        b.shift,
        b.grain,
        b.keys.tolist(),
        b.counts.tolist(),
    )


@given(columns)
def test_few_values_are_kept_exactly(values: Any) -> None:
    histogram = FloatHistogram.of(values)
    expected, counts = np.unique(values + 0.0, return_counts=True)
    normal = (np.abs(expected) >= np.finfo(float).tiny) | (expected == 0)
    if normal.all():
        assert histogram.lower.tolist() == expected.tolist() == histogram.upper.tolist()
        assert histogram.counts.tolist() == counts.tolist()
    assert histogram.n == len(values)


@given(columns, columns, columns)
def test_merging_is_associative_and_commutative_to_the_last_bit(a: Any, b: Any, c: Any) -> None:
    x, y, z = (FloatHistogram.of(v) for v in (a, b, c))
    assert same(x.merge(y), y.merge(x))
    assert same(x.merge(y).merge(z), x.merge(y.merge(z)))
    assert same(x.merge(y), FloatHistogram.of(np.concatenate((a, b))))
    assert same(x.merge(FloatHistogram.empty()), x)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-300, 1.0, 1e300]))
def test_merging_many_values_equals_the_histogram_of_all(seed: Any, scale: Any) -> None:
    values = np.random.default_rng(seed).normal(size=3 * MAX_BINS) * scale
    parts = np.array_split(values, 5)
    one = FloatHistogram.of(values)
    many = FloatHistogram.empty()
    for part in parts:
        many = many.merge(FloatHistogram.of(part))
    assert same(one, many)
    assert one.keys.size <= MAX_BINS


def test_negative_zero_is_zero() -> None:
    assert same(FloatHistogram.of(np.array([-0.0, 0.0])), FloatHistogram.of(np.zeros(2)))


@given(columns.filter(len), st.floats(0, 1))
def test_a_quantile_lies_between_the_neighbouring_order_statistics(values: Any, q: Any) -> None:
    found = float(FloatHistogram.of(values).quantile(q))
    ordered = np.sort(values)
    position = q * len(values)
    low = ordered[max(0, min(len(values) - 1, int(np.ceil(position)) - 1))]
    assert found == pytest.approx(low, rel=1e-12, abs=1e-300)


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, n: rng.normal(size=n),
        lambda rng, n: rng.normal(10_000, 10, n),
        lambda rng, n: rng.integers(0, 24, n).astype(float),
        lambda rng, n: rng.lognormal(0, 2, n),
        lambda rng, n: np.where(rng.random(n) < 0.5, -1, 1) * (10_000 + rng.normal(size=n)),
        lambda rng, n: np.where(rng.random(n) < 0.3, 0, rng.normal(10_000, 10, n)),
        lambda rng, n: rng.integers(0, 300, n) / 10,
        lambda rng, n: np.full(n, 0.1),  # noqa: ARG005
        lambda rng, n: np.exp(rng.normal(0, 100, n)),
        lambda rng, n: np.where(np.arange(n) < n // 2, rng.normal(size=n), 1e6 + rng.normal(size=n)),
    ],
    ids=[
        "normal",
        "narrow",
        "hours",
        "lognormal",
        "two humps",
        "zeros",
        "tenths",
        "constant",
        "wide",
        "jump",
    ],
)
def test_fast_counting_agrees_with_sorting(draw: Any) -> None:
    values = draw(np.random.default_rng(1), 4 * SHORT)
    builder = HistogramBuilder()
    for start in range(0, len(values), SHORT + 1000):
        builder.add(np.ascontiguousarray(values[start : start + SHORT + 1000]))
    fast, exact = builder.finish(), FloatHistogram.of(values)
    shift = max(fast.shift, exact.shift)
    a, b = fast.coarsened(shift), exact.coarsened(shift)
    assert a.keys.tolist() == b.keys.tolist()
    assert a.counts.tolist() == b.counts.tolist()
    ranks = np.array([0.01, 0.25, 0.5, 0.75, 0.99])
    truth = np.quantile(values, ranks, method="inverted_cdf")
    width = np.abs(truth) * 2.0 ** (fast.shift - 52)
    assert (np.abs(fast.quantile(ranks) - truth) <= width + 1e-300).all()


def test_common_bins_give_the_exact_ks_distance_of_exact_histograms() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=300), rng.normal(0.5, 1, 200)
    bins = CommonBins.of(FloatHistogram.of(a), FloatHistogram.of(b))
    x, y = bins.reference, bins.current
    found = np.abs(np.cumsum(x) / 300 - np.cumsum(y) / 200).max()
    grid = np.concatenate((a, b))
    truth = max(abs((a <= g).mean() - (b <= g).mean()) for g in grid)
    assert found == pytest.approx(truth)


def test_binned_ks_distance_is_never_above_the_true_one() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=40_000), rng.normal(0.1, 1, 30_000)
    bins = CommonBins.of(FloatHistogram.of(a), FloatHistogram.of(b))
    x, y = bins.reference, bins.current
    found = np.abs(np.cumsum(x) / a.size - np.cumsum(y) / b.size).max()
    grid = np.sort(np.concatenate((a, b)))
    truth = np.abs(
        np.searchsorted(np.sort(a), grid, side="right") / a.size
        - np.searchsorted(np.sort(b), grid, side="right") / b.size
    ).max()
    assert truth * 0.95 < found <= truth + 1e-12


def test_cdf_runs_from_zero_to_one() -> None:
    histogram = FloatHistogram.of(np.array([1.0, 2.0, 2.0, 5.0]))
    assert histogram.cdf(np.array([0.0, 1.0, 2.0, 4.0, 5.0, 9.0])).tolist() == [0, 0.25, 0.75, 0.75, 1, 1]
    assert np.isnan(FloatHistogram.empty().cdf(1.0))
    assert np.isnan(FloatHistogram.empty().quantile(0.5))
