"""The performance that is likely where there are no labels; marked as an estimate, never a pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.types import ModelType, Outcome, Severity
from aihub.validation import estimation
from aihub.validation.checks.answers import concluded, number, quiet, skipped
from aihub.validation.checks.base import Check
from aihub.validation.results import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aihub.validation.checks.base import Subject
    from aihub.validation.results import CheckResult

NAME = "estimated_performance"
_REASON = (
    "ESTIMATE from the model's own uncertainty, without labels: blind to a change of the relation itself."
)


@quiet
def estimated_performance(
    subject: Subject,
    parameters: Mapping[str, Any],  # noqa: ARG001 - every check has the same shape
    severity: Severity,
) -> CheckResult:
    """Direct loss estimation where most rows have no target; severity info and outcome inconclusive, always."""
    severity = Severity.INFO
    if 2 * subject.target_moments.n > subject.n:
        return skipped(NAME, severity, "the rows have a target, so that the performance is measured")
    figures: dict[str, float] = {}
    if (
        subject.model_type is ModelType.ANOMALY
        and subject.score is not None
        and len(subject.score) == subject.n
    ):
        figures["precision"], figures["recall"] = estimation.expected_rates(subject.score, subject.y_pred)
    elif subject.interval is not None and len(subject.interval[0]) == len(subject.interval[1]):
        errors = estimation.expected_absolute_error(*subject.interval)
        known = errors[np.isfinite(errors)]
        figures["mae"] = float(known.mean()) if len(known) else float("nan")
    if not figures or not subject.n:
        return skipped(NAME, severity, "there is neither an interval nor a score to estimate from")
    findings = [
        Finding(
            subject=f"estimated {name}",
            outcome=Outcome.INCONCLUSIVE,
            observed=number(value),
            message=f"estimated {name}: {value:.4g} (an ESTIMATE without labels, not a measurement)",
            next_step="measure it when the labels arrive",
        )
        for name, value in figures.items()
    ]
    details = {"estimate": True, **{name: number(value) for name, value in figures.items()}}
    return concluded(NAME, severity, _REASON, findings, details=details)


CHECKS: tuple[Check, ...] = (
    Check(name=NAME, run=estimated_performance, reason=_REASON, severity=Severity.INFO),
)
