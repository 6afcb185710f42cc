"""The guide's text report, for terminals, logs and assertion messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aihub.types import Outcome, Severity
from aihub.validation.report.mapping import checks_of
from aihub.validation.report.wording import (
    GUIDE_METRICS,
    NOT_ENOUGH,
    TITLES,
    figure,
    mark,
    moment,
    plain,
    sentence,
    title,
    uncertainty,
    unlimited,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aihub.validation.results import CheckResult, Finding

WIDTH = 80
"""Characters of a rule."""

MAX_LINES = 40
"""Lines of a section before the passed ones are only counted; a table may have 10,000 columns."""


def render_text(report: Mapping[str, Any]) -> str:
    """Return the report as the guide prints it.

    Parameters
    ----------
    report
        A `ValidationReport`, or the plain results mapping of the guide.

    Returns
    -------
    str
        Lines without a final line feed. Nothing in it moves a terminal's cursor.
    """
    # A runner of GitHub would take this for a command, wherever in a line it stands.
    return "\n".join(_lines(report)).replace("##[", "## [")


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    checks = checks_of(report)
    yield from ("=" * WIDTH, "MODEL VALIDATION REPORT", "=" * WIDTH)
    yield f"Model Type: {plain(report.get('model_type', 'unknown'))}"
    yield f"Timestamp: {moment(report.get('validation_timestamp', 'unknown'))}"
    yield f"Overall Status: {'✓ PASSED' if report.get('passed') else '✗ FAILED'}"
    yield f"Validation Data Size: {plain(report.get('validation_data_size', 'unknown'))}"
    yield ""
    ran = [check for check in checks if check.outcome is not Outcome.SKIPPED]
    for check in ran:
        if not _is_brief(check):
            yield from _section(title(check.name), [*_check_lines(check), *_unlimited_lines(check)])
    if quiet := [_brief_line(check) for check in ran if _is_brief(check)]:
        yield from _section("FURTHER CHECKS", quiet)
    skipped = [f"  - {plain(c.name)}: {plain(c.reason)}" for c in checks if c.outcome is Outcome.SKIPPED]
    if skipped:
        yield from _section("NOT CHECKED", skipped)
    if notes := _notes(report):
        yield from _section("NOTES", notes)
    if warnings := _warnings(checks):
        yield from _section("WARNINGS", warnings)
    if not report.get("passed"):
        yield from _section("FAILURES", _failures(report, checks))
    yield "=" * WIDTH


def _section(name: str, lines: list[str]) -> Iterator[str]:
    yield from ("─" * WIDTH, name.lstrip(":# ") or "CHECK", "─" * WIDTH)
    yield from lines or ["  (nothing to show)"]
    yield ""


def _is_brief(check: CheckResult) -> bool:
    """Whether one line will do: a check beyond the guide's that passed and found one thing."""
    return check.name not in TITLES and check.outcome is Outcome.PASSED and len(check.findings) <= 1


def _brief_line(check: CheckResult) -> str:
    found = "".join(_finding_line(check, f).partition(": ")[2] for f in check.findings) or str(check.outcome)
    return f"  {mark(check.outcome)} {plain(check.name)}: {found}"


def _check_lines(check: CheckResult) -> list[str]:
    write = _WRITERS.get(check.name, _finding_line)
    bad = list(check.failures)
    good = [f for f in check.findings if f.outcome is Outcome.PASSED]
    if len(check.findings) <= MAX_LINES:
        lines = [write(check, f) for f in check.findings]
    else:
        lines = [write(check, f) for f in bad[:MAX_LINES]]
        hidden = len(bad) - len(lines)
        lines += [f"  … {hidden} more did not pass"] if hidden else []
        room = MAX_LINES - len(lines)
        lines += [write(check, f) for f in good[: max(room, 0)]]
        left = len(good) - max(room, 0)
        lines += [f"  … {left} more passed"] if left > 0 else []
    return lines or [f"  {mark(check.outcome, check.severity)} {words(check.outcome)}: {plain(check.reason)}"]


