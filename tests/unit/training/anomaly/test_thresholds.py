from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from aihub.training.anomaly.thresholds import Threshold, choose_threshold

scored = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=2, max_size=80).filter(
    lambda rows: any(label for _, label in rows)
)


def _f1(score: np.ndarray, label: np.ndarray, value: float) -> float:
    alarm = score >= value
    return float(2 * (alarm & (label > 0)).sum() / (alarm.sum() + label.sum()))


@settings(max_examples=50, deadline=None)
@given(scored)
def test_reaches_the_best_f1_or_nearly(rows: list[tuple[float, int]]) -> None:
    score, label = np.array(rows, dtype=np.float64).T
    best = max(_f1(score, label, value) for value in score)
    chosen = choose_threshold(score, label, precision_floor=0, recall_floor=0)
    reached = 2 * chosen.precision * chosen.recall / max(chosen.precision + chosen.recall, 1e-12)
    assert reached >= best - 0.021


@settings(max_examples=50, deadline=None)
@given(scored)
def test_keeps_the_floors_wherever_a_threshold_can(rows: list[tuple[float, int]]) -> None:
    score, label = np.array(rows, dtype=np.float64).T
    chosen = choose_threshold(score, label)
    possible = any(
        label[score >= value].mean() >= 0.8 and label[score >= value].sum() >= 0.75 * label.sum()
        for value in score
    )
    assert possible == (chosen.rule == "floors")
    assert not possible or (chosen.precision >= 0.8 and chosen.recall >= 0.75)


def test_on_a_plateau_the_middle_is_taken() -> None:
    score = np.concatenate((np.linspace(0, 0.05, 95), [0.4, 0.6, 0.99, 0.995, 0.999]))
    label = np.concatenate((np.zeros(95), np.ones(5)))
    assert 0.05 < choose_threshold(score, label).value < 0.6


def test_survives_json() -> None:
    chosen = choose_threshold(np.array([0.1, 0.9]), np.array([0.0, 1.0]))
    assert Threshold.from_state(chosen.to_state()) == chosen
