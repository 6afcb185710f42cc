"""`aihub rollouts`: versions of a hub that run beside the champion, and ending that by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from aihub.cli.console import print_json, table
from aihub.cli.options import json_option

if TYPE_CHECKING:
    from aihub.client import Rollout

_MODEL = click.argument("model")
_ID = click.argument("rollout_id")
_REASON = click.option("--reason", required=True, help="Why; it is kept in the audit log.")


@click.group()
def rollouts() -> None:
    """List the canaries and shadows of a hub; make one the champion, or end it.

    The hub is AIHUB_URL, by default http://localhost:8000; the key is AIHUB_API_KEY or in the file AIHUB_API_KEY_FILE.
    """


@rollouts.command("list")
@_MODEL
@click.option("--all", "show_all", is_flag=True, help="Also those that are over.")
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=20,
    show_default=True,
    help="Newest rollouts to look at.",
)
@json_option
def list_(model: str, limit: int, *, show_all: bool, as_json: bool) -> None:
    """List what runs beside the champion of MODEL."""
    from aihub.client import Client

    with Client() as client:
        found = [
            one for one in client.models.rollouts(model, limit=limit) if show_all or one.ended_at is None
        ]
    if as_json:
        print_json({"rollouts": [one.raw for one in found]})
    elif found:
        table(
            ["rollout", "version", "environment", "strategy", "share", "state", "since (UTC)", "why"],
            [_row(one) for one in found],
        )
    else:
        click.echo(f"Nothing runs beside the champion of {model}.")


@rollouts.command()
@_MODEL
@_ID
@_REASON
@json_option
def promote(model: str, rollout_id: str, reason: str, *, as_json: bool) -> None:
    """Make the newcomer the champion of MODEL."""
    from aihub.client import Client

    with Client() as client:
        done = client.models.promote(model, rollout_id, reason=reason)
    if as_json:
        print_json(done.raw)
    else:
        click.echo(f"{done.model} {done.semantic} (version {done.version}) serves in {done.environment}")


@rollouts.command()
@_MODEL
@_ID
@_REASON
@json_option
def stop(model: str, rollout_id: str, reason: str, *, as_json: bool) -> None:
    """End the rollout; the champion of MODEL answers everything again."""
    from aihub.client import Client

    with Client() as client:
        done = client.models.stop_rollout(model, rollout_id, reason=reason)
    if as_json:
        print_json(done.raw)
    else:
        click.echo(
            f"{done.id}: {done.state} ({done.strategy} of {done.model} {done.semantic} in {done.environment})"
        )


def _row(one: Rollout) -> list[object]:
    from aihub.cli.jobs import minute

    return [
        one.id,
        one.semantic,
        one.environment,
        one.strategy,
        f"{one.share:.0%}",
        one.state,
        minute(one.started_at),
        one.reason,
    ]
