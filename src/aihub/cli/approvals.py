"""`aihub approvals`, `aihub approve` and `aihub reject`: what waits for a person, and the person's word."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from aihub.cli.console import print_json, table
from aihub.cli.options import json_option

if TYPE_CHECKING:
    from aihub.client.access import Decision

_ID = click.argument("approval_id")
_REASON = click.option("--reason", required=True, help="Why; it is kept with the decision.")
_DIGEST = click.option("--digest", help="SHA-256 of the artefact that you looked at; another one is refused.")


@click.command()
@click.option("--all", "show_all", is_flag=True, help="Also those that are decided, expired or withdrawn.")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Most approvals."
)
@json_option
def approvals(limit: int, *, show_all: bool, as_json: bool) -> None:
    """List what waits for a person to approve or reject it."""
    from aihub.cli.jobs import minute
    from aihub.client import Client

    with Client() as client:
        found = list(client.approvals.list(state=None if show_all else "pending", limit=limit))
    if as_json:
        print_json({"approvals": [approval.raw for approval in found]})
    elif not found:
        click.echo("Nothing waits for an approval.")
    else:
        headings = ["approval", "model", "version", "environment", "state", "asked by", "expires (UTC)"]
        rows = [
            [
                a.id,
                a.model,
                a.semantic or a.version,
                a.environment,
                a.state,
                a.requested_by,
                minute(a.expires_at),
            ]
            for a in found
        ]
        table(headings, rows)


@click.command()
@_ID
@_REASON
@_DIGEST
@json_option
def approve(approval_id: str, reason: str, digest: str | None, *, as_json: bool) -> None:
    """Let a version through. Who submitted it cannot approve it."""
    _decide(approval_id, "approve", reason, digest, as_json=as_json)


@click.command()
@_ID
@_REASON
@_DIGEST
@json_option
def reject(approval_id: str, reason: str, digest: str | None, *, as_json: bool) -> None:
    """Stop a version from being deployed."""
    _decide(approval_id, "reject", reason, digest, as_json=as_json)


def _decide(approval_id: str, decision: Decision, reason: str, digest: str | None, *, as_json: bool) -> None:
    from aihub.client import Client

    with Client() as client:
        done = client.approvals.decide(approval_id, decision, reason=reason, artifact_digest=digest)
    if as_json:
        print_json(done.raw)
    else:
        named = f"{done.model} {done.semantic or done.version or ''}".strip()
        agreed = sum(one["decision"] == "approve" for one in done.decisions)
        missing = f", {agreed} of {done.approvers} have agreed" if done.state == "pending" else ""
        click.echo(f"{done.id}: {done.state}{missing} ({named} for {done.environment})")
