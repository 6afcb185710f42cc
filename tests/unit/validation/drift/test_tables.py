"""Tests of two tables: counts, shares, categories, adjustment, explanations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import binom, false_discovery_control, ks_2samp, ncx2, norm

from aihub.types import Drift
from aihub.validation.drift import compare_profiles, mean_std_drift
from aihub.validation.drift.binned import minimum_effect_ks, rows_needed
from aihub.validation.drift.categories import OTHER, category_shift, rows_for_categories
from aihub.validation.drift.explain import (
    jensen_shannon,
    population_stability_index,
    reference_deciles,
    wasserstein_sd,
)
from aihub.validation.drift.multiplicity import benjamini_hochberg
from aihub.validation.drift.normal import folded_normal_tail, noncentral_chi2_tail, wilson
from aihub.validation.drift.shares import outside_range, share_above, share_shift
from aihub.validation.drift.verdict import worst_drift
from aihub.validation.profile import CommonBins, FloatHistogram, NumericSummary, Profile

counts = st.lists(st.integers(0, 1000), min_size=1, max_size=30)
finite = st.floats(-1e6, 1e6)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_adjusted_p_values_keep_the_order_and_are_never_smaller(p_values: list[float]) -> None:
    adjusted = benjamini_hochberg(p_values)
    order = np.argsort(p_values, kind="stable")
    assert np.all(adjusted >= np.asarray(p_values) - 1e-15)
    assert np.all(np.diff(adjusted[order]) >= 0)
    assert adjusted.max() <= 1


def test_adjustment_agrees_with_scipy_and_leaves_out_nan() -> None:
    p = np.random.default_rng(0).uniform(size=40) ** 3
    assert np.allclose(benjamini_hochberg(p), false_discovery_control(p))
    with_nan = benjamini_hochberg(np.append(p, np.nan))
    assert np.allclose(with_nan[:-1], false_discovery_control(p))
    assert np.isnan(with_nan[-1])


def test_adjustment_refuses_what_is_no_p_value() -> None:
    with pytest.raises(ValueError, match="must lie in"):
        benjamini_hochberg([0.5, 1.5])


@given(counts, st.data())
def test_ks_is_symmetric_bounded_and_its_interval_holds_it(reference: list[int], data: st.DataObject) -> None:
    current = data.draw(st.lists(st.integers(0, 1000), min_size=len(reference), max_size=len(reference)))
    one, other = minimum_effect_ks(reference, current), minimum_effect_ks(current, reference)
    assert one.p_value == pytest.approx(other.p_value)
    if sum(reference) and sum(current):
        assert 0 <= one.low <= one.d <= one.high <= 1
    else:
        assert one.p_value == 1
        assert math.isnan(one.d)


def test_ks_on_bins_is_at_most_that_of_the_rows() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=3000), rng.normal(0.3, 1.2, size=2000)
    bins = CommonBins.of(FloatHistogram.of(a), FloatHistogram.of(b))
    exact = ks_2samp(a, b).statistic
    assert exact - 0.01 < minimum_effect_ks(bins.reference, bins.current).d <= exact + 1e-12


def test_false_alarms_at_exactly_the_minimum_effect_stay_below_the_level() -> None:
    rng = np.random.default_rng(2)
    p = np.full(10, 0.1)
    q = p + np.array([0.05] + [0.0] * 8 + [-0.05])
    flagged = [
        minimum_effect_ks(rng.multinomial(5000, p), rng.multinomial(800, q)).p_value <= 0.05
        for _ in range(400)
    ]
    assert np.mean(flagged) <= 0.05


@pytest.mark.parametrize("n", [50, 1000, 10_000_000])
def test_an_immaterial_shift_is_no_drift_however_many_rows(n: int) -> None:
    p = np.full(50, 0.02)
    q = p + np.linspace(-0.0005, 0.0005, 50)
    rng = np.random.default_rng(n)
    assert minimum_effect_ks(rng.multinomial(10_000, p), rng.multinomial(n, q)).p_value > 0.05


def test_rows_needed_finds_the_target_with_the_power_it_says() -> None:
    n = rows_needed(10_000)
    assert n is not None
    rng = np.random.default_rng(3)
    p = np.full(10, 0.1)
    q = p + np.array([0.2] + [0.0] * 7 + [-0.1, -0.1])
    found = [
        minimum_effect_ks(rng.multinomial(10_000, p), rng.multinomial(n, q)).p_value <= 0.05
        for _ in range(300)
    ]
    assert np.mean(found) >= 0.78


def test_bad_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="same bins"):
        minimum_effect_ks([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="at least 0"):
        minimum_effect_ks([1, -2], [1, 2])
    with pytest.raises(ValueError, match="must exceed"):
        rows_needed(100, target=0.01)


@given(st.lists(finite, min_size=1, max_size=60), st.lists(finite, min_size=1, max_size=60))
def test_common_bins_hold_every_value_once(first: list[float], second: list[float]) -> None:
    a, b = FloatHistogram.of(np.array(first)), FloatHistogram.of(np.array(second))
    bins = CommonBins.of(a, b)
    for counts_of, values in ((bins.reference, first), (bins.current, second)):
        inside = [(np.asarray(values) + 0.0 <= upper).sum() for upper in bins.upper]
        assert np.array_equal(np.cumsum(counts_of), inside)
    assert (bins.reference + bins.current > 0).all()
    assert (bins.lower <= bins.upper).all()
    outside = np.asarray(second)[(np.asarray(second) < min(first)) | (np.asarray(second) > max(first))]
    assert bins.beyond(min(first), max(first)) <= len(outside)


@given(counts)
def test_distances_of_equal_histograms_are_zero(histogram: list[int]) -> None:
    if not sum(histogram):
        return
    edges = np.arange(len(histogram) + 1.0)
    assert wasserstein_sd(histogram, histogram, edges, 1.0) == 0
    assert population_stability_index(histogram, histogram) == 0
    assert jensen_shannon(histogram, histogram) == pytest.approx(0, abs=1e-6)


def test_distances_of_two_samples_of_one_distribution_are_small_at_small_n() -> None:
    rng = np.random.default_rng(4)
    p = np.full(100, 0.01)
    index = [
        population_stability_index(*reference_deciles(rng.multinomial(10_000, p), rng.multinomial(100, p)))
        for _ in range(200)
    ]
    assert np.mean(index) < 0.06
    assert np.isnan(population_stability_index([0, 0], [1, 1]))
    assert np.isnan(jensen_shannon([0], [1]))
    assert np.isnan(wasserstein_sd([1], [1], [0, 1], 0.0))


@given(st.integers(0, 100), st.integers(0, 100), st.integers(0, 100), st.integers(0, 100))
def test_a_share_shift_is_inside_its_interval(hits: int, more: int, now: int, rest: int) -> None:
    shift = share_shift(hits, hits + more, now, now + rest)
    assert 0 <= shift.p_value <= 1
    if hits + more and now + rest:
        assert -1 <= shift.low <= shift.difference + 1e-12
        assert shift.difference - 1e-12 <= shift.high <= 1
    else:
        assert shift.p_value == 1


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3])
def test_clean_missingness_rarely_alarms(share: float) -> None:
    rng = np.random.default_rng(5)
    flagged = [
        share_shift(rng.binomial(10_000, share), 10_000, rng.binomial(n, share), n).p_value <= 0.05
        for n in (50, 200, 5000)
        for _ in range(200)
    ]
    assert np.mean(flagged) <= 0.06


def test_share_above_is_the_binomial_tail() -> None:
    assert share_above(7, 300, limit=0.01).p_value == pytest.approx(binom.sf(6, 300, 0.01))
    assert share_above(1200, 100_000, limit=0.011).p_value == pytest.approx(binom.sf(1199, 100_000, 0.011))
    assert share_above(0, 0).p_value == 1
    assert wilson(5, 10, 0.95)[0] < 0.5 < wilson(5, 10, 0.95)[1]


def test_tails_agree_with_scipy() -> None:
    for x, df, nc in ((30, 4, 10), (15_000, 9, 14_000), (120_000, 5, 118_000), (400, 3, 50)):
        assert noncentral_chi2_tail(x, df, nc) == pytest.approx(ncx2.sf(x, df, nc), rel=0.2, abs=1e-12)
    assert folded_normal_tail(2.0, 0.5, 0.7) == pytest.approx(norm.sf(1.5 / 0.7) + norm.sf(2.5 / 0.7))
    assert folded_normal_tail(2.0, 0.5, 0.0) == 0
    assert folded_normal_tail(0.2, 0.5, 0.0) == 1


def test_clean_categories_rarely_alarm_however_many_are_rare() -> None:
    rng = np.random.default_rng(6)
    p = np.append(np.full(200, 0.001), [0.3, 0.3, 0.2])
    names = [f"c{i}" for i in range(p.size)]
    flagged = []
    for n in (50, 1000, 100_000):
        for _ in range(60):
            sides = [dict(zip(names, rng.multinomial(k, p).tolist(), strict=True)) for k in (20_000, n)]
            shift = category_shift(*sides)
            flagged.append(shift.p_value <= 0.05 or bool(shift.vanished))
    assert np.mean(flagged) <= 0.05


def test_new_and_vanished_categories_are_named() -> None:
    shift = category_shift({"a": 500, "b": 400, "c": 100}, {"a": 300, "b": 200, "<b>new</b>": 50})
    assert set(shift.new) == {"<b>new</b>"}
    assert set(shift.vanished) == {"c"}
    assert category_shift({"a": 5}, {}).p_value == 1
    assert category_shift({"a": 500, OTHER: 20}, {"a": 300, "b": 20}).new == {}
    assert rows_for_categories(20, 5) is None


def test_a_category_is_not_called_vanished_before_its_absence_says_something() -> None:
    assert not category_shift({"a": 900, "b": 100}, {"a": 10}).vanished


def table(rng: np.random.Generator, n: int, **columns: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "load": rng.normal(100, 10, n),
        "count": rng.poisson(3, n).astype(float),
        "site": rng.choice(np.array(["a", "b", "c"], dtype=object), n),
        **columns,
    }


def test_each_kind_of_change_is_named_by_its_test() -> None:
    rng = np.random.default_rng(7)
    reference = Profile.of(table(rng, 5000))
    broken = rng.normal(100, 10, 2000)
    broken[:300] = np.nan
    changes = {
        "distribution": {"load": rng.normal(106, 10, 2000)},
        "missing": {"load": broken},
        "range": {"load": np.where(rng.uniform(size=2000) < 0.05, 1000.0, rng.normal(100, 10, 2000))},
        "categories": {"site": rng.choice(np.array(["a", "b", "c"], dtype=object), 2000, p=[0.6, 0.3, 0.1])},
        "new categories": {"site": rng.choice(np.array(["a", "b", "c", "d"], dtype=object), 2000)},
        "schema": {"load": rng.choice(np.array(["x", "y"], dtype=object), 2000)},
    }
    for test, columns in changes.items():
        report = compare_profiles(reference, Profile.of(table(rng, 2000, **columns)))
        assert test in {r.test for r in report.results if r.verdict is Drift.DRIFT}
        assert report.drifted == tuple(columns)
    assert compare_profiles(reference, Profile.of(table(rng, 2000))).verdict is Drift.OK


def test_a_column_gone_or_never_seen_is_never_ok() -> None:
    rng = np.random.default_rng(8)
    reference, current = (
        Profile.of(table(rng, 1000)),
        Profile.of({"load": rng.normal(size=10), "extra": rng.normal(size=10)}),
    )
    report = compare_profiles(reference, current)
    assert report.verdicts["site"] is Drift.DRIFT
    assert report.extra_columns == ("extra",)
    assert compare_profiles(reference, current, columns=["extra"]).verdicts["extra"] is Drift.NOT_ENOUGH_DATA
    assert compare_profiles(reference, current, columns=[]).verdict is Drift.NOT_ENOUGH_DATA
    assert worst_drift([]) is Drift.NOT_ENOUGH_DATA


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        (np.array([]), Drift.NOT_ENOUGH_DATA),
        (np.array([100.0]), Drift.NOT_ENOUGH_DATA),
        (np.full(500, np.nan), Drift.DRIFT),
        (np.full(500, np.inf), Drift.DRIFT),
        (np.full(500, 100.0), Drift.DRIFT),
    ],
)
def test_degenerate_columns_are_never_ok(values: np.ndarray, verdict: Drift) -> None:
    reference = Profile.of({"x": np.random.default_rng(9).normal(100, 10, 2000)})
    assert compare_profiles(reference, Profile.of({"x": values})).verdicts["x"] is verdict


def test_constants_are_compared_by_value() -> None:
    reference = Profile.of({"x": np.full(500, 3.0)})
    assert compare_profiles(reference, Profile.of({"x": np.full(500, 3.0)})).verdict is Drift.OK
    assert (
        compare_profiles(reference, Profile.of({"x": np.full(2, np.nextafter(3.0, 4.0))})).verdict
        is Drift.DRIFT
    )


def test_not_enough_data_names_the_rows_that_would_do() -> None:
    rng = np.random.default_rng(10)
    reference = Profile.of({"x": rng.normal(size=5000)})
    few = compare_profiles(reference, Profile.of({"x": rng.normal(size=60)}))
    assert few.verdict is Drift.NOT_ENOUGH_DATA
    assert few.n_needed is not None
    assert compare_profiles(reference, Profile.of({"x": rng.normal(size=few.n_needed)})).verdict is Drift.OK
    tiny = compare_profiles(Profile.of({"x": rng.normal(size=30)}), Profile.of({"x": rng.normal(size=5000)}))
    assert (tiny.verdict, tiny.n_needed) == (Drift.NOT_ENOUGH_DATA, None)


def test_importance_orders_and_weighs_but_hides_nothing() -> None:
    rng = np.random.default_rng(11)
    names = ["a", "b", "c"]
    reference = Profile.of({n: rng.normal(size=5000) for n in names})
    current = Profile.of(
        {"a": rng.normal(2, 1, 1000), "b": rng.normal(2, 1, 1000), "c": rng.normal(size=1000)}
    )
    report = compare_profiles(reference, current, importance={"a": 1, "b": 3, "c": 4})
    assert report.drifted == ("b", "a")
    assert report.drifted_importance == pytest.approx(0.5)
    assert compare_profiles(reference, current).drifted_importance is None


def test_ten_thousand_columns_with_any_name() -> None:
    rng = np.random.default_rng(12)
    names = [f"<script>{i}</script>🌡" for i in range(10_000)]
    # A column's summary may stand in for many: what is tested is the comparison.
    sides = [[NumericSummary.of(rng.normal(size=40)) for _ in range(500)] for _ in range(2)]
    profiles = [
        Profile(rows=40, columns={name: side[i % 500] for i, name in enumerate(names)}) for side in sides
    ]
    assert compare_profiles(*profiles).drifted == ()


def test_a_range_of_few_rows_raises_no_alarm() -> None:
    rng = np.random.default_rng(14)
    p_values = []
    for _ in range(600):
        x, y = rng.normal(size=40), rng.normal(size=60)
        hits = int(((y < x.min()) | (y > x.max())).sum())
        p_values.append(outside_range(hits, 60, 40).p_value)
    assert np.mean(np.array(p_values) <= 0.05) <= 0.07
    assert np.mean(np.array(p_values) <= 0.01) <= 0.02
    assert outside_range(30, 3000, 1000).p_value > outside_range(60, 3000, 1000).p_value
    assert outside_range(1, 1, 1).p_value == 1


@settings(max_examples=60)
@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=20), st.floats(), st.floats())
@example([1.0, 1.0, 1.0], 1.0, 5e-324)
def test_the_z_test_answers_for_any_numbers(values: list[float], mean: float, std: float) -> None:
    with np.errstate(all="ignore"):
        found = mean_std_drift({"x": values}, {"x": {"mean": mean, "std": std}})["x"]
    if found["drift"] is False:
        assert math.isfinite(mean)
        assert std >= 0
        assert any(math.isfinite(v) for v in values)


def test_the_z_test_of_the_guide() -> None:
    x = np.random.default_rng(13).normal(0.1, 1, 400)
    found = mean_std_drift(
        {"x": x, "c": np.ones(5), "t": ["a"]},
        {
            "x": {"mean": 0.0, "std": 1.0},
            "c": {"mean": 1.0, "std": 0.0},
            "gone": {"mean": 1, "std": 1},
            "t": {"mean": 0, "std": 1},
        },
    )
    assert found["x"]["z_score"] == pytest.approx(x.mean() * 20)
    assert found["x"]["p_value"] == pytest.approx(2 * norm.sf(abs(x.mean()) * 20))
    assert found["c"]["drift"] is False
    assert found["gone"]["drift"] is True
    assert found["t"]["drift"] is True
    assert mean_std_drift({"c": [1.0, 2.0]}, {"c": {"mean": 1.0, "std": 0.0}})["c"]["drift"] is True
    assert mean_std_drift({"c": [1.0]}, {"c": {"mean": 1.0}})["c"]["drift"] is None
    with pytest.raises(ValueError, match="threshold"):
        mean_std_drift({}, {}, 2.0)