def _unlimited_lines(check: CheckResult) -> list[str]:
    metrics = unlimited(check)
    return [f"  - {name}: {figure(metrics[name])} (no limit)" for name in GUIDE_METRICS if name in metrics]


def _metric_line(check: CheckResult, finding: Finding) -> str:
    line = (
        f"  {mark(finding.outcome, check.severity)} {plain(finding.subject, 200)}: {figure(finding.observed)}"
    )
    if finding.outcome is Outcome.PASSED or finding.limit is None:
        return line
    return f"{line} (limit {figure(finding.limit)})"


def _comparison_line(check: CheckResult, finding: Finding) -> str:
    numbers = check.details.get("comparisons", {}).get(finding.subject)
    if not isinstance(numbers, Mapping) or "current" not in numbers:
        return _finding_line(check, finding)
    change = numbers.get("degradation_pct")
    change_text = f"{change:+.2f}%" if isinstance(change, int | float) else "change unknown"
    return (
        f"  {mark(finding.outcome, check.severity)} {plain(finding.subject, 200)}: "
        f"{figure(numbers['current'])} vs {figure(numbers.get('baseline'))} ({change_text})"
    )


def _finding_line(check: CheckResult, finding: Finding) -> str:
    line = f"  {mark(finding.outcome, check.severity)} {plain(finding.subject, 200)}: "
    if finding.observed is None:
        return line + (
            plain(finding.message).removeprefix(f"{plain(finding.subject)}: ") or words(finding.outcome)
        )
    # What is not known exactly is held against its limit with its interval: without that, a pass beside it looks wrong.
    said = [f"limit {figure(finding.limit)}"] if finding.limit is not None else []
    held = f" ({'; '.join([*said, *uncertainty(finding)])})" if said else ""
    verdict = "" if finding.outcome in (Outcome.PASSED, Outcome.FAILED) else f" {words(finding.outcome)}"
    return f"{line}{figure(finding.observed)}{held}{verdict}"


def _drift_line(check: CheckResult, finding: Finding) -> str:
    numbers = check.details.get("drift_detected", {}).get(finding.subject)
    if not isinstance(numbers, Mapping) or "z_score" not in numbers:
        return _finding_line(check, finding)
    verdict = "drift" if numbers.get("drift") else "no drift"
    if finding.outcome is Outcome.INCONCLUSIVE:
        verdict = NOT_ENOUGH
    return (
        f"  {mark(finding.outcome, check.severity)} {plain(finding.subject, 200)}: {verdict} "
        f"(p = {figure(numbers.get('p_value'))}, z = {figure(numbers.get('z_score'))})"
    )


_WRITERS = {"performance": _metric_line, "baseline_comparison": _comparison_line, "data_drift": _drift_line}


def _notes(report: Mapping[str, Any]) -> list[str]:
    notes = getattr(report, "context", {}).get("notes", ())
    texts = [note.get("message", "") if isinstance(note, Mapping) else note for note in notes]
    return [f"  i {plain(text)}" for text in texts[:MAX_LINES] if text]


def _warnings(checks: tuple[CheckResult, ...]) -> list[str]:
    found = [f for c in checks if c.severity is Severity.WARN for f in c.failures]
    return _advice("!", found)


def _failures(report: Mapping[str, Any], checks: tuple[CheckResult, ...]) -> list[str]:
    found = [f for c in checks if not c.lets_through for f in c.failures]
    lines = _advice("✗", found)
    said = {plain(f.message) for f in found}
    others = [text for text in map(plain, report.get("failures", ())) if text not in said]
    if found and hasattr(report, "checks_run"):
        return lines  # every sentence of `failures` comes from these findings
    return lines + [f"  ✗ {text}" for text in others[:MAX_LINES]]


def _advice(sign: str, findings: list[Finding]) -> list[str]:
    lines: list[str] = []
    for finding in findings[:MAX_LINES]:
        lines.append(f"  {sign} {sentence(finding)}")
        if finding.next_step:
            lines.append(f"    Next: {plain(finding.next_step)}")
    if len(findings) > MAX_LINES:
        lines.append(f"  … {len(findings) - MAX_LINES} more")
    return lines
