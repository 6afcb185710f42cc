"""The guide's range check: the share of predictions far outside the range of the targets."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.types import ModelType, Outcome, Severity
from aihub.validation.checks.base import Check, Subject
from aihub.validation.profile import finite_moments
from aihub.validation.results import CheckResult, Finding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aihub.types import FloatArray
    from aihub.validation.profile import Moments

_REASON = "predictions should lie where the targets lie"


def outlier_share(values: FloatArray, y_true: FloatArray, outlier_threshold: float) -> float:
    """Percent of `values` more than `outlier_threshold` standard deviations of `y_true` from its mean.

    The scale is the targets' and not the predictions' own: deviations in units of a sample's own standard deviation can
    exceed 3 in at most 11.1 % of the sample (Chebyshev), however wild it is. A value that is NaN or infinite is an
    outlier. NaN without values or without a finite target.

    Examples
    --------
    >>> outlier_share(np.array([1.0, 2.0, 9.0, np.nan]), np.array([1.0, 2.0, 3.0]), 3.0)
    50.0
    """
    return _beyond(values, finite_moments(y_true), outlier_threshold)


def _beyond(values: FloatArray, moments: Moments, outlier_threshold: float) -> float:
    if not moments.n or not values.size:
        return math.nan
    reach = outlier_threshold * math.sqrt(moments.m2 / moments.n)
    near = np.count_nonzero((values >= moments.mean - reach) & (values <= moments.mean + reach))
    return 100.0 * (values.size - int(near)) / values.size


def range_result(
    y_true: FloatArray, y_pred: FloatArray, outlier_threshold: float, max_percent: float, severity: Severity
) -> CheckResult:
    """Hold the share of outlying predictions against `max_percent`; the guide asks for less than 5 %."""
    return _judged(y_pred, finite_moments(y_true), outlier_threshold, max_percent, severity)


def _judged(
    y_pred: FloatArray, target: Moments, outlier_threshold: float, max_percent: float, severity: Severity
) -> CheckResult:
    observed = _beyond(y_pred, target, outlier_threshold)
    is_finite = bool(np.isfinite(y_pred).all())
    passed = bool(observed < max_percent) and is_finite
    if passed:
        message = ""
    elif math.isnan(observed):
        message = "the range of the predictions cannot be judged: there is no prediction or no finite target"
    elif not is_finite:
        message = f"{np.count_nonzero(~np.isfinite(y_pred))} predictions are NaN or infinite, which no range contains"
    else:
        message = (
            f"{observed:.2f}% of the predictions are more than {outlier_threshold:g} standard deviations from the mean "
            f"target (less than {max_percent:g}% is acceptable)"
        )
    finding = Finding(
        subject="predictions",
        outcome=Outcome.PASSED if passed else Outcome.FAILED,
        observed=observed if math.isfinite(observed) else None,
        limit=max_percent,
        message=message,
        next_step="" if passed else "Look at the rows with the largest predictions, and at their features.",
    )
    return CheckResult(
        name="prediction_range",
        outcome=finding.outcome,
        severity=severity,
        reason=_REASON,
        findings=(finding,),
        details={
            "outlier_percentage": observed,
            "outlier_threshold": outlier_threshold,
            "failures": [message] if message else [],
        },
    )


def run_range(subject: Subject, parameters: Mapping[str, Any], severity: Severity) -> CheckResult:
    """Judge the predictions' range; only warn where the targets themselves break the rule. Skipped without labels."""
    if subject.y_true is None:
        return CheckResult(
            name="prediction_range",
            outcome=Outcome.SKIPPED,
            severity=severity,
            reason="the data has no labels, so the range of the targets is not known",
        )
    threshold, limit = parameters["outlier_threshold"], parameters["max_percent"]
    target = subject.target_moments
    if severity is Severity.FAIL and _beyond(subject.y_true, target, threshold) >= limit:
        severity = Severity(parameters["severity_if_target_varies"])
    return _judged(subject.y_pred, target, threshold, limit, severity)


CHECKS: tuple[Check, ...] = (
    Check(
        name="prediction_range",
        run=run_range,
        reason=_REASON,
        parameters={"outlier_threshold": 3.0, "max_percent": 5.0, "severity_if_target_varies": "warn"},
        severity={ModelType.FORECAST: Severity.FAIL, ModelType.ANOMALY: Severity.INFO},
    ),
)
