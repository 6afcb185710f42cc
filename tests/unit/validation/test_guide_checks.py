"""The per-check methods of the guide, called as it shows them."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aihub.errors import DataError
from aihub.validation.validator import ModelValidator

FORMS = [np.array, pd.Series, pl.Series, list]
forecast = ModelValidator("forecast")
STATS = {"temperature": {"mean": 20.0, "std": 5.0}, "humidity": {"mean": 60.0, "std": 10.0}}


@pytest.mark.parametrize("form", FORMS)
def test_performance(form: Any) -> None:
    y = [100.0, 200.0, 300.0, 400.0]
    found = forecast.check_performance(form(y), form([v + 10 for v in y]))
    assert found["passed"] is True
    assert found["metrics"]["mae"] == 10.0
    assert found["failures"] == []
    assert json.dumps(found)
    bad = forecast.check_performance(form(y), form([v + 60 for v in y]))
    assert bad["passed"] is False
    assert any("mae 60.0000 is above the maximum of 50.0000" in f for f in bad["failures"])


@pytest.mark.parametrize("metric", ["mae", "rmse", "mape"])
def test_a_limit_itself_is_allowed(metric: str) -> None:
    y, p = np.array([100.0, 100.0]), np.array([110.0, 110.0])
    thresholds: dict[str, Any] = dict.fromkeys(("mae", "rmse", "mape", "r2_score"))
    assert (
        ModelValidator("forecast", {**thresholds, metric: {"max": 10.0}}).check_performance(y, p)["passed"]
        is True
    )
    assert (
        ModelValidator("forecast", {**thresholds, metric: {"max": 9.99}}).check_performance(y, p)["passed"]
        is False
    )


def test_performance_refuses_lengths_that_differ() -> None:
    with pytest.raises(DataError, match="2 targets but 3 predictions"):
        forecast.check_performance([1, 2], [1, 2, 3])


def test_performance_of_nothing_is_not_passed() -> None:
    assert forecast.check_performance([], [])["passed"] is False
    assert ModelValidator("anomaly").check_performance([1, 1], [1, 1])["passed"] is False  # one class: no AUC


def test_baseline_comparison() -> None:
    found = forecast.check_baseline_comparison(
        {"mae": 38.5, "rmse": 52.3, "r2_score": 0.8}, {"mae": 45.0, "rmse": 65.0, "r2_score": 0.9}
    )
    mae = found["comparisons"]["mae"]
    assert (mae["current"], mae["baseline"], mae["acceptable"]) == (38.5, 45.0, True)
    assert mae["degradation_pct"] == pytest.approx(-14.44, abs=0.01)
    assert found["comparisons"]["rmse"]["degradation_pct"] == pytest.approx(-19.54, abs=0.01)
    assert found["comparisons"]["r2_score"]["degradation_pct"] == pytest.approx(11.11, abs=0.01)
    assert found["comparisons"]["r2_score"]["acceptable"] is False
    assert found["passed"] is False


@given(st.floats(0.01, 1e6), st.floats(0, 0.5))
def test_exactly_the_tolerance_is_acceptable(baseline: float, tolerance: float) -> None:
    found = forecast.check_baseline_comparison(
        {"mae": baseline * (1 + tolerance)}, {"mae": baseline}, tolerance
    )
    assert found["passed"] is True
    worse = forecast.check_baseline_comparison(
        {"mae": baseline * (1.001 + tolerance)}, {"mae": baseline}, tolerance
    )
    assert worse["passed"] is False


@pytest.mark.parametrize(
    ("current", "baseline", "passed"),
    [
        ({"mae": math.nan}, {"mae": 1.0}, False),
        ({"mae": 1.0}, {"mae": math.nan}, False),
        ({"mae": 0.0}, {"mae": 0.0}, True),
        ({"mae": 0.1}, {"mae": 0.0}, False),
        ({"r2_score": -0.5}, {"r2_score": -0.6}, True),
        ({"r2_score": -0.7}, {"r2_score": -0.6}, False),
        ({"bias": -5.0}, {"bias": 5.0}, True),
        ({"bias": -6.0}, {"bias": 5.0}, False),
        ({"mae": 1.0}, {"training_seconds": 3.0}, False),
        ({"mae": 1.0}, {"mae": 1.0, "training_seconds": 3.0}, True),
    ],
)
def test_baselines_at_the_edge(current: Any, baseline: Any, passed: bool) -> None:  # noqa: FBT001 - a table of cases
    found = forecast.check_baseline_comparison(current, baseline)
    assert found["passed"] is passed
    assert bool(found["failures"]) is not passed


@pytest.mark.parametrize("form", [pd.DataFrame, pl.DataFrame, dict])
def test_data_drift(form: Any) -> None:
    rng = np.random.default_rng(0)
    data = {"temperature": rng.normal(20, 5, 400), "humidity": rng.normal(64, 10, 400), "more": np.ones(400)}
    found = forecast.check_data_drift(form(data), STATS)
    assert found["passed"] is False
    assert found["drift_detected"]["temperature"]["drift"] is False
    humidity = found["drift_detected"]["humidity"]
    assert humidity["drift"] is True
    assert humidity["p_value"] < 0.05
    assert humidity["z_score"] == pytest.approx(0.4 * 20, abs=1.5)
    assert set(found["drift_detected"]) == set(STATS)
    assert json.dumps(found)


@pytest.mark.parametrize(
    ("data", "stats"),
    [
        ({"y": [1.0]}, {"mean": 1.0, "std": 1.0}),
        ({"x": [math.nan, math.nan]}, {"mean": 1.0, "std": 1.0}),
        ({"x": [1.0]}, {"mean": math.nan, "std": 1.0}),
        ({"x": [1.0]}, {"mean": 1.0}),
        ({"x": [2.0]}, {"mean": 1.0, "std": 0.0}),
        ({"x": ["a"]}, {"mean": 1.0, "std": 1.0}),
    ],
    ids=["missing", "empty", "NaN mean", "no std", "std of zero", "text"],
)
def test_drift_that_cannot_be_excluded_is_not_passed(data: Any, stats: Any) -> None:
    assert forecast.check_data_drift(data, {"x": stats})["passed"] is False


def test_a_constant_that_stays_is_no_drift() -> None:
    assert forecast.check_data_drift({"x": [2.0, 2.0]}, {"x": {"mean": 2.0, "std": 0.0}})["passed"] is True


@pytest.mark.parametrize("form", FORMS)
def test_prediction_stability(form: Any) -> None:
    found = forecast.check_prediction_stability(form([90.0, 100.0, 110.0]))
    assert found["passed"] is True
    assert found["coefficient_of_variation"] == pytest.approx(np.std([90, 100, 110]) / 100)
    assert (
        forecast.check_prediction_stability(form([90.0, 100.0, 110.0]), cv_threshold=0.05)["passed"] is False
    )


@pytest.mark.parametrize(
    ("values", "cv", "passed"),
    [
        ([-90.0, -100.0, -110.0], 0.0816, True),
        ([-1.0, 1.0], math.inf, False),
        ([0.0, 0.0], math.nan, False),
        ([5.0, 5.0], 0.0, True),
        ([5.0], 0.0, True),
        ([], math.nan, False),
        ([1.0, math.nan], math.nan, False),
        ([1.0, math.inf], math.nan, False),
    ],
    ids=["negative mean", "zero mean", "all zero", "constant", "one", "none", "NaN", "infinite"],
)
def test_variation_at_the_edge(values: list[float], cv: float, passed: bool) -> None:  # noqa: FBT001 - as above
    found = forecast.check_prediction_stability(values)
    assert found["coefficient_of_variation"] == pytest.approx(cv, abs=1e-4, nan_ok=True)
    assert found["passed"] is passed


def test_prediction_range() -> None:
    y = np.random.default_rng(0).normal(1000, 100, 1000)
    assert forecast.check_prediction_range(y, y)["outlier_percentage"] < 1
    assert forecast.check_prediction_range(y, y)["passed"] is True
    spiked = np.where(np.arange(1000) % 8 == 0, y * 10, y)  # 12.5 % of the predictions ten times too large
    found = forecast.check_prediction_range(y, spiked)
    assert found["passed"] is False
    assert found["outlier_percentage"] == pytest.approx(12.5, abs=1)
    assert forecast.check_prediction_range(y, y, outlier_threshold=1.0)["passed"] is False


@pytest.mark.parametrize(
    ("y_true", "y_pred", "passed"),
    [
        ([1.0, 2.0, 3.0], [1.0, 2.0, math.nan], False),
        ([1.0, 2.0, 3.0], [1.0, 2.0, math.inf], False),
        ([1.0] * 3, [1.0] * 3, True),
        ([1.0] * 3, [1.0, 1.0, 1.1], False),
        ([math.nan] * 3, [1.0] * 3, False),
        ([], [], False),
    ],
    ids=["NaN", "infinite", "constant", "off a constant", "no target", "none"],
)
def test_ranges_at_the_edge(y_true: list[float], y_pred: list[float], passed: bool) -> None:  # noqa: FBT001 - as above
    assert forecast.check_prediction_range(y_true, y_pred)["passed"] is passed


def test_one_bad_prediction_in_a_thousand_is_still_a_failure() -> None:
    y = np.random.default_rng(0).normal(1000, 100, 1000)
    assert forecast.check_prediction_range(y, np.where(np.arange(1000) == 3, np.nan, y))["passed"] is False
