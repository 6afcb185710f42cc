from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from aihub.validation import longrun
from aihub.validation.comparison import Verdict, compare, compare_losses, row_losses
from aihub.validation.paired import paired_tests


def errors(rng: np.random.Generator, reps: int, n: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Errors of two equally good models: AR(.7), or a moving sum of 24 shocks; correlated .8."""
    shocks = rng.standard_normal((3, reps, n + 60))
    shocks = lfilter([1.0], [1.0, -0.7], shocks) if horizon == 1 else lfilter(np.ones(24), [1.0], shocks)
    shared, one, two = shocks[:, :, 60:]
    return np.sqrt(0.8) * shared + np.sqrt(0.2) * one, np.sqrt(0.8) * shared + np.sqrt(0.2) * two


@pytest.mark.parametrize("horizon", [1, 24])
@pytest.mark.parametrize("n", [48, 96, 336])
def test_size_holds_without_being_told_the_horizon(n: int, horizon: int) -> None:
    one, two = errors(np.random.default_rng([n, horizon]), 1500, n, horizon)
    rejected = (paired_tests(np.abs(two) - np.abs(one)).p_value < 0.05).mean()
    assert 0.01 < rejected <= 0.075  # .058 at most in the benchmark; standard error here .0056


def test_power_grows_with_n() -> None:
    rng = np.random.default_rng(4)
    found = []
    for n in (48, 168, 720):
        one, two = errors(rng, 300, n, 1)
        found.append((paired_tests(np.abs(1.15 * two) - np.abs(one)).p_value < 0.05).mean())
    assert found[0] < found[1] < found[2]
    assert found[2] > 0.8


@pytest.mark.parametrize(
    ("factor", "verdict", "most"), [(1.0, Verdict.WORSE, 0.09), (1.05, Verdict.BETTER_OR_EQUIVALENT, 0.09)]
)
def test_the_gate_errs_at_most_one_time_in_twenty(factor: float, verdict: Verdict, most: float) -> None:
    one, two = errors(np.random.default_rng(8), 300, 168, 1)
    wrong = [
        compare_losses(np.abs(a), factor * np.abs(b), resamples=0).verdict is verdict
        for a, b in zip(one, two, strict=True)
    ]
    assert np.mean(wrong) <= most


def test_the_three_verdicts_and_the_n_that_would_do() -> None:
    one, two = (np.abs(e[0]) for e in errors(np.random.default_rng(0), 1, 4000, 1))
    assert compare_losses(one, 0.8 * two).verdict is Verdict.BETTER_OR_EQUIVALENT
    assert compare_losses(one, 1.3 * two).verdict is Verdict.WORSE
    short = compare_losses(one[:60], two[:60])
    assert short.verdict is Verdict.NOT_ENOUGH_DATA
    assert short.n_needed is not None
    assert short.n_needed > 60


def test_an_equal_challenger_passes_at_the_n_that_was_named() -> None:
    rng = np.random.default_rng(5)
    one, two = (np.abs(e) for e in errors(rng, 60, 500, 1))
    needed = [
        c.n_needed for a, b in zip(one, two, strict=True) if (c := compare_losses(a, b, resamples=0)).n_needed
    ]
    n = int(np.median(needed))
    one, two = (np.abs(e) for e in errors(rng, 60, n, 1))
    passed = [
        compare_losses(a, b, resamples=0).verdict is Verdict.BETTER_OR_EQUIVALENT
        for a, b in zip(one, two, strict=True)
    ]
    assert 0.6 < np.mean(passed) < 0.97  # four in five


def test_interval_and_test_agree() -> None:
    rng = np.random.default_rng(2)
    for _ in range(50):
        one, two = (np.abs(e[0]) for e in errors(rng, 1, 200, 1))
        found = compare_losses(one, 1.15 * two, level=0.95, resamples=0)
        assert (found.p_value < 0.05) == (not found.interval[0] <= 1 <= found.interval[1])


def test_identical_predictions_are_equivalent_and_have_no_doubt() -> None:
    y = np.random.default_rng(1).normal(size=100)
    found = compare(y, y + 1, y + 1)
    assert found.verdict is Verdict.BETTER_OR_EQUIVALENT
    assert (found.ratio, found.interval, found.p_value) == (1.0, (1.0, 1.0), 1.0)


def test_perfect_models() -> None:
    y = np.arange(50.0)
    assert compare(y, y, y).verdict is Verdict.BETTER_OR_EQUIVALENT
    assert compare(y, y + 1, y).verdict is Verdict.BETTER_OR_EQUIVALENT
    worse = compare(y, y, y + np.random.default_rng(0).normal(size=50))
    assert worse.verdict is not Verdict.BETTER_OR_EQUIVALENT


@pytest.mark.parametrize("n", [0, 1, longrun.MIN_N - 1])
def test_too_few_rows_are_never_a_verdict(n: int) -> None:
    rng = np.random.default_rng(n)
    found = compare_losses(rng.random(n) + 1, 0.01 * rng.random(n))
    assert found.verdict is Verdict.NOT_ENOUGH_DATA
    assert np.isnan(found.p_value)


def test_rows_in_any_order_with_gaps_and_many_series_give_the_same_answer() -> None:
    rng = np.random.default_rng(6)
    one, two = (np.abs(e[0]) for e in errors(rng, 1, 300, 1))
    hours = np.datetime64("2026-01-01", "us") + np.arange(300) * np.timedelta64(1, "h")
    stamps, first, second = np.tile(hours, 3), np.tile(one, 3), np.tile(two, 3)
    order = rng.permutation(900)
    single = compare_losses(one, two, timestamps=hours)
    panel = compare_losses(first[order], second[order], timestamps=stamps[order])
    assert panel.n == single.n == 300  # three series that move together are not three times the evidence
    assert panel.interval == pytest.approx(single.interval)
    assert panel.p_value == pytest.approx(single.p_value)
    holes = first.copy()
    holes[::7] = np.nan
    assert compare_losses(holes, second, timestamps=stamps).dropped == len(holes[::7])


def test_rows_that_only_the_challenger_leaves_out_are_counted() -> None:
    loss = np.random.default_rng(0).random(100)
    silent = loss.copy()
    silent[:10] = np.nan
    assert compare_losses(loss, silent).unanswered == 10
    assert compare_losses(silent, loss).unanswered == 0
    assert compare_losses(silent, loss).dropped == 10


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="the same rows"):
        compare_losses(np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match="margin"):
        compare_losses(np.ones(3), np.ones(3), margin=-1)
    with pytest.raises(ValueError, match="not one of"):
        row_losses(np.ones(3), np.ones(3), "cubic")


def test_balanced_loss_weighs_both_classes_the_same() -> None:
    y = np.array([1.0] + [0.0] * 99)
    never = row_losses(y, np.zeros(100), "balanced")
    always = row_losses(y, np.ones(100), "balanced")
    assert never.mean() == pytest.approx(always.mean()) == pytest.approx(0.5)


@given(st.integers(24, 400), st.floats(0.1, 10), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_scale_of_the_loss_does_not_matter(n: int, scale: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, two = rng.random(n) + 0.1, rng.random(n) + 0.1
    a = compare_losses(one, two, resamples=0)
    b = compare_losses(scale * one, scale * two, resamples=0)
    assert a.verdict == b.verdict
    assert a.ratio == pytest.approx(b.ratio)
    assert a.p_value == pytest.approx(b.p_value, rel=1e-6, abs=1e-12)


@given(st.integers(24, 300), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_swapping_the_models_inverts_the_ratio_and_keeps_the_p_value(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, two = rng.random(n) + 0.1, rng.random(n) + 0.1
    a, b = compare_losses(one, two, resamples=0), compare_losses(two, one, resamples=0)
    assert a.ratio == pytest.approx(1 / b.ratio)
    assert a.p_value == pytest.approx(b.p_value, rel=1e-6, abs=1e-12)
    assert a.interval[0] <= a.ratio <= a.interval[1]


def test_a_million_rows_take_the_same_path() -> None:
    rng = np.random.default_rng(0)
    one = np.abs(rng.normal(size=300_000))
    found = compare_losses(one, 1.02 * one[::-1])
    assert found.verdict is Verdict.BETTER_OR_EQUIVALENT
    assert found.n == 300_000
