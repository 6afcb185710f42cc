"""What people see in GitHub of one or several reports: a summary, one comment, annotations, a check. Pure."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from aihub.github.lines import line_for
from aihub.types import Severity
from aihub.validation.report.github import MAX_PER_KIND, command
from aihub.validation.report.mapping import checks_of
from aihub.validation.report.markdown import MARKER, escaped, render_markdown
from aihub.validation.report.wording import heading, plain, sentence

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aihub.validation.results import ValidationReport

MAX_SUMMARY_BYTES = 1_000_000
"""GitHub drops a step summary of more than 1 MiB whole."""
MAX_COMMENT_BYTES = 60_000
"""GitHub refuses a comment of more than 65,536 characters."""
MAX_CHECK_BYTES = 60_000
MAX_CHECK_ANNOTATIONS = 50
MAX_ROWS = 60
_SHOWN_METRICS = 3
_KINDS = {Severity.FAIL: "error", Severity.WARN: "warning"}
_LEVELS = {"error": "failure", "warning": "warning"}


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One report with the spec it is about.

    Attributes
    ----------
    name
        Of the model.
    spec
        Path of the spec relative to the repository, None where it is not known.
    lines
        Line of every key of the spec.
    """

    name: str
    report: ValidationReport
    spec: str | None
    lines: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Note:
    """One annotation."""

    kind: str
    title: str
    message: str
    file: str | None
    line: int | None

    def to_command(self) -> str:
        """Return the workflow command that makes it."""
        return command(
            self.kind, self.message, title=self.title, file=self.file, line=self.line if self.file else None
        )

    def to_check(self) -> dict[str, Any]:
        """Return it as an annotation of a check run, which needs a file."""
        line = self.line or 1
        return {
            "path": self.file,
            "start_line": line,
            "end_line": line,
            "annotation_level": _LEVELS[self.kind],
            "title": self.title[:255],
            "message": self.message[:4000],
        }


def name_of(report: ValidationReport) -> str:
    """Name of the model that a report is about."""
    model = report.context.get("model")
    named = model.get("name") if isinstance(model, dict) else None
    return str(named or PurePath(str(report.get("model_path", ""))).name or "model")


def all_passed(judged: Sequence[Judged]) -> bool:
    """Whether every gate let through; no report is no pass."""
    return bool(judged) and all(one.report.passed for one in judged)


def render(judged: Sequence[Judged], *, limit: int, report_url: str | None = None) -> str:
    """Return the Markdown of all reports, at most `limit` bytes long: a table of verdicts, then each report folded."""
    word = "✅ Every gate passed" if all_passed(judged) else "❌ A gate failed"
    parts = [MARKER, f"## {word if judged else '❌ No report'}", _table(judged)]
    if report_url:
        parts.append(f"[Full reports]({report_url}) are among the artifacts of the run.")
    size = len("\n\n".join(parts).encode()) + 200
    # The failed ones first: they are what somebody has to read when space runs out.
    for one in sorted(judged, key=lambda each: each.report.passed):
        body = _section(one, is_open=not one.report.passed)
        length = len(body.encode()) + 2
        if size + length > limit:
            parts.append("*Shortened: the full reports have the rest.*")
            break
        parts.append(body)
        size += length
    return "\n\n".join(parts) + "\n"


def notes(judged: Sequence[Judged]) -> list[Note]:
    """Every finding that did not pass, as annotations on the lines of the specs; errors first, ten of a kind at most."""
    found = [note for one in judged for note in _notes(one)]
    kept: list[Note] = []
    for kind in ("error", "warning"):
        of_kind = [note for note in found if note.kind == kind]
        if len(of_kind) > MAX_PER_KIND:
            rest = f"{len(of_kind) - MAX_PER_KIND + 1} more findings of this kind are in the reports."
            more = Note(kind=kind, title="And more", message=rest, file=None, line=None)
            of_kind = [*of_kind[: MAX_PER_KIND - 1], more]
        kept += of_kind
    return kept


def check_run(judged: Sequence[Judged], *, sha: str, report_url: str | None = None) -> dict[str, Any]:
    """Return the body of a check run: its conclusion is the gate's."""
    shown = [note.to_check() for note in notes(judged) if note.file][:MAX_CHECK_ANNOTATIONS]
    passed = sum(1 for one in judged if one.report.passed)
    body: dict[str, Any] = {
        "name": "AI Hub gate",
        "head_sha": sha,
        "status": "completed",
        "conclusion": "success" if all_passed(judged) else "failure",
        "output": {
            "title": f"{passed} of {len(judged)} models passed the gate",
            "summary": render(judged, limit=MAX_CHECK_BYTES, report_url=report_url),
            "annotations": shown,
        },
    }
    return {**body, **({"details_url": report_url} if report_url else {})}


def _notes(one: Judged) -> Iterator[Note]:
    for check in checks_of(one.report):
        kind = _KINDS.get(check.severity)
        for finding in check.failures if kind else ():
            yield Note(
                kind=str(kind),
                title=plain(f"{one.name}: {heading(check.name)}: {finding.subject}", 200),
                message=". ".join(
                    part for part in (sentence(finding).rstrip("."), plain(finding.next_step)) if part
                ),
                file=one.spec,
                line=line_for(one.lines, check.name, finding.subject),
            )


def _table(judged: Sequence[Judged]) -> str:
    rows = ["| Model | Gate | Metrics | Champion | Drift |", "| --- | --- | --- | --- | --- |"]
    for one in judged[:MAX_ROWS]:
        gate = (
            "✅ passed"
            if one.report.passed
            else f"❌ {escaped(next(iter(one.report.failures), 'failed'), 160)}"
        )
        cells = (escaped(one.name, 80), gate, _metrics(one.report), _champion(one.report), _drift(one.report))
        rows.append(f"| {' | '.join(cells)} |")
    if len(judged) > MAX_ROWS:
        rows.append(f"| and {len(judged) - MAX_ROWS} more | | | | |")
    return "\n".join(rows)


def _metrics(report: ValidationReport) -> str:
    check = _check(report, "performance")
    shown = [] if check is None else list(check.findings)[:_SHOWN_METRICS]
    return ", ".join(f"{escaped(f.subject, 40)} {_number(f.observed)}" for f in shown)


def _champion(report: ValidationReport) -> str:
    """Say how the model compares with the champion, or with its metrics."""
    for name in ("champion_comparison", "baseline_comparison"):
        check = _check(report, name)
        if check is not None and check.findings:
            return escaped(sentence(check.findings[0]), 160)
    return "none yet" if not report.context.get("champion") else escaped(report.context["champion"], 80)


def _drift(report: ValidationReport) -> str:
    check = _check(report, "data_drift")
    if check is None or not check.findings:
        return "not checked"
    bad = len(check.failures)
    return f"⚠️ {bad} of {len(check.findings)} columns" if bad else "none"


def _check(report: Mapping[str, Any], name: str) -> Any:
    return next((check for check in checks_of(report) if check.name == name), None)


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else escaped(value, 40)


def _section(one: Judged, *, is_open: bool) -> str:
    body = render_markdown(one.report).removeprefix(MARKER).strip()
    # The heading of a single report names its file; here it stands under the name of its model.
    body = body.partition("\n")[2].strip()
    return f"<details{' open' if is_open else ''}>\n<summary>{html.escape(plain(one.name, 80))}</summary>\n\n{body}\n\n</details>"
