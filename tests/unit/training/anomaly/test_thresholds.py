from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aihub.training.anomaly.thresholds import Threshold, choose_threshold, episodes

scored = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=2, max_size=80).filter(
    lambda rows: any(label for _, label in rows)
)
FEW, MANY = 0, 10**9


def _f1(score: np.ndarray, label: np.ndarray, value: float) -> float:
    alarm = score >= value
    return float(2 * (alarm & (label > 0)).sum() / (alarm.sum() + label.sum()))


@settings(max_examples=50, deadline=None)
@given(scored, st.sampled_from([FEW, 5, MANY]))
def test_reaches_the_best_f1_or_nearly(rows: list[tuple[float, int]], count: int) -> None:
    score, label = np.array(rows, dtype=np.float64).T
    best = max(_f1(score, label, value) for value in score)
    chosen = choose_threshold(score, label, episodes=count, precision_floor=0, recall_floor=0)
    assert _f1(score, label, chosen.value) >= best - 0.1 - 1e-9


@settings(max_examples=50, deadline=None)
@given(scored, st.sampled_from([FEW, 5, MANY]))
def test_keeps_the_floors_wherever_a_threshold_can(rows: list[tuple[float, int]], count: int) -> None:
    score, label = np.array(rows, dtype=np.float64).T
    chosen = choose_threshold(score, label, episodes=count)
    possible = any(
        label[score >= value].mean() >= 0.8 and label[score >= value].sum() >= 0.75 * label.sum()
        for value in score
    )
    assert possible == (chosen.rule == "floors")
    assert not possible or (chosen.precision >= 0.8 and chosen.recall >= 0.75)


@settings(max_examples=50, deadline=None)
@given(scored, st.sampled_from([FEW, 5, MANY]))
def test_reaches_what_it_says(rows: list[tuple[float, int]], count: int) -> None:
    score, label = np.array(rows, dtype=np.float64).T
    chosen = choose_threshold(score, label, episodes=count)
    alarm = score >= chosen.value
    assert label[alarm].mean() == pytest.approx(chosen.precision)
    assert label[alarm].sum() / label.sum() == pytest.approx(chosen.recall)


@pytest.mark.parametrize(("low", "high"), [(0.001, 0.3), (0.6, 0.999)])
def test_in_a_gap_many_episodes_take_the_middle_in_log_odds_and_few_the_side_of_even_odds(
    low: float, high: float
) -> None:
    score, label = np.array([low] * 90 + [high] * 10), np.array([0.0] * 90 + [1.0] * 10)
    middle, even = (choose_threshold(score, label, episodes=count).value for count in (MANY, FEW))
    odds = [np.log(p / (1 - p)) for p in (low, middle, high)]
    # The lower end of the range is the middle of the gap: nothing was seen below it.
    assert odds[1] == pytest.approx(0.25 * odds[0] + 0.75 * odds[2])
    assert abs(even - 0.5) < abs(middle - 0.5)
    assert low < even <= high


def test_anomalies_of_a_new_kind_below_those_that_were_seen_are_alarms() -> None:
    rng = np.random.default_rng(0)
    score = np.concatenate((rng.uniform(0, 0.01, 970), rng.uniform(0.8, 1, 30)))
    label = np.concatenate((np.zeros(970), np.ones(30)))
    assert choose_threshold(score, label, episodes=10).value < 0.75


def test_episodes_are_counted_within_each_series() -> None:
    label = np.array([1.0, 1, 1, 0, 0, 1])
    series = np.array(["a", "b", "a", "b", "a", "b"])
    assert episodes(label, series) == 3
    assert episodes(np.zeros(3), series[:3]) == 0


def test_survives_json() -> None:
    chosen = choose_threshold(np.array([0.1, 0.9]), np.array([0.0, 1.0]), episodes=1)
    assert Threshold.from_state(chosen.to_state()) == chosen
