"""The report as JUnit XML, which every CI system shows: one suite per check, one test case per finding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aihub.types import Outcome, Severity
from aihub.validation.report.mapping import checks_of
from aihub.validation.report.markup import Markup, element
from aihub.validation.report.wording import figure, plain, sentence
from aihub.validation.results import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aihub.validation.results import CheckResult


def render_junit(report: Mapping[str, Any]) -> str:
    """Return the report as a JUnit XML document.

    The first test case is the gate itself, so that the document fails exactly when the gate does. A finding of a check
    at severity warn or info that did not pass is a passed case with the sentence in ``system-out``.
    """
    checks = checks_of(report)
    suites = [_gate(report), *(_suite(check) for check in checks)]
    tests, failures, skipped = (sum(counts) for counts in list(zip(*suites, strict=True))[1:])
    root = element(
        "testsuites",
        [suite[0] for suite in suites],
        name="aihub validation",
        tests=tests,
        failures=failures,
        errors=0,
        skipped=skipped,
        time=_seconds(sum(check.duration_s for check in checks)),
    )
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{root}\n'


def _gate(report: Mapping[str, Any]) -> tuple[Markup, int, int, int]:
    passed = bool(report.get("passed"))
    body = None
    if not passed:
        lines = list(report.get("failures", ())) or ["the gate did not pass"]
        body = element("failure", "; ".join(plain(line) for line in lines), message=lines[0], type="gate")
    name = f"{report.get('model_type', 'unknown')} model passes the gate"
    case = element("testcase", body, classname="aihub.gate", name=name, time="0.000")
    return _suite_element("gate", [case], 0 if passed else 1, 0, "0.000"), 1, 0 if passed else 1, 0


def _suite(check: CheckResult) -> tuple[Markup, int, int, int]:
    findings = check.findings or (Finding(subject=check.name, outcome=check.outcome, message=check.reason),)
    seconds = check.duration_s / len(findings)
    cases = [_case(check, finding, _seconds(seconds)) for finding in findings]
    failures = sum(1 for f in findings if _fails(check, f))
    skipped = sum(1 for f in findings if f.outcome is Outcome.SKIPPED)
    suite = _suite_element(check.name, cases, failures, skipped, _seconds(check.duration_s))
    return suite, len(cases), failures, skipped


def _suite_element(name: str, cases: list[Markup], failures: int, skipped: int, time: str) -> Markup:
    return element(
        "testsuite",
        cases,
        name=name,
        tests=len(cases),
        failures=failures,
        errors=0,
        skipped=skipped,
        time=time,
    )


def _fails(check: CheckResult, finding: Finding) -> bool:
    return check.severity is Severity.FAIL and finding.outcome in (Outcome.FAILED, Outcome.INCONCLUSIVE)


def _case(check: CheckResult, finding: Finding, time: str) -> Markup:
    return element(
        "testcase",
        _body(check, finding),
        classname=f"aihub.{plain(check.name)}",
        name=plain(finding.subject, 300),
        time=time,
    )


def _body(check: CheckResult, finding: Finding) -> Markup | None:
    said = sentence(finding)
    if finding.outcome is Outcome.SKIPPED:
        return element("skipped", message=said)
    if finding.outcome is Outcome.PASSED:
        return None
    advice = f"{said} Next: {plain(finding.next_step)}" if finding.next_step else said
    whole = f"{advice} (observed {figure(finding.observed)}, limit {figure(finding.limit)})"
    if _fails(check, finding):
        return element("failure", whole, message=said, type=str(finding.outcome))
    return element("system-out", f"{check.severity}: {whole}")


def _seconds(value: float) -> str:
    return f"{value:.3f}"
