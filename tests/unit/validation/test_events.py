from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aihub.errors import DataError
from aihub.validation.events import (
    affiliation_precision_recall,
    event_metrics,
    range_precision_recall,
    segments,
)

flags = st.lists(st.integers(0, 1), min_size=1, max_size=60)
pairs = flags.flatmap(
    lambda t: st.tuples(st.just(t), st.lists(st.integers(0, 1), min_size=len(t), max_size=len(t)))
)


@given(flags)
def test_segments_cover_exactly_the_ones(values: list[int]) -> None:
    covered = np.zeros(len(values))
    for start, end in segments(values):
        assert end > start
        covered[start:end] += 1
    assert covered.tolist() == values


@given(flags, st.integers(1, 5))
def test_merged_segments_are_further_apart_than_the_gap(values: list[int], gap: int) -> None:
    found = segments(values, merge_gap=gap)
    assert (found[1:, 0] - found[:-1, 1] > gap).all()
    assert len(found) <= len(segments(values))
    assert bool(len(found)) == bool(sum(values))


@pytest.mark.parametrize("bad", [[0, 2], [0.0, math.nan], [0.5]])
def test_flags_other_than_zero_and_one_are_refused_with_their_row(bad: list[float]) -> None:
    with pytest.raises(DataError, match=f"row {len(bad)}"):
        segments(bad)


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(DataError, match="2 rows and y_pred 1"):
        range_precision_recall([0, 1], [1])


def test_range_recall_rewards_existence_and_charges_fragments() -> None:
    truth = [0, 1, 1, 1, 1, 0]
    assert range_precision_recall(truth, [0, 1, 0, 0, 1, 0], alpha=0.0) == (1.0, 0.25)
    assert range_precision_recall(truth, [0, 1, 0, 0, 1, 0], alpha=1.0) == (1.0, 1.0)


def test_front_bias_prefers_the_early_detection() -> None:
    truth = [1, 1, 1, 1]
    early = range_precision_recall(truth, [1, 0, 0, 0], alpha=0, bias="front")[1]
    late = range_precision_recall(truth, [0, 0, 0, 1], alpha=0, bias="front")[1]
    assert (early, late) == (0.4, 0.1)


@given(pairs)
def test_every_ratio_is_between_zero_and_one_or_has_no_basis(pair: tuple[list[int], list[int]]) -> None:
    truth, alarm = pair
    metrics = event_metrics(truth, alarm)
    for name in (
        "range_precision",
        "range_recall",
        "affiliation_precision",
        "affiliation_recall",
        "detected_share",
    ):
        value = getattr(metrics, name)
        basis = sum(truth) if "recall" in name or name == "detected_share" else sum(alarm)
        if name == "affiliation_precision":
            basis = sum(truth) and sum(alarm)
        assert math.isnan(value) == (not basis)
        assert math.isnan(value) or 0 <= value <= 1


@given(flags.filter(any))
def test_the_truth_itself_is_perfect(truth: list[int]) -> None:
    metrics = event_metrics(truth, truth)
    assert metrics.range_f1 == pytest.approx(1)
    assert metrics.affiliation_f1 == pytest.approx(1)
    assert metrics.false_alarms == 0


def _affiliation_by_definition(truth: np.ndarray, alarm: np.ndarray) -> tuple[float, float]:
    """The paper's definition, row by row."""
    events = segments(truth)
    rows = np.arange(len(truth))
    gaps = np.stack([np.maximum(np.maximum(a - rows, rows - b + 1), 0) for a, b in events])
    owner = gaps.argmin(axis=0)
    precision, recall = [], []
    for number, (start, end) in enumerate(events):
        zone = rows[owner == number]
        alarms = zone[alarm[zone] == 1]
        if not len(alarms):
            recall.append(0.0)
            continue
        own = gaps[number]
        precision.append(np.mean([np.mean(own[zone] >= own[a]) for a in alarms]))
        recall.append(
            np.mean([np.mean(np.abs(zone - y) >= np.abs(alarms - y).min()) for y in range(start, end)]),
        )
    return (float(np.mean(precision)) if precision else math.nan), float(np.mean(recall))


@settings(max_examples=200)
@given(pairs.filter(lambda p: any(p[0])))
def test_affiliation_agrees_with_the_definition(pair: tuple[list[int], list[int]]) -> None:
    truth, alarm = np.array(pair[0]), np.array(pair[1])
    assert affiliation_precision_recall(truth, alarm) == pytest.approx(
        _affiliation_by_definition(truth, alarm), nan_ok=True
    )


def test_random_alarms_have_chance_affiliation_and_no_credit_for_whole_events() -> None:
    rng = np.random.default_rng(0)
    truth = np.zeros(20_000)
    for start in range(500, 20_000, 1000):
        truth[start : start + 50] = 1
    metrics = event_metrics(truth, rng.random(20_000) < 0.05)
    assert 0.45 < metrics.affiliation_precision < 0.6
    assert metrics.range_f1 < 0.2


def test_delay_and_false_alarms_are_in_units_of_time() -> None:
    times = np.datetime64("2024-03-01") + np.arange(24 * 12 * 2) * np.timedelta64(5, "m")
    truth, alarm = np.zeros(len(times)), np.zeros(len(times))
    truth[100:112] = 1
    alarm[[103, 104, 300, 302]] = 1
    metrics = event_metrics(truth, alarm, timestamps=times, hold_off=1)
    assert metrics.delay_median_s == 900
    assert metrics.false_alarms == 1
    assert metrics.false_alarms_per_day == pytest.approx(1 / (564 / 288))


def test_rows_in_any_order_and_series_side_by_side() -> None:
    rng = np.random.default_rng(1)
    times = np.tile(np.datetime64("2024-03-01") + np.arange(200) * np.timedelta64(1, "h"), 2)
    series = np.repeat(["a", "b"], 200)
    truth, alarm = np.zeros(400), np.zeros(400)
    truth[190:210] = 1  # ends series a, and another event begins series b
    alarm[195:205] = 1
    metrics = event_metrics(truth, alarm, timestamps=times, series=series)
    assert metrics.events == 2
    assert metrics.alarms == 2
    order = rng.permutation(400)
    shuffled = event_metrics(truth[order], alarm[order], timestamps=times[order], series=series[order])
    assert shuffled.as_dict() == pytest.approx(metrics.as_dict())


def test_nothing_to_find_is_not_flattered() -> None:
    times = np.datetime64("2024-03-01") + np.arange(48) * np.timedelta64(1, "h")
    quiet = event_metrics(np.zeros(48), np.zeros(48), timestamps=times)
    assert math.isnan(quiet.range_f1)
    assert math.isnan(quiet.detected_share)
    assert quiet.false_alarms_per_day == 0
    missed = event_metrics(np.ones(48), np.zeros(48), timestamps=times)
    assert missed.range_f1 == 0
    assert missed.affiliation_f1 == 0
    assert math.isnan(missed.false_alarms_per_day)


def test_a_missing_time_is_refused_with_its_row() -> None:
    with pytest.raises(DataError, match="row 2"):
        event_metrics([0, 1], [0, 1], timestamps=["2024-01-01", "NaT"])
