"""Whether the model keeps what the previous one reached: the guide's comparison of metrics within a tolerance."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from aihub.types import Outcome, Severity
from aihub.validation.checks.base import Check, Subject
from aihub.validation.checks.performance import measure
from aihub.validation.metrics import is_lower_better
from aihub.validation.results import CheckResult, Finding, worst

if TYPE_CHECKING:
    from collections.abc import Mapping

_REASON = "a new model must not be worse than the one before it"
_ROUNDING = 1e-9  # a degradation of exactly the tolerance is acceptable in spite of binary fractions


def compare(
    current: Mapping[str, float], baseline: Mapping[str, float], tolerance: float
) -> dict[str, dict[str, Any]]:
    """Compare the metrics that both name.

    Parameters
    ----------
    current, baseline
        Metrics by name; those of only one side are left out.
    tolerance
        Acceptable degradation as a share of the baseline: 0.05 is 5 %.

    Returns
    -------
    dict
        Per metric: current, baseline, degradation_pct (positive is worse, whichever way the metric runs; infinite where
        the baseline is zero and the metric got worse), acceptable (never where either side is NaN or the current one infinite).

    Examples
    --------
    >>> compare({"mae": 38.5}, {"mae": 45.0}, 0.05)["mae"]["degradation_pct"]
    -14.444444444444445
    """
    found = {}
    for name in (n for n in baseline if n in current):
        now, before = float(current[name]), float(baseline[name])
        if name == "bias":  # its best value is zero, from both sides
            now, before = abs(now), abs(before)
        worse = now - before if is_lower_better(name) else before - now
        if before:
            percent = 100.0 * worse / abs(before)
        else:
            percent = math.copysign(math.inf, worse) if worse else worse
        found[name] = {
            "current": now,
            "baseline": before,
            "degradation_pct": percent,
            "acceptable": math.isfinite(now) and bool(percent <= 100.0 * tolerance + _ROUNDING),
        }
    return found


def run_baseline(subject: Subject, parameters: Mapping[str, Any], severity: Severity) -> CheckResult:
    """Compare the subject's metrics with `baseline_metrics`; skipped without them or without labels."""
    if not subject.baseline_metrics or subject.y_true is None:
        missing = "the previous model's metrics were" if subject.y_true is not None else "labels were"
        return CheckResult(
            name="baseline_comparison",
            outcome=Outcome.SKIPPED,
            severity=severity,
            reason=f"{missing} not given, so there is nothing to compare",
        )
    return baseline_result(measure(subject)[0], subject.baseline_metrics, parameters["tolerance"], severity)


def baseline_result(
    current: Mapping[str, float], baseline: Mapping[str, float], tolerance: float, severity: Severity
) -> CheckResult:
    """Compare two sets of metrics; nothing in common is a failure, because nothing was shown."""
    comparisons = compare(current, baseline, tolerance)
    findings = [_finding(name, c, tolerance) for name, c in comparisons.items()]
    ignored = [name for name in baseline if name not in comparisons]
    if not comparisons:
        findings.append(
            Finding(
                subject="metrics",
                outcome=Outcome.FAILED,
                message=f"no baseline metric is among the computed ones; given: {', '.join(ignored) or 'none'}",
                next_step=f"Name the baseline's metrics like these: {', '.join(current)}.",
            )
        )
    return CheckResult(
        name="baseline_comparison",
        outcome=worst([f.outcome for f in findings]),
        severity=severity,
        reason=_REASON,
        findings=tuple(findings),
        details={
            "comparisons": comparisons,
            "tolerance": tolerance,
            "ignored": ignored,
            "failures": [f.message for f in findings if f.outcome is Outcome.FAILED],
        },
    )


def _finding(name: str, comparison: Mapping[str, Any], tolerance: float) -> Finding:
    now, before, percent = (comparison[key] for key in ("current", "baseline", "degradation_pct"))
    passed = comparison["acceptable"]
    if passed:
        message = ""
    elif math.isnan(percent) or not math.isfinite(now):
        message = f"{name} {now:.4f} cannot be compared with the baseline {before:.4f}"
    else:
        message = f"{name} {now:.4f} is {percent:.2f}% worse than the baseline {before:.4f} (tolerance {tolerance:.0%})"
    return Finding(
        subject=name,
        outcome=Outcome.PASSED if passed else Outcome.FAILED,
        observed=now if math.isfinite(now) else None,
        limit=before if math.isfinite(before) else None,
        message=message,
        next_step=""
        if passed
        else "Compare on the same rows with the previous model as champion: that test is sharper.",
        extra={"degradation_pct": percent if math.isfinite(percent) else None},
    )


CHECKS: tuple[Check, ...] = (
    Check(
        name="baseline_comparison",
        run=run_baseline,
        reason=_REASON,
        parameters={"tolerance": 0.05},
        severity=Severity.FAIL,
    ),
)
