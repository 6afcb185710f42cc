"""The guide's drift check from means and standard deviations, for when no profile of the training data was kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aihub.types import Outcome, Severity
from aihub.validation.checks.base import Check, Subject
from aihub.validation.drift.moments import mean_std_drift
from aihub.validation.results import CheckResult, Finding, worst

if TYPE_CHECKING:
    from collections.abc import Mapping

_REASON = "a model answers for data like that it was trained on"


def mean_drift_result(
    data: Mapping[str, Any],
    training_stats: Mapping[str, Mapping[str, float]],
    threshold: float,
    severity: Severity,
) -> CheckResult:
    """Run the z-test of `aihub.validation.drift.moments` on every column of `training_stats`."""
    found = mean_std_drift(data, training_stats, threshold)
    findings = tuple(_finding(name, one, threshold) for name, one in found.items())
    return CheckResult(
        name="data_drift",
        outcome=worst([f.outcome for f in findings]),
        severity=severity,
        reason=_REASON,
        findings=findings,
        details={
            "drift_detected": {name: {**one, "verdict": str(one["verdict"])} for name, one in found.items()},
            "threshold": threshold,
            "failures": [f.message for f in findings if f.message],
        },
    )


def _finding(name: str, one: Mapping[str, Any], threshold: float) -> Finding:
    if one["drift"] is False:
        return Finding(subject=name, outcome=Outcome.PASSED, observed=one["p_value"], limit=threshold)
    if one["drift"] is None:
        outcome, message = Outcome.INCONCLUSIVE, f"drift of {name} cannot be judged: {one['reason']}"
    elif one["reason"]:
        outcome, message = Outcome.FAILED, f"{name} drifted: {one['reason']}"
    else:
        outcome = Outcome.FAILED
        message = (
            f"the mean of {name} drifted (z = {one['z_score']:.2f}, p = {one['p_value']:.3g} < {threshold:g})"
        )
    return Finding(
        subject=name,
        outcome=outcome,
        observed=one["p_value"],
        limit=threshold,
        message=message,
        next_step="Give a training profile: its test is not misled by the season or by many rows.",
    )


def run_mean_drift(subject: Subject, parameters: Mapping[str, Any], severity: Severity) -> CheckResult:
    """Compare with the subject's `training_stats`; skipped without them."""
    if not subject.training_stats:
        return CheckResult(
            name="data_drift",
            outcome=Outcome.SKIPPED,
            severity=severity,
            reason="no training profile and no training statistics were given",
        )
    return mean_drift_result(subject.features, subject.training_stats, parameters["threshold"], severity)


MEAN_DRIFT = Check(
    name="data_drift",
    run=run_mean_drift,
    reason=_REASON,
    parameters={"threshold": 0.05},
    severity=Severity.FAIL,
)
