from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sk

from aihub.validation.metrics import (
    ClassificationSums,
    RegressionSums,
    auc_roc,
    classification_metrics,
    is_lower_better,
    regression_metrics,
    seasonal_scale,
)

numbers = st.floats(-1e6, 1e6).map(lambda v: round(v, 3))
pairs = st.integers(2, 40).flatmap(
    lambda n: st.tuples(arrays(np.float64, n, elements=numbers), arrays(np.float64, n, elements=numbers))
)


@given(pairs)
def test_forecast_metrics_agree_with_scikit_learn(pair: Any) -> None:
    y, p = pair
    found = regression_metrics(y, p)
    assert found["mae"] == pytest.approx(sk.mean_absolute_error(y, p), abs=1e-6)
    assert found["rmse"] == pytest.approx(sk.root_mean_squared_error(y, p), rel=1e-6, abs=1e-6)
    if np.ptp(y) > 1e-2:
        assert found["r2_score"] == pytest.approx(sk.r2_score(y, p), rel=1e-6, abs=1e-6)
    if (y != 0).all():
        assert found["mape"] == pytest.approx(100 * sk.mean_absolute_percentage_error(y, p), rel=1e-9)


@given(pairs, st.integers(0, 40))
def test_sums_of_parts_add_up(pair: Any, cut: Any) -> None:
    y, p = pair
    whole = RegressionSums.of(y, p).metrics()
    parts = RegressionSums.of(y[:cut], p[:cut]).merge(RegressionSums.of(y[cut:], p[cut:])).metrics()
    assert parts == pytest.approx(whole, rel=1e-6, abs=1e-6, nan_ok=True)


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=60).filter(
        lambda rows: len({label for label, _ in rows}) == 2
    )
)
def test_auc_agrees_with_scikit_learn_also_with_ties(rows: Any) -> None:
    y = np.array([float(label) for label, _ in rows])
    score = np.array([float(s) for _, s in rows])
    truth = sk.roc_auc_score(y, score)
    assert auc_roc(y, score) == pytest.approx(truth)
    assert ClassificationSums.of(y, (score > 2).astype(float), score).metrics()["auc_roc"] == pytest.approx(
        truth
    )


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_scores_of_a_classifier_agree_with_scikit_learn(rows: Any) -> None:
    y, p = (np.array(side, dtype=float) for side in zip(*rows, strict=True))
    found = classification_metrics(y, p)
    if p.any():
        assert found["precision"] == pytest.approx(sk.precision_score(y, p))
    else:
        assert math.isnan(found["precision"])
    if y.any():
        assert found["recall"] == pytest.approx(sk.recall_score(y, p))
    if y.any() or p.any():
        assert found["f1_score"] == pytest.approx(sk.f1_score(y, p))
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(y, p))


def test_targets_of_zero_are_left_out_of_mape_and_counted() -> None:
    y, p = np.array([0.0, 100.0, 0.0]), np.array([5.0, 110.0, 0.0])
    assert regression_metrics(y, p)["mape"] == pytest.approx(10.0)
    assert RegressionSums.of(y, p).zeros == 2
    assert math.isnan(regression_metrics(np.zeros(3), np.ones(3))["mape"])


def test_a_constant_target_has_no_r2_even_where_the_forecast_is_right() -> None:
    found = regression_metrics(np.full(5, 7.0), np.full(5, 7.0))
    assert math.isnan(found["r2_score"])
    assert found["mae"] == 0.0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_one_bad_prediction_makes_every_metric_nan(bad: Any) -> None:
    y, p = np.array([1.0, 2.0, 3.0]), np.array([1.0, bad, 3.0])
    assert all(math.isnan(v) for v in regression_metrics(y, p).values())
    assert all(math.isnan(v) for v in classification_metrics(np.array([0.0, 1.0, 1.0]), p).values())


def test_rows_without_a_target_are_left_out_and_counted() -> None:
    y, p = np.array([1.0, math.nan, math.inf, 3.0]), np.array([2.0, 9.0, 9.0, 4.0])
    sums = RegressionSums.of(y, p)
    assert (sums.n, sums.excluded) == (2, 2)
    assert sums.metrics()["mae"] == 1.0


def test_nothing_gives_nothing() -> None:
    empty = np.array([])
    assert all(math.isnan(v) for v in regression_metrics(empty, empty).values())
    assert all(math.isnan(v) for v in classification_metrics(empty, empty).values())
    assert math.isnan(auc_roc(empty, empty))


def test_one_row_has_an_error_and_no_r2() -> None:
    found = regression_metrics(np.array([2.0]), np.array([3.0]))
    assert found["mae"] == found["rmse"] == 1.0
    assert math.isnan(found["r2_score"])


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_one_class_has_no_auc(label: Any) -> None:
    found = classification_metrics(np.full(4, label), np.array([0.0, 1.0, 0.0, 1.0]))
    assert math.isnan(found["auc_roc"])


def test_mase_and_skill_compare_with_the_seasonal_naive() -> None:
    y = np.tile([1.0, 3.0, 5.0], 4) + np.repeat([0.0, 1.0, 2.0, 3.0], 3)
    found = regression_metrics(y, y + 0.5, season=3)
    assert found["mase"] == pytest.approx(0.5)
    assert found["skill"] == pytest.approx(0.5)
    assert math.isnan(regression_metrics(np.ones(9), np.ones(9), season=3)["mase"])
    assert math.isnan(seasonal_scale(y, 50))


def test_the_seasonal_scale_stays_within_a_series_and_sorts_by_time() -> None:
    time = np.array([1, 0, 2, 1, 0, 2], dtype="datetime64[h]").astype("datetime64[us]")
    series = np.array(["a", "a", "a", "b", "b", "b"], dtype=object)
    y = np.array([11.0, 10.0, 12.0, 102.0, 100.0, 104.0])
    assert seasonal_scale(y, 1, timestamps=time, series=series) == pytest.approx((1 + 1 + 2 + 2) / 4)


def test_the_seasonal_scale_knows_that_a_row_is_missing() -> None:
    hours = np.delete(np.arange(96), 30)
    y = np.sin(hours / 24 * 2 * np.pi) + 5
    stamps = np.datetime64("2026-01-01", "us") + hours * np.timedelta64(1, "h")
    assert seasonal_scale(y, 24, timestamps=stamps) == pytest.approx(0, abs=1e-12)


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="2 targets but 3 predictions"):
        regression_metrics(np.ones(2), np.ones(3))


def test_directions() -> None:
    assert is_lower_better("mae")
    assert not is_lower_better("r2_score")
