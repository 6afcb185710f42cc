"""`aihub keys`: who may call the hub's API, and with what."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import click

from aihub.cli.acting import acting
from aihub.cli.console import print_json, table
from aihub.cli.options import json_option
from aihub.settings import DEFAULT_TENANT
from aihub.types import OPERATOR_TENANT, Role

if TYPE_CHECKING:
    from datetime import datetime

    from aihub.store.credentials import NewKey

_SHOWN_ONCE = "It is shown only now: keep it where secrets are kept, and send it as Authorization: Bearer."
MAX_DAYS = 3650


@click.group()
def keys() -> None:
    """Make, list, replace and revoke API keys, on the hub's own database."""


@keys.command()
@click.option(
    "--tenant",
    default=DEFAULT_TENANT,
    show_default=True,
    help=f"'{OPERATOR_TENANT}' for operators of the hub.",
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
    tenant: str, principal: str, role: str, scopes: tuple[str, ...], days: int, *, as_json: bool
) -> None:
    """Make a key and show it once."""
    from aihub.hub import opened
    from aihub.store import keys as rows
    from aihub.store.engine import EVERY_TENANT, write

    by = acting()
    with opened() as hub, write(hub.engine, tenant=EVERY_TENANT) as connection:
        made = rows.issue(
            connection,
            tenant=tenant,
            principal=principal,
            role=Role(role),
            scopes=scopes or None,
            expires_at=by["now"] + timedelta(days=days) if days else None,
            audit=hub.audit,
            **by,
        )
    _show(made, by["now"], as_json=as_json)


@keys.command("list")
@click.option("--tenant", help="Of this tenant only.")
@click.option("--all", "everything", is_flag=True, help="Also those that have ended.")
@json_option
def list_(tenant: str | None, *, everything: bool, as_json: bool) -> None:
    """List the keys, without their secrets."""
    from aihub.hub import opened
    from aihub.store import keys as rows
    from aihub.store.engine import EVERY_TENANT, read

    now = acting()["now"]
    with opened() as hub, read(hub.engine, tenant=EVERY_TENANT) as connection:
        found = list(rows.every_key(connection, tenant=tenant))
    shown = [key for key in found if everything or key.state(now) == "active"]
    shown.sort(key=lambda key: (key.tenant_id, key.principal, key.created_at))
    if as_json:
        print_json({"keys": [key.to_dict(now) for key in shown]})
    elif shown:
        table(
            ["id", "tenant", "principal", "role", "scopes", "state", "until (UTC)", "last used (UTC)"],
            [
                [
                    key.id,
                    key.tenant_id,
                    key.principal,
                    key.role,
                    "all of the role" if key.scopes is None else ", ".join(key.scopes),
                    key.state(now),
                    _minute(key.expires_at),
                    _minute(key.last_used_at),
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
    from aihub.hub import opened
    from aihub.store import keys as rows
    from aihub.store.engine import EVERY_TENANT, write

    by = acting()
    with opened() as hub, write(hub.engine, tenant=EVERY_TENANT) as connection:
        made = rows.rotate(
            connection, key_id, tenant=None, overlap=timedelta(hours=overlap_hours), audit=hub.audit, **by
        )
    _show(made, by["now"], as_json=as_json)


@keys.command()
@click.argument("key_id")
@click.option("--reason", default="", help="Why; it is kept in the audit log.")
@json_option
def revoke(key_id: str, reason: str, *, as_json: bool) -> None:
    """End the key KEY_ID; every process of the hub knows within five seconds."""
    from aihub.hub import opened
    from aihub.store import keys as rows
    from aihub.store.engine import EVERY_TENANT, write

    by = acting()
    with opened() as hub, write(hub.engine, tenant=EVERY_TENANT) as connection:
        ended = rows.revoke(connection, key_id, tenant=None, reason=reason, audit=hub.audit, **by)
    if as_json:
        print_json(ended.to_dict(by["now"]))
    else:
        click.echo(f"{ended.id} of {ended.principal} does not count any more")


@keys.command()
def generate() -> None:
    """Print a new key that is stored nowhere, for AIHUB_BOOTSTRAP_KEY or a file of secrets."""
    from aihub.store.credentials import new_token

    click.echo(new_token())


def _show(made: NewKey, now: datetime, *, as_json: bool) -> None:
    key = made.key
    if as_json:
        print_json({**key.to_dict(now), "key": made.token})
        return
    # The key alone on standard output, so that a script can take it.
    click.echo(made.token)
    until = "without an end" if key.expires_at is None else f"until {_minute(key.expires_at)} UTC"
    click.echo(
        f"Key {key.id} of {key.principal}: {key.role} in {key.tenant_id}, {until}. {_SHOWN_ONCE}", err=True
    )


def _minute(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%d %H:%M}"
