"""The report as GitHub Markdown for a pull-request comment or a step summary: the verdict first, the rest folded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from aihub.types import Outcome, Severity
from aihub.validation.report.mapping import checks_of
from aihub.validation.report.wording import (
    brief,
    heading,
    margin,
    margin_text,
    moment,
    plain,
    sentence,
    state,
    unlimited,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aihub.validation.results import CheckResult, Finding

MARKER = "<!-- aihub:validation-report -->"
"""First line of the comment: who updates a comment finds the earlier one by it."""

MAX_BYTES = 60_000
"""GitHub refuses a comment over 65,536 characters."""

MAX_FAILURES = 12
MAX_METRICS = 10
_ICONS = {"passed": "✅", "failed": "❌", "inconclusive": "❔", "skipped": "➖", "warning": "⚠️", "noted": "ℹ️"}  # noqa: RUF001 - the sign itself
_SPECIAL = re.compile(r"(^[-+]|[\\`*_{}\[\]<>#!|~$^&])")
_LINKS = re.compile(r"@|://|www\.|\b(?=gh-\d)", re.IGNORECASE)
_GAP = "\u200b"  # no width: breaks what GitHub would make a mention or a link of, and reads the same


def render_markdown(report: Mapping[str, Any], *, report_url: str | None = None) -> str:
    """Return the report as Markdown, at most `MAX_BYTES` long.

    Parameters
    ----------
    report
        The report or the guide's mapping.
    report_url
        Where the full HTML report can be read.
    """
    checks = checks_of(report)
    parts = [MARKER, _verdict(report), _summary(report, checks), *_advice(report, checks)]
    parts += [_metrics(checks), _folded("All checks", _check_table(checks))]
    if report_url:
        parts.append(f"[Full report]({_url(report_url)})")
    text = "\n\n".join(part for part in parts if part) + "\n"
    return text if len(text.encode(errors="replace")) <= MAX_BYTES else _shortened(parts)


def escaped(value: object, limit: int = 300) -> str:
    r"""Return text that Markdown shows as it is: no markup, no HTML, no mention, no link.

    >>> escaped("a|b <img> `c`")
    'a\\|b \\<img\\> \\`c\\`'
    """
    return _LINKS.sub(
        lambda m: m[0][:1] + _GAP + m[0][1:], _SPECIAL.sub(r"\\\1", plain(value, limit))
    ).replace("\\#", f"\\#{_GAP}")


def _verdict(report: Mapping[str, Any]) -> str:
    name = escaped(PurePath(str(report.get("model_path", ""))).name or "model", 100)
    word = "✅ Gate passed" if report.get("passed") else "❌ Gate failed"
    return f"## {word}: {name}"


def _summary(report: Mapping[str, Any], checks: Sequence[CheckResult]) -> str:
    ran = [c for c in checks if c.outcome is not Outcome.SKIPPED]
    stopping = sum(1 for c in ran if not c.lets_through)
    warned = sum(1 for c in ran if c.severity is Severity.WARN and c.outcome is not Outcome.PASSED)
    counts = [f"**{sum(1 for c in ran if c.outcome is Outcome.PASSED)} of {len(ran)} checks passed**"]
    counts += [f"{stopping} stop the gate"] if stopping else []
    counts += [f"{warned} warn{'s' if warned == 1 else ''}"] if warned else []
    size = report.get("validation_data_size", "unknown")
    rows = f"{size:,} rows" if isinstance(size, int) else f"{escaped(size)} rows"
    kind = f"{escaped(report.get('model_type', 'unknown'))} model"
    return " · ".join(
        [", ".join(counts), kind, rows, escaped(moment(report.get("validation_timestamp", "")))]
    )


def _advice(report: Mapping[str, Any], checks: Sequence[CheckResult]) -> list[str]:
    stopping = [(c, f) for c in checks if not c.lets_through for f in c.failures]
    warning = [(c, f) for c in checks if c.severity is Severity.WARN for f in c.failures]
    if not report.get("passed") and not stopping:
        lines = [f"- {escaped(text)}" for text in list(report.get("failures", ()))[:MAX_FAILURES]]
        return ["### What to do next\n\n" + "\n".join(lines)]
    parts = ["### What to do next\n\n" + _list(stopping)] if stopping else []
    return parts + (["### Warnings\n\n" + _list(warning)] if warning else [])


def _list(found: Sequence[tuple[CheckResult, Finding]]) -> str:
    lines = []
    for check, finding in found[:MAX_FAILURES]:
        step = f" *Next:* {escaped(finding.next_step)}" if finding.next_step else ""
        lines.append(f"- **{escaped(heading(check.name))}** – {escaped(sentence(finding))}{step}")  # noqa: RUF001
    if len(found) > MAX_FAILURES:
        lines.append(f"- … and {len(found) - MAX_FAILURES} more in the full report")
    return "\n".join(lines)


def _metrics(checks: Sequence[CheckResult]) -> str:
    performance = next((c for c in checks if c.name == "performance"), None)
    if performance is None or not (performance.findings or unlimited(performance)):
        return ""
    comparison: Mapping[str, Any] = next(
        (c.details.get("comparisons", {}) for c in checks if c.name == "baseline_comparison"), {}
    )
    rows = []
    for finding in performance.findings[:MAX_METRICS]:
        before = comparison.get(finding.subject, {})
        baseline = before.get("baseline") if isinstance(before, Mapping) else None
        icon = _ICONS[str(finding.outcome)]
        rows.append(
            (
                f"{icon} {escaped(finding.subject, 80)}",
                *map(_cell, (finding.observed, finding.limit, baseline)),
            )
        )
    left = max(0, MAX_METRICS - len(rows))
    rows += [
        (f"{_ICONS['skipped']} {escaped(name, 80)}", _cell(value), "none", "")
        for name, value in list(unlimited(performance).items())[:left]
    ]
    return _table(("Metric", "Observed", "Limit", "Baseline"), rows, numeric=(1, 2, 3))


def _cell(value: object) -> str:
    return "" if value is None else escaped(brief(value), 80)


def _check_table(checks: Sequence[CheckResult]) -> str:
    rows = []
    for check in checks:
        bad = check.failures
        closest = min((m for f in check.findings if (m := margin(f)) is not None), default=None)
        room = "" if closest is None else margin_text(closest)
        note = f"{len(bad)} of {len(check.findings)} did not pass" if bad else escaped(check.reason, 160)
        rows.append(
            (f"{_ICONS[state(check)]} {words(state(check))}", escaped(heading(check.name), 80), room, note)
        )
    return _table(("Outcome", "Check", "Smallest margin", "Note"), rows, numeric=(2,))


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, numeric: Sequence[int] = ()) -> str:
    rule = ["---:" if i in numeric else "---" for i in range(len(heads))]
    return "\n".join("| " + " | ".join(row) + " |" for row in (heads, rule, *rows))


def _folded(summary: str, body: str) -> str:
    return f"<details>\n<summary>{summary}</summary>\n\n{body}\n\n</details>"


def _shortened(parts: Sequence[str]) -> str:
    """Return as many whole parts as fit; the verdict and the summary always do."""
    kept: list[str] = []
    size = 0
    for part in parts:
        length = len(part.encode(errors="replace")) + 2
        if part and size + length < MAX_BYTES - 200:
            kept.append(part)
            size += length
    return "\n\n".join([*kept, "*Shortened: the full report has the rest.*"]) + "\n"


def _url(url: str) -> str:
    return re.sub(r"[\s()<>]", lambda m: f"%{ord(m[0]):02X}", url)
