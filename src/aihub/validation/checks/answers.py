"""The ways in which a check answers, and what several checks look at first."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.types import Outcome, Severity
from aihub.validation.results import CheckResult, Finding, worst

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from aihub.types import FloatArray
    from aihub.validation.checks.base import Subject

    Run = Callable[[Subject, Mapping[str, Any], Severity], CheckResult]

_RANK = (Severity.INFO, Severity.WARN, Severity.FAIL)


def quiet(run: Run) -> Run:
    """Let values near the end of the number range overflow to infinity without a warning: infinity passes nothing."""

    @functools.wraps(run)
    def silent(subject: Subject, parameters: Mapping[str, Any], severity: Severity) -> CheckResult:
        with np.errstate(all="ignore"):
            return run(subject, parameters, severity)

    return silent


def skipped(name: str, severity: Severity, reason: str) -> CheckResult:
    """Answer that the check does not apply."""
    return CheckResult(name=name, outcome=Outcome.SKIPPED, severity=severity, reason=reason)


def inconclusive(name: str, severity: Severity, subject: str, message: str, next_step: str) -> CheckResult:
    """Answer that nothing can be told from this data."""
    finding = Finding(subject=subject, outcome=Outcome.INCONCLUSIVE, message=message, next_step=next_step)
    return CheckResult(
        name=name, outcome=Outcome.INCONCLUSIVE, severity=severity, reason=message, findings=(finding,)
    )


def concluded(
    name: str,
    severity: Severity,
    reason: str,
    findings: Sequence[Finding],
    *,
    details: Mapping[str, Any] | None = None,
    plots: Mapping[str, Any] | None = None,
) -> CheckResult:
    """Answer with findings; the worst of them is the outcome."""
    return CheckResult(
        name=name,
        outcome=worst([f.outcome for f in findings]),
        severity=severity,
        reason=reason,
        findings=tuple(findings),
        details=details or {},
        plots=plots or {},
    )


def milder(severity: Severity, at_most: str | Severity) -> Severity:
    """Return the milder of two severities.

    >>> milder(Severity.FAIL, "warn")
    <Severity.WARN: 'warn'>
    """
    return min(severity, Severity(at_most), key=_RANK.index)


def number(value: float | np.floating[Any] | None) -> float | None:
    """Return a figure for the report: None where it is not a finite number.

    >>> number(float("nan")) is None, number(1.5)
    (True, 1.5)
    """
    return float(value) if value is not None and math.isfinite(value) else None


def within(mean: float, lower: float, upper: float, limit: float) -> Outcome:
    """Hold a mean with its confidence interval against ``[-limit, limit]``.

    Failed when the whole interval lies beyond; inconclusive when nothing is known or the interval is wider than the
    tolerance itself, so that a pass would say nothing.
    """
    if not math.isfinite(mean):
        return Outcome.INCONCLUSIVE
    if lower > limit or upper < -limit:
        return Outcome.FAILED
    return Outcome.PASSED if (upper - lower) / 2 <= limit else Outcome.INCONCLUSIVE


def sample_rows(n: int, most: int, seed: int) -> NDArray[np.intp] | slice:
    """Rows to look at: all of them, or about `most` drawn at random (seeded), in order."""
    if n <= most:
        return slice(None)
    drawn = np.sort(np.random.default_rng(seed).integers(0, n, size=most))
    return np.asarray(
        drawn[np.append(True, drawn[1:] != drawn[:-1])]
    )  # numpy's unique hashes, ten times slower


def labelled(subject: Subject) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]] | None:
    """Target, prediction and the rows where both are finite; None without a target of matching length."""
    if subject.y_true is None or len(subject.y_true) != subject.n:
        return None
    return subject.y_true, subject.y_pred, subject.usable


def time_order(subject: Subject, rows: NDArray[np.bool_] | slice) -> NDArray[Any] | None:
    """Timestamps of `rows` where the subject has any that fit."""
    if subject.timestamps is None or len(subject.timestamps) != subject.n:
        return None
    return subject.timestamps[rows]
