"""Budgets for time and size; they apply only where somebody set one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.types import Outcome, Severity
from aihub.validation.checks.answers import concluded, inconclusive, quiet, skipped
from aihub.validation.checks.base import Check
from aihub.validation.results import Finding
from aihub.validation.sensitivity import UnusableError, first_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aihub.validation.checks.base import Subject
    from aihub.validation.results import CheckResult

LATENCY = "inference_latency"
SIZE = "artifact_size"
_LATENCY_REASON = "A model that answers too late is no use, however accurate it is."
_SIZE_REASON = "Large artefacts make deployment and rollback slow."


@quiet
def inference_latency(subject: Subject, parameters: Mapping[str, Any], severity: Severity) -> CheckResult:
    """Median wall time of `repeats` calls for a batch of `rows` rows, after one call to warm up."""
    budget = parameters["max_ms"]
    if budget is None:
        return skipped(LATENCY, severity, "no latency budget is set (max_ms)")
    if subject.predictor is None:
        return skipped(LATENCY, severity, "the model itself is not at hand")
    try:
        table = first_rows(subject, int(parameters["rows"]))
        durations = []
        for _ in range(int(parameters["repeats"]) + 1):
            started = time.perf_counter()
            subject.predictor.predict(table)
            durations.append(time.perf_counter() - started)
    except UnusableError as error:
        return skipped(LATENCY, severity, str(error))
    except Exception as error:  # noqa: BLE001 - a model is third-party code; that it fails here is the finding
        return inconclusive(
            LATENCY,
            severity,
            "latency",
            f"latency: the model does not predict a batch ({error})",
            "fix the model",
        )
    observed = float(np.median(durations[1:])) * 1000
    return _budget(LATENCY, severity, _LATENCY_REASON, observed=observed, limit=float(budget), unit="ms")


@quiet
def artifact_size(subject: Subject, parameters: Mapping[str, Any], severity: Severity) -> CheckResult:
    """Size of the artefact in megabytes (10^6 bytes) against the budget."""
    budget = parameters["max_mb"]
    if budget is None:
        return skipped(SIZE, severity, "no size budget is set (max_mb)")
    if subject.artifact_size_bytes is None:
        return skipped(SIZE, severity, "the artefact's size is not known")
    return _budget(
        SIZE,
        severity,
        _SIZE_REASON,
        observed=subject.artifact_size_bytes / 1e6,
        limit=float(budget),
        unit="MB",
    )


def _budget(
    name: str, severity: Severity, reason: str, *, observed: float, limit: float, unit: str
) -> CheckResult:
    passed = observed <= limit
    what = name.replace("_", " ")
    finding = Finding(
        subject=what,
        outcome=Outcome.PASSED if passed else Outcome.FAILED,
        observed=observed,
        limit=limit,
        message=f"{what}: {observed:.3g} {unit}, {'within' if passed else 'above'} the budget of {limit:.3g} {unit}",
        next_step="" if passed else "use fewer or smaller trees, or raise the budget",
    )
    return concluded(name, severity, reason, [finding], details={"observed": observed, "unit": unit})


CHECKS: tuple[Check, ...] = (
    Check(
        name=LATENCY,
        run=inference_latency,
        reason=_LATENCY_REASON,
        parameters={"max_ms": None, "rows": 24, "repeats": 5},
        severity=Severity.FAIL,
    ),
    Check(
        name=SIZE,
        run=artifact_size,
        reason=_SIZE_REASON,
        parameters={"max_mb": None},
        severity=Severity.FAIL,
    ),
)
