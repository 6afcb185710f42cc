"""From what happened to what people are told: one notice per outbox entry of a topic `notify.<event>`.

The entry says what happened; what helps to judge it (verdict, figures against the champion) is looked up when it is told.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aihub.errors import AIHubError
from aihub.notify.links import DecisionLink, Word, sign
from aihub.notify.message import Link, Notice, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aihub.registry.records import Version
    from aihub.registry.registry import Registry

SHOWN_METRICS = ("mae", "rmse", "mape", "r2_score", "precision", "recall", "f1_score", "auc_roc")
TITLES: dict[str, tuple[Severity, str]] = {
    "approval.requested": (Severity.INFO, "{model} {semantic} waits for approval into {environment}"),
    "approval.approved": (Severity.INFO, "{model} {semantic} was approved for {environment}"),
    "approval.rejected": (Severity.WARNING, "{model} {semantic} was refused for {environment}"),
    "approval.expired": (Severity.WARNING, "nobody decided about {model} {semantic} for {environment}"),
    "approval.withdrawn": (Severity.INFO, "{model} {semantic} is no longer asked for in {environment}"),
    "model.deployed": (Severity.INFO, "{model} {semantic} serves in {environment}"),
    "model.rolled_back": (Severity.WARNING, "{model} went back to {semantic} in {environment}"),
    "rollout.started": (Severity.INFO, "{model} {semantic} is rolled out in {environment}"),
    "rollout.stepped": (Severity.INFO, "{model} {semantic} gets more of {environment}"),
    "rollout.promoted": (Severity.INFO, "{model} {semantic} has come through its rollout in {environment}"),
    "rollout.stopped": (Severity.WARNING, "the rollout of {model} {semantic} in {environment} was stopped"),
    "version.rejected": (Severity.WARNING, "{model} {semantic} was rejected by its gate"),
    "job.completed": (Severity.INFO, "a job of {model} has come to its end"),
    "job.failed": (Severity.WARNING, "a job of {model} failed"),
    "watch.alerted": (Severity.WARNING, "{model} looks wrong"),
    "watch.retrained": (Severity.WARNING, "{model} is trained again"),
    "watch.paged": (Severity.CRITICAL, "{model} needs a person now"),
}
"""Of every event that the hub tells of; a producer may say both better."""
_SHOWN = (
    "verdict",
    "environment",
    "rule",
    "strategy",
    "share",
    "by",
    "reason",
    "limit",
    "observed",
    "error",
    "step",
    "expires_at",
    "job",
    "job_id",
)


def notice_of(
    registry: Registry,
    *,
    event: str,
    key: str,
    payload: Mapping[str, Any],
    at: datetime,
    base_url: str = "",
    link_secret: bytes = b"",
    approver: str = "",
) -> Notice:
    """Return what is told of an outbox entry; reads the registry.

    Parameters
    ----------
    base_url, link_secret
        Where people reach the hub and what links are signed with; without them a notice has no links.
    approver
        Person that the links of an approval are bound to; empty: the page asks.
    """
    severity, title = TITLES.get(
        event, (Severity.INFO, event.replace(".", " ").replace("_", " ") + ": {model}")
    )
    known = _Known({**payload, "semantic": payload.get("semantic") or payload.get("version")})
    version = _version(registry, payload)
    return Notice(
        key=f"{event}:{key}",
        tenant=registry.tenant,
        event=event,
        severity=_severity(payload, severity),
        title=str(payload.get("title") or title.format_map(known)).strip(" :"),
        at=at,
        model=str(payload.get("model") or ""),
        environment=str(payload.get("environment") or ""),
        text=str(payload.get("text") or ""),
        facts=list(_facts(registry, payload, version)),
        links=_links(registry, payload, base_url, link_secret, approver) if base_url and link_secret else [],
        details=dict(payload),
    )


class _Known(dict[str, Any]):
    """Fields of a title; one that is missing is left out rather than failing the notice."""

    def __missing__(self, name: str) -> str:
        return ""


def _severity(payload: Mapping[str, Any], usual: Severity) -> Severity:
    try:
        return Severity(str(payload.get("severity", usual)))
    except ValueError:
        return usual


def _version(registry: Registry, payload: Mapping[str, Any]) -> Version | None:
    reference = payload.get("version")
    if not payload.get("model") or reference is None:
        return None
    try:
        return registry.version(str(payload["model"]), reference)
    except AIHubError:
        return None


def evidence_of(registry: Registry, version: Version, environment: str) -> Iterator[tuple[str, str]]:
    """Yield what helps to judge a version: the gate's verdict, what failed, and figures against the champion."""
    report = registry.report(version)
    if report is not None:
        yield "gate", "passed" if report.get("passed") is True else "FAILED"
        for failure in list(report.get("failures") or [])[:3]:
            yield "failure", str(failure)
    champion = registry.champion(version.model, environment)
    for name in SHOWN_METRICS:
        if name in version.metrics:
            yield name, _figure(name, version, champion)


def _facts(
    registry: Registry, payload: Mapping[str, Any], version: Version | None
) -> Iterator[tuple[str, str]]:
    if version is not None:
        yield from evidence_of(registry, version, str(payload.get("environment") or "production"))
    for name in _SHOWN:
        value = payload.get(name)
        if value not in (None, "", [], {}):
            yield name.replace("_", " "), _moment(value) if name.endswith("_at") else _text(value)


def _moment(value: Any) -> str:
    try:
        return f"{datetime.fromisoformat(str(value)).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    except ValueError:
        return _text(value)


def _figure(name: str, version: Version, champion: Version | None) -> str:
    value = version.metrics[name]
    if champion is None or champion.uid == version.uid or name not in champion.metrics:
        return f"{value:.4g}"
    other = champion.metrics[name]
    change = f", {(value - other) / abs(other):+.1%}" if other else ""
    return f"{value:.4g} (champion {champion.semantic}: {other:.4g}{change})"


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _links(
    registry: Registry, payload: Mapping[str, Any], base_url: str, secret: bytes, approver: str
) -> list[Link]:
    approval, digest, expires_at = payload.get("approval"), payload.get("digest"), payload.get("expires_at")
    if not approval or not digest or not expires_at or payload.get("state") != "pending":
        return []
    until = int(datetime.fromisoformat(str(expires_at)).timestamp())

    def url(decision: Word) -> str:
        link = DecisionLink(
            tenant=registry.tenant,
            approval=str(approval),
            decision=decision,
            digest=str(digest),
            expires_at=until,
            principal=approver,
        )
        return f"{base_url.rstrip('/')}/links/{sign(link, secret)}"

    return [
        Link(label="Open", url=url("view")),
        Link(label="Approve", url=url("approve"), style="primary"),
        Link(label="Reject", url=url("reject"), style="danger"),
    ]
