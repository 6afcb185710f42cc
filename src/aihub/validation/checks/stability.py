"""The guide's stability check: the coefficient of variation of the predictions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from aihub.types import ModelType, Outcome, Severity
from aihub.validation.checks.base import Check, Subject
from aihub.validation.profile import moments_of
from aihub.validation.results import CheckResult, Finding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aihub.types import FloatArray
    from aihub.validation.profile import Moments

_REASON = "predictions that vary far more than expected hint at a model that is not stable"


def coefficient_of_variation(values: FloatArray) -> float:
    """Divide the population standard deviation by the absolute mean.

    Infinite where the mean is zero and the values vary; NaN for no values, for values that are all zero and where any is
    NaN or infinite. It says nothing about quantities around zero.

    Examples
    --------
    >>> coefficient_of_variation(np.array([-90.0, -110.0]))
    0.1
    """
    return _variation(moments_of(values))


def _variation(moments: Moments | None) -> float:
    if moments is None or not moments.n:
        return math.nan
    mean, deviation = abs(moments.mean), math.sqrt(moments.m2 / moments.n)
    if mean == 0:
        return math.inf if deviation > 0 else math.nan
    return deviation / mean


def stability_result(predictions: FloatArray, cv_threshold: float, severity: Severity) -> CheckResult:
    """Hold the coefficient of variation against `cv_threshold`."""
    return _judged(coefficient_of_variation(predictions), cv_threshold, severity)


def _judged(observed: float, cv_threshold: float, severity: Severity) -> CheckResult:
    passed = bool(observed <= cv_threshold)
    if passed:
        message = ""
    elif math.isnan(observed):
        message = (
            "the coefficient of variation is not defined: predictions are missing, not finite or all zero"
        )
    else:
        message = f"the predictions' coefficient of variation {observed:.4f} is above {cv_threshold:g}"
    finding = Finding(
        subject="predictions",
        outcome=Outcome.PASSED if passed else Outcome.FAILED,
        observed=observed if math.isfinite(observed) else None,
        limit=cv_threshold,
        message=message,
        next_step="" if passed else "Raise cv_threshold where the quantity itself varies this much.",
    )
    return CheckResult(
        name="prediction_stability",
        outcome=finding.outcome,
        severity=severity,
        reason=_REASON,
        findings=(finding,),
        details={
            "coefficient_of_variation": observed,
            "cv_threshold": cv_threshold,
            "failures": [message] if message else [],
        },
    )


def run_stability(subject: Subject, parameters: Mapping[str, Any], severity: Severity) -> CheckResult:
    """Judge the predictions' variation; only warn where the target itself varies that much or crosses zero.

    There the figure says nothing about the model: a perfect photovoltaic forecast reaches 1.37.
    """
    threshold = parameters["cv_threshold"]
    target, answers = subject.target_moments, subject.answer_moments
    if target.n and severity is Severity.FAIL and _misleads(target, threshold):
        severity = Severity(parameters["severity_if_target_varies"])
    return _judged(_variation(answers if answers.n == subject.n else None), threshold, severity)


def _misleads(target: Moments, threshold: float) -> bool:
    return target.minimum < 0 < target.maximum or not _variation(target) <= threshold


CHECKS: tuple[Check, ...] = (
    Check(
        name="prediction_stability",
        run=run_stability,
        reason=_REASON,
        parameters={"cv_threshold": 0.5, "severity_if_target_varies": "warn"},
        severity={ModelType.FORECAST: Severity.FAIL, ModelType.ANOMALY: Severity.INFO},
    ),
)
