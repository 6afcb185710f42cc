"""The changelog of a model, written from lineage and decisions: what changed, what it brought, where it served. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from aihub.registry.records import Action, Status
from aihub.validation.report.wording import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aihub.registry.records import Deployment, Version

SHOWN_METRICS = ("mae", "rmse", "mape", "r2_score", "precision", "recall", "f1_score", "auc_roc")
_MISSING = object()


def changelog(model: str, versions: Sequence[Version], deployments: Sequence[Deployment]) -> str:
    """Return the changelog of `model` in Markdown, newest version first.

    Parameters
    ----------
    versions
        All versions of the model, in any order.
    deployments
        Its deployments, in any order.
    """
    ordered = sorted(versions, key=lambda version: version.number)
    lines = [f"# Changelog of {model}", ""]
    # A rejected version changed nothing for anybody: the next is compared with the last that was let through.
    pairs: list[tuple[Version | None, Version]] = []
    accepted: Version | None = None
    for version in ordered:
        pairs.append((accepted, version))
        if version.status is not Status.REJECTED:
            accepted = version
    for before, version in reversed(pairs):
        lines += _entry(before, version, [d for d in deployments if d.version_uid == version.uid])
    return "\n".join(lines).rstrip() + "\n"


def _entry(before: Version | None, version: Version, deployments: Sequence[Deployment]) -> Iterator[str]:
    rejected = " (rejected by its gate)" if version.status is Status.REJECTED else ""
    yield f"## {version.semantic} - {version.created_at:%Y-%m-%d}{rejected}"
    yield ""
    commit = f", commit {version.git_commit[:12]}" if version.git_commit else ""
    yield f"Version {version.number} by {_line(version.created_by)}{commit}, artefact sha256 {version.digest[:12]}."
    yield ""
    changes = list(_changes(before, version))
    for change in changes or ["trained again: same configuration, same data"]:
        yield f"- {_line(change)}"
    figures = [
        f"{name} {version.metrics[name]:.4g}{_against(before, name, version.metrics[name])}"
        for name in SHOWN_METRICS
        if name in version.metrics
    ]
    if figures:
        yield f"- figures: {', '.join(figures)}"
    for deployment in sorted(deployments, key=lambda one: one.started_at):
        yield f"- {_served(deployment)}"
    yield ""


def _changes(before: Version | None, version: Version) -> Iterator[str]:
    if before is None:
        yield "first version"
        return
    ours, theirs = version.lineage, before.lineage
    yield from (f"configuration: {line}" for line in _differences(theirs.config, ours.config))
    if ours.data.get("sha256") != theirs.data.get("sha256"):
        yield f"data: {_span(theirs.data)} -> {_span(ours.data)}"
    yield from (f"environment: {line}" for line in _differences(theirs.packages, ours.packages))


def _differences(before: Mapping[str, Any], after: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for name in sorted({*before, *after}):
        old, new = before.get(name, _MISSING), after.get(name, _MISSING)
        where = f"{path}{name}"
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _differences(old, new, f"{where}.")
        elif old != new:
            yield f"{where} {_shown(old)} -> {_shown(new)}"


def _shown(value: Any) -> str:
    if value is _MISSING or value is None:
        return "none"
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."  # noqa: PLR2004 - the width of a line


def _span(data: Mapping[str, Any]) -> str:
    rows = data.get("rows")
    shown = f"{rows:,} rows" if isinstance(rows, int) else "unknown rows"
    start, end = str(data.get("start", ""))[:10], str(data.get("end", ""))[:10]
    return f"{shown}, {start} to {end}" if start and end else shown


def _against(before: Version | None, name: str, value: float) -> str:
    old = before.metrics.get(name) if before else None
    return f" ({(value - old) / abs(old):+.1%})" if old else ""


def _served(deployment: Deployment) -> str:
    verb = "deployed to" if deployment.action is Action.DEPLOY else "taken back into"
    ended = ""
    if deployment.ended_at is not None:
        how = "rolled back" if deployment.ended_by is Action.ROLLBACK else "replaced"
        ended = f", {how} {deployment.ended_at:%Y-%m-%d %H:%M}"
    start = f"{deployment.started_at:%Y-%m-%d %H:%M}"
    return f"{verb} {deployment.environment} {start} by {_line(deployment.actor)}{ended}: {_line(deployment.reason)}"


def _line(text: str) -> str:
    r"""Return what somebody has written as text of one line: no heading of its own, no link, no HTML.

    >>> _line("fine\n## v9.9.9 <b> [a](http://x)")
    'fine ## v9.9.9 \\<b> \\[a](http://x)'
    """
    return re.sub(r"([<\[`])", r"\\\1", plain(text))
