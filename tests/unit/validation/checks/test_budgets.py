from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.types import ModelType, Outcome, Severity
from aihub.validation.checks import budgets, estimation, predictions
from aihub.validation.checks.base import Check, Subject

if TYPE_CHECKING:
    from aihub.validation.results import CheckResult

X = np.random.default_rng(0).normal(size=200)


class Slow:
    feature_names = ("x",)

    def predict(self, data: Any) -> np.ndarray:
        time.sleep(0.01)
        return np.asarray(data["x"], dtype=np.float64)


def run(checks: tuple[Check, ...], name: str, given: dict[str, Any], **fields: Any) -> CheckResult:
    (check,) = (c for c in checks if c.name == name)
    s = Subject(**{"model_type": ModelType.FORECAST, "features": {"x": X}, "y_pred": X, **fields})
    return check.run(s, {**check.parameters, **given}, Severity.FAIL)


def test_budgets_apply_only_where_they_are_set() -> None:
    assert run(budgets.CHECKS, "inference_latency", {}, predictor=Slow()).outcome is Outcome.SKIPPED
    assert run(budgets.CHECKS, "artifact_size", {}, artifact_size_bytes=10).outcome is Outcome.SKIPPED


def test_latency() -> None:
    slow = run(budgets.CHECKS, "inference_latency", {"max_ms": 1}, predictor=Slow())
    assert slow.outcome is Outcome.FAILED
    assert slow.findings[0].observed is not None
    assert float(slow.findings[0].observed) >= 10
    assert (
        run(budgets.CHECKS, "inference_latency", {"max_ms": 5000}, predictor=Slow()).outcome is Outcome.PASSED
    )
    assert run(budgets.CHECKS, "inference_latency", {"max_ms": 1}).outcome is Outcome.SKIPPED


def test_size() -> None:
    assert (
        run(budgets.CHECKS, "artifact_size", {"max_mb": 1}, artifact_size_bytes=2_000_000).outcome
        is Outcome.FAILED
    )
    assert (
        run(budgets.CHECKS, "artifact_size", {"max_mb": 2}, artifact_size_bytes=2_000_000).outcome
        is Outcome.PASSED
    )


def test_sensitivity_calls_the_model_twice_on_few_rows() -> None:
    assert run(predictions.CHECKS, "noise_sensitivity", {}, predictor=Slow()).outcome is Outcome.PASSED
    assert (
        run(predictions.CHECKS, "noise_sensitivity", {"max_ratio": 1e-6}, predictor=Slow()).outcome
        is Outcome.FAILED
    )


def test_an_estimate_is_marked_and_never_a_pass() -> None:
    found = run(estimation.CHECKS, "estimated_performance", {}, interval=(X - 1, X + 1, 0.9))
    assert found.outcome is Outcome.INCONCLUSIVE
    assert found.severity is Severity.INFO  # although it was run at severity fail
    assert "ESTIMATE" in found.findings[0].message
    assert found.details["estimate"] is True
    labelled = run(estimation.CHECKS, "estimated_performance", {}, interval=(X - 1, X + 1, 0.9), y_true=X)
    assert labelled.outcome is Outcome.SKIPPED
