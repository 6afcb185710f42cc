"""The guide's drift check from means and standard deviations, for when no profile of the training data was kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aihub.types import Outcome
from aihub.validation.drift.moments import mean_std_drift
from aihub.validation.results import CheckResult, Finding, worst

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aihub.types import Severity

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
