"""`aihub notify`: see who is told what, and try a channel."""

from __future__ import annotations

from datetime import UTC, datetime
from getpass import getuser

import click

from aihub.cli.console import print_json, table
from aihub.cli.options import json_option
from aihub.errors import AIHubError, InputError, NotFoundError
from aihub.settings import DEFAULT_TENANT

tenant_option = click.option("--tenant", default=DEFAULT_TENANT, show_default=True, help="Whose.")
_NOBODY = "There is no channel; set SLACK_WEBHOOK_URL, or AIHUB_NOTIFY_FILE to a file of channels and routes"


@click.group()
def notify() -> None:
    """Notifications: channels, routes and a test."""


@notify.command("routes")
@json_option
def routes(*, as_json: bool) -> None:
    """List the routes between events and channels."""
    from aihub.notify.config import load
    from aihub.settings import from_environment

    config = load(from_environment().notify_file)
    if as_json:
        print_json(
            {
                "channels": sorted(config.channels),
                "routes": [r.model_dump(mode="json") for r in config.routes],
            }
        )
        return
    rows = [
        [
            ", ".join(route.channels),
            ", ".join(route.tenants),
            ", ".join(route.models),
            ", ".join(route.events),
            route.severity,
            f"{route.quiet.start:%H:%M}-{route.quiet.end:%H:%M} {route.quiet.time_zone}"
            if route.quiet
            else None,
            f"every {route.digest_minutes} min" if route.digest_minutes else None,
        ]
        for route in config.routes
    ]
    if rows:
        table(["channels", "tenants", "models", "events", "from severity", "quiet", "digest"], rows)
    else:
        click.echo(f"Nobody is told anything. {_NOBODY}.")


@notify.command("test")
@click.argument("channels", nargs=-1)
@json_option
def test(channels: tuple[str, ...], *, as_json: bool) -> int:
    """Send a test notice through CHANNELS (default: all); exit code 1 where one did not take it."""
    from aihub.notify.channels import send
    from aihub.notify.config import load
    from aihub.notify.message import Notice, Severity
    from aihub.settings import from_environment

    config = load(from_environment().notify_file)
    if not config.channels:
        raise InputError(_NOBODY)
    for name in channels:
        if name not in config.channels:
            raise NotFoundError("channel", name, config.channels)
    now = datetime.now(UTC)
    notice = Notice(
        key=f"test-{now:%Y%m%dT%H%M%S}",
        tenant=DEFAULT_TENANT,
        event="notification.test",
        severity=Severity.INFO,
        title="A test notice: this channel works",
        at=now,
        text="Nothing happened. Somebody wanted to know whether you would hear of it.",
        facts=[("sent by", getuser())],
    )
    outcome: dict[str, str] = {}
    for name in channels or sorted(config.channels):
        try:
            send(config.channels[name], notice)
        except AIHubError as error:
            outcome[name] = str(error)
        else:
            outcome[name] = "taken"
    if as_json:
        print_json({"channels": outcome})
    else:
        table(["channel", "outcome"], [list(item) for item in outcome.items()])
    return 0 if all(word == "taken" for word in outcome.values()) else 1


@notify.command("dead")
@tenant_option
@json_option
def dead(tenant: str, *, as_json: bool) -> None:
    """List what was given up: it could not be told, or failed too often."""
    from aihub.hub import opened
    from aihub.store import outbox
    from aihub.store.engine import read

    with opened() as hub, read(hub.engine, tenant=tenant) as connection:
        found = outbox.dead(connection, tenant=tenant)
    if as_json:
        print_json({"effects": [{**vars(entry), "payload": None} for entry in found]})
    elif found:
        rows = [[entry.topic, entry.key, entry.attempts, entry.last_error] for entry in found]
        table(["topic", "key", "attempts", "last error"], rows)
    else:
        click.echo("Nothing was given up.")


@notify.command("replay")
@tenant_option
@click.option("--topic", default="", help="Only topics that begin so, such as channel.ops; default: all.")
@json_option
def replay(tenant: str, topic: str, *, as_json: bool) -> None:
    """Let what was given up be tried again by the workers."""
    from aihub.hub import opened
    from aihub.store import outbox
    from aihub.store.engine import write

    now, actor = datetime.now(UTC), getuser()
    with opened() as hub, write(hub.engine, tenant=tenant) as connection:
        count = outbox.replay(connection, tenant=tenant, topic_prefix=topic)
        hub.audit.append(
            connection,
            tenant=tenant,
            actor=actor,
            action="effects.replayed",
            subject=f"outbox:{topic or 'all'}",
            now=now,
            after={"effects": count},
            source="cli",
        )
    if as_json:
        print_json({"replayed": count})
    else:
        click.echo(f"{count} effect{'' if count == 1 else 's'} will be tried again.")
