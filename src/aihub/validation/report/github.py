"""The report as GitHub workflow commands, which show as annotations of the run and of a file in the pull request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aihub.types import Severity
from aihub.validation.report.mapping import checks_of
from aihub.validation.report.wording import heading, plain, sentence

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_PER_KIND = 10
"""GitHub shows ten annotations of a kind per step and drops the others without a word."""

_KINDS = {Severity.FAIL: "error", Severity.WARN: "warning", Severity.INFO: "notice"}


def render_annotations(report: Mapping[str, Any], *, file: str | None = None, line: int | None = None) -> str:
    """Return one workflow command per finding that did not pass, worst kind first, one per line.

    Parameters
    ----------
    report
        The report or the guide's mapping.
    file, line
        Where the annotations are shown: the model's spec, relative to the repository.

    Returns
    -------
    str
        Empty where all passed. Of a kind with more than `MAX_PER_KIND` findings the last one counts the rest.
    """
    place = {"file": file, "line": line if file else None}
    lines: list[str] = []
    for severity, kind in _KINDS.items():
        found = [
            (f"{heading(check.name)}: {plain(finding.subject, 100)}", _message(finding))
            for check in checks_of(report)
            if check.severity is severity
            for finding in check.failures
        ]
        if severity is Severity.FAIL and not found and not report.get("passed"):
            found = [("Gate failed", plain(text)) for text in report.get("failures", ())]
        lines += _capped(kind, found, place)
    return "".join(f"{text}\n" for text in lines)


def _message(finding: Any) -> str:
    return f"{sentence(finding)} {plain(finding.next_step)}".strip()


def _capped(kind: str, found: list[tuple[str, str]], place: dict[str, Any]) -> list[str]:
    shown = found if len(found) <= MAX_PER_KIND else found[: MAX_PER_KIND - 1]
    lines = [command(kind, message, title=title, **place) for title, message in shown]
    if len(shown) < len(found):
        rest = f"{len(found) - len(shown)} more findings of this kind are in the report."
        lines.append(command(kind, rest, title="And more", **place))
    return lines


def command(kind: str, message: str, **properties: object) -> str:
    r"""Return one workflow command with its data and properties escaped as the runner decodes them.

    >>> command("error", "a\nb 5%", file="a,b.yaml", line=3)
    '::error file=a%2Cb.yaml,line=3::a%0Ab 5%25'
    """
    given = ",".join(f"{key}={_property(value)}" for key, value in properties.items() if value is not None)
    return f"::{kind}{' ' if given else ''}{given}::{_data(message)}"


def _data(value: object) -> str:
    return str(value).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: object) -> str:
    return _data(value).replace(":", "%3A").replace(",", "%2C")
