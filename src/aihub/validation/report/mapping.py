"""Read the guide's plain results mapping as check results, so that one renderer serves both forms."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aihub.types import Outcome, Severity
from aihub.validation.results import CheckResult, Finding

if TYPE_CHECKING:
    from collections.abc import Iterator


def checks_of(report: Mapping[str, Any]) -> tuple[CheckResult, ...]:
    """Return the check results of a report, read from its mapping where it is a plain one."""
    if isinstance(found := getattr(report, "checks_run", None), tuple):
        return found
    checks = report.get("checks", {})
    return tuple(_check(name, details) for name, details in checks.items() if isinstance(details, Mapping))


def _check(name: str, details: Mapping[str, Any]) -> CheckResult:
    # A missing verdict is no pass: somebody may have built the mapping by hand.
    outcome = Outcome.PASSED if details.get("passed") is True else Outcome.FAILED
    return CheckResult(
        name=name,
        outcome=outcome,
        severity=Severity.FAIL,
        reason="read from the results",
        findings=tuple(_findings(details, outcome)),
        details=details,
    )


def _findings(details: Mapping[str, Any], outcome: Outcome) -> Iterator[Finding]:
    failures = [str(text) for text in details.get("failures", ())]
    for metric, value in _items(details.get("metrics")):
        told = next((text for text in failures if _names(text, metric)), "")
        yield _finding(metric, not told, value, told)
    for metric, numbers in _items(details.get("comparisons")):
        told = next((text for text in failures if _names(text, metric)), "")
        yield _finding(metric, bool(_get(numbers, "acceptable")), _get(numbers, "current"), told)
    for column, numbers in _items(details.get("drift_detected")):
        told = next((text for text in failures if _names(text, column)), "")
        yield _finding(column, not _get(numbers, "drift"), _get(numbers, "p_value"), told)
    for single in ("coefficient_of_variation", "outlier_percentage"):
        if single in details:
            yield _finding(single, outcome is Outcome.PASSED, details[single], " ".join(failures))


def _items(value: Any) -> list[tuple[str, Any]]:
    return [(str(key), item) for key, item in value.items()] if isinstance(value, Mapping) else []


def _get(numbers: Any, key: str) -> Any:
    return numbers.get(key) if isinstance(numbers, Mapping) else numbers


def _names(text: str, subject: str) -> bool:
    """Whether a failure speaks of `subject`: as a word of its own, whatever its case."""
    return re.search(rf"(?<!\w){re.escape(subject)}(?!\w)", text, re.IGNORECASE) is not None


def _finding(subject: str, passed: bool, observed: Any, message: str) -> Finding:  # noqa: FBT001 - read once, above
    return Finding(
        subject=subject,
        outcome=Outcome.PASSED if passed else Outcome.FAILED,
        observed=observed,
        message=message,
    )
