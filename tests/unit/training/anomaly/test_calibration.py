from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aihub.training.anomaly.calibration import ProbabilityTable, TailTable

scored = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=20, max_size=300).filter(
    lambda rows: 0 < sum(label for _, label in rows) < len(rows)
)


@settings(max_examples=50, deadline=None)
@given(scored)
def test_calibration_keeps_the_order_and_stays_a_probability(rows: list[tuple[float, int]]) -> None:
    raw, label = np.array(rows, dtype=np.float64).T
    table = ProbabilityTable.fit(raw, label)
    probe = np.linspace(0, 1, 101)
    mapped = table(probe)
    assert (mapped >= 0).all()
    assert (mapped <= 1).all()
    assert (np.diff(mapped) > 0).all()


@pytest.mark.parametrize(("n", "method"), [(20_000, "isotonic"), (400, "platt")])
def test_an_overconfident_score_is_put_right(n: int, method: str) -> None:
    rng = np.random.default_rng(3)
    truth = rng.beta(0.5, 4, n)
    label = (rng.random(n) < truth).astype(np.float64)
    logit = np.log(truth.clip(1e-9) / (1 - truth.clip(0, 1 - 1e-9)))
    raw = 1 / (1 + np.exp(-2 * logit))
    table = ProbabilityTable.fit(raw, label)
    assert table.method == method
    assert np.abs(table(raw) - truth).mean() < 0.5 * np.abs(raw - truth).mean()


def test_separable_scores_stay_finite() -> None:
    table = ProbabilityTable.fit(np.array([0.0] * 30 + [1.0] * 10), np.array([0.0] * 30 + [1.0] * 10))
    assert np.isfinite(table(np.array([0.0, 0.5, 1.0]))).all()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=200))
def test_a_tail_never_falls(values: list[float]) -> None:
    tail = TailTable.fit(np.array(values))
    surprise = tail(np.sort(np.array([*values, 0.0, 2e9, np.inf])))
    assert np.isfinite(surprise).all()
    assert (np.diff(surprise) >= -1e-9).all()


@pytest.mark.parametrize("draw", ["exponential", "normal"])
def test_a_tail_is_right_about_new_normal_rows(draw: str) -> None:
    rng = np.random.default_rng(1)
    old, new = (np.abs(getattr(rng, draw)(size=20_000)) for _ in range(2))
    share = float((TailTable.fit(old)(new) > -np.log(0.01)).mean())
    assert 0.002 < share < 0.012


def test_two_per_cent_of_anomalies_in_the_reference_barely_move_the_tail() -> None:
    rng = np.random.default_rng(2)
    clean = rng.exponential(size=10_000)
    dirty = np.concatenate((clean, np.full(200, 40.0)))
    at = np.array([6.0])
    assert TailTable.fit(dirty)(at)[0] > 0.7 * TailTable.fit(clean)(at)[0]


@pytest.mark.parametrize("share", [0.15, 0.3])
def test_a_reference_full_of_far_anomalies_does_not_teach_that_they_are_normal(share: float) -> None:
    rng = np.random.default_rng(2)
    clean = rng.exponential(size=10_000)
    dirty = np.concatenate((clean, np.full(round(share / (1 - share) * 10_000), 40.0)))
    rows = np.array([6.0, 40.0])
    assert (TailTable.fit(dirty)(rows) > 0.6 * TailTable.fit(clean)(rows)).all()


def test_heavy_tails_alone_are_not_taken_for_anomalies() -> None:
    rng = np.random.default_rng(4)
    for clean in (rng.exponential(size=20_000), np.abs(rng.standard_t(3, 20_000))):
        tail = TailTable.fit(clean)
        assert tail.knots[-1] == pytest.approx(np.quantile(clean, 0.9), rel=1e-9)


def test_missing_is_no_surprise() -> None:
    assert TailTable.fit(np.array([1.0, 2.0, np.nan]))(np.array([np.nan]))[0] == 0
    assert TailTable.fit(np.array([np.nan]))(np.array([0.0]))[0] == 0


def test_tables_survive_json() -> None:
    rng = np.random.default_rng(0)
    raw = rng.random(500)
    for table in (ProbabilityTable.fit(raw, (raw > 0.7).astype(float)), TailTable.fit(raw)):
        again = type(table).from_state(json.loads(json.dumps(table.to_state())))
        assert np.array_equal(again(raw), table(raw))
