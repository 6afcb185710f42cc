"""`aihub keys`: who may call the hub's API, and with what."""

from __future__ import annotations

from datetime import datetime, timedelta
from operator import itemgetter
from typing import TYPE_CHECKING

import click

from aihub.cli.administration import administration
from aihub.cli.console import print_json, table
from aihub.cli.options import json_option
from aihub.settings import DEFAULT_TENANT
from aihub.types import OPERATOR_TENANT, Role

if TYPE_CHECKING:
    from aihub.cli.administration import Shown

_SHOWN_ONCE = "It is shown only now: keep it where secrets are kept, and send it as Authorization: Bearer."
MAX_DAYS = 3650


@click.group()
def keys() -> None:
    """Make, list, replace and revoke API keys: of the hub AIHUB_URL, else of this machine's own database."""


@keys.command()
@click.option(
    "--tenant",
    help=f"'{OPERATOR_TENANT}' for operators of the hub. Without it that of your own key; on this machine's own database "
    f"'{DEFAULT_TENANT}'.",
)
@click.option("--principal", required=True, help="Person or program: 'alice', 'ci'. Four eyes compares this.")
@click.option("--role", required=True, type=click.Choice([role.value for role in Role]))
@click.option(
    "--scope", "scopes", multiple=True, help="Less than the role may do; may be given several times."
)
@click.option(
    "--days",
    type=click.IntRange(0, MAX_DAYS),
    default=365,
    show_default=True,
    help="Until it ends; 0: never.",
)
@json_option
def create(
    tenant: str | None, principal: str, role: str, scopes: tuple[str, ...], days: int, *, as_json: bool
) -> None:
    """Make a key and show it once."""
    with administration() as hub:
        made = hub.issue_key(
            tenant=tenant,
            principal=principal,
            role=role,
            scopes=scopes or None,
            lives=timedelta(days=days) if days else None,
        )
    _show(made, as_json=as_json)


@keys.command("list")
@click.option("--tenant", help="Of this tenant only.")
@click.option("--all", "everything", is_flag=True, help="Also those that have ended.")
@json_option
def list_(tenant: str | None, *, everything: bool, as_json: bool) -> None:
    """List the keys, without their secrets."""
    with administration() as hub:
        shown = [key for key in hub.keys(tenant=tenant) if everything or key["state"] == "active"]
    shown.sort(key=itemgetter("tenant_id", "principal", "created_at"))
    if as_json:
        print_json({"keys": shown})
    elif shown:
        table(
            ["id", "tenant", "principal", "role", "scopes", "state", "until (UTC)", "last used (UTC)"],
            [
                [
                    key["id"],
                    key["tenant_id"],
                    key["principal"],
                    key["role"],
                    "all of the role" if key["scopes"] is None else ", ".join(key["scopes"]),
                    key["state"],
                    _minute(key["expires_at"]),
                    _minute(key["last_used_at"]),
                ]
                for key in shown
            ],
        )
    else:
        click.echo("No key. Make one: aihub keys create --principal NAME --role trainer")


@keys.command()
@click.argument("key_id")
@click.option(
    "--overlap-hours", type=click.FloatRange(0, 24 * 90), default=24.0, show_default=True,
    help="How long the old one still counts.",
)  # fmt: skip
@json_option
def rotate(key_id: str, overlap_hours: float, *, as_json: bool) -> None:
    """Make the successor of the key KEY_ID with the same rights, and let the old one end."""
    with administration() as hub:
        made = hub.rotate_key(key_id, overlap=timedelta(hours=overlap_hours))
    _show(made, as_json=as_json)


@keys.command()
@click.argument("key_id")
@click.option("--reason", default="", help="Why; it is kept in the audit log.")
@json_option
def revoke(key_id: str, reason: str, *, as_json: bool) -> None:
    """End the key KEY_ID; every process of the hub knows within five seconds."""
    with administration() as hub:
        ended = hub.revoke_key(key_id, reason=reason)
    if as_json:
        print_json(ended)
    else:
        click.echo(f"{ended['id']} of {ended['principal']} does not count any more")


@keys.command()
def generate() -> None:
    """Print a new key that is stored nowhere, for AIHUB_BOOTSTRAP_KEY or a file of secrets."""
    from aihub.store.credentials import new_token

    click.echo(new_token())


def _show(made: Shown, *, as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    # The key alone on standard output, so that a script can take it.
    click.echo(made["key"])
    until = "without an end" if made["expires_at"] is None else f"until {_minute(made['expires_at'])} UTC"
    click.echo(
        f"Key {made['id']} of {made['principal']}: {made['role']} in {made['tenant_id']}, {until}. {_SHOWN_ONCE}",
        err=True,
    )


def _minute(moment: str | None) -> str | None:
    return None if moment is None else f"{datetime.fromisoformat(moment):%Y-%m-%d %H:%M}"
