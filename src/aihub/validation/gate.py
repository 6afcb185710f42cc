"""Run the checks of a gate over a subject."""

from __future__ import annotations

import time
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from aihub.types import Outcome
from aihub.validation.checks import plugins
from aihub.validation.results import CheckResult, Finding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aihub.validation.checks.base import Check, Subject
    from aihub.validation.settings import CheckSettings, GateSettings


def run_checks(
    subject: Subject, settings: GateSettings, *, checks: Mapping[str, Check] | None = None
) -> tuple[CheckResult, ...]:
    """Run every check in `settings` over `subject`, in order.

    A check that raises is a failed check whose finding holds the error: it never counts as passed, and the others still
    run.

    Parameters
    ----------
    checks
        The checks by name; default all that are installed.
    """
    known = checks if checks is not None else {check.name: check for check in plugins().all()}
    return tuple(_run(known[chosen.name], subject, chosen) for chosen in settings.checks)


def _run(check: Check, subject: Subject, chosen: CheckSettings) -> CheckResult:
    started = time.perf_counter()
    try:
        with np.errstate(
            all="ignore"
        ):  # values near the end of the number range become infinite, which passes nothing
            result = check.run(subject, chosen.parameters, chosen.severity)
    except Exception as error:  # noqa: BLE001 - checks are plugins; one that breaks must fail, not stop the others
        result = _broken(check, chosen, error)
    return replace(result, duration_s=time.perf_counter() - started)


def _broken(check: Check, chosen: CheckSettings, error: Exception) -> CheckResult:
    message = f"{check.name} could not be run: {type(error).__name__}: {error}"
    return CheckResult(
        name=check.name,
        outcome=Outcome.FAILED,
        severity=chosen.severity,
        reason=check.reason,
        findings=(
            Finding(
                subject=check.name,
                outcome=Outcome.FAILED,
                message=message,
                next_step="Report this with the traceback in the JSON report, or switch the check off in the spec.",
                extra={"traceback": "".join(traceback.format_exception(error))},
            ),
        ),
        details={"failures": [message]},
    )
