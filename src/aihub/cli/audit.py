"""`aihub audit`: who did what, whether somebody changed it since, and what to keep elsewhere."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from aihub.cli.acting import acting
from aihub.cli.administration import administration
from aihub.cli.console import print_json, table
from aihub.cli.options import PATH, is_remote, json_option
from aihub.errors import ConflictError, InputError
from aihub.settings import DEFAULT_TENANT

if TYPE_CHECKING:
    from collections.abc import Iterator

STDOUT = Path("-")


@click.group()
def audit() -> None:
    """Read the audit log, find what was changed in it, and keep evidence elsewhere.

    `list` and `verify` ask the hub AIHUB_URL, else this machine's own database; the others work on that database only.
    """


@audit.command("list")
@click.option(
    "--tenant",
    help="'*': what operators did to the hub. Without it that of your key; on this machine's own database "
    f"'{DEFAULT_TENANT}'.",
)
@click.option("--actor", help="What this person or program did.")
@click.option("--action", help="Such as model.deployed.")
@click.option("--subject", help="Such as model:load.")
@click.option("--since", type=click.DateTime(), help="From this time (UTC) on.")
@click.option("--until", type=click.DateTime(), help="Before this time (UTC).")
@click.option("--before", type=int, help="Older than this event: the next page.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@json_option
def list_(
    *, tenant: str | None, since: datetime | None, until: datetime | None, as_json: bool, **wanted: Any
) -> None:
    """List events, newest first."""
    start, end = (moment and moment.replace(tzinfo=UTC) for moment in (since, until))
    with administration() as hub:
        found = hub.events(tenant=tenant, start=start, end=end, **wanted)
    if as_json:
        print_json({"events": found})
        return
    table(
        ["event", "at (UTC)", "who", "what", "to", "why", "from"],
        [
            [
                event["sequence"],
                f"{datetime.fromisoformat(event['at']):%Y-%m-%d %H:%M:%S}",
                event["actor"],
                event["action"],
                event["subject"],
                event["reason"],
                event["source"],
            ]
            for event in found
        ],
    )
    if len(found) == wanted["limit"]:
        click.echo(f"Older ones: --before {found[-1]['sequence']}")


@audit.command()
@click.option("--tenant", help="This tenant's chain only; without it, every chain.")
@click.option("--against", type=PATH, help="Checkpoints that were kept elsewhere; '-' is standard input.")
@click.option(
    "--public-key", "public_keys", multiple=True,
    help="Key of the hub that signed them, if not this one's; may be given several times.",
)  # fmt: skip
@json_option
def verify(tenant: str | None, against: Path | None, public_keys: tuple[str, ...], *, as_json: bool) -> int:
    """Find any edit, deletion, insertion or change of order and name the first bad event; exit code 1 on a finding."""
    if against is not None and is_remote():
        raise InputError(
            "--against compares with this machine's own database, and AIHUB_URL names a hub elsewhere; "
            "unset AIHUB_URL on the machine of the hub"
        )
    with administration() as hub:
        try:
            marks = None if against is None else _marks(against, public_keys)
        except ConflictError as error:
            click.echo(f"error: {error}", err=True)
            return 1
        verdicts = hub.verdicts(tenant=tenant, marks=marks)
    is_intact = all(verdict["is_intact"] for verdict in verdicts)
    if as_json:
        print_json({"is_intact": is_intact, "chains": verdicts})
    else:
        table(
            ["tenant", "events", "verdict"],
            [[v["tenant"], v["events"], "intact" if v["is_intact"] else v["reason"]] for v in verdicts],
        )
        if against is None and verdicts:
            click.echo("A cut-off end is only seen with --against CHECKPOINTS (aihub audit checkpoint).")
    return 0 if is_intact else 1


@audit.command()
@click.option("--tenant", help="This tenant only; without it, all.")
@click.option("--to", type=PATH, default=STDOUT, help="File to write; default standard output.")
def export(tenant: str | None, to: Path) -> None:
    """Write every event as a line of JSON, oldest first, with the hashes that chain them."""
    from aihub.hub import opened
    from aihub.store.audit_pages import every_event, tenants_with_events
    from aihub.store.engine import EVERY_TENANT, read

    with opened() as hub, read(hub.engine, tenant=EVERY_TENANT) as connection, _written(to) as file:
        for name in [tenant] if tenant else tenants_with_events(connection):
            for event in every_event(connection, tenant=name):
                file.write(json.dumps(event, ensure_ascii=False) + "\n")


@audit.command()
@click.option("--tenant", help="This tenant only; without it, all.")
@click.option(
    "--to", type=PATH, default=STDOUT, help="File to add to, where the hub's owner cannot change it."
)
def checkpoint(tenant: str | None, to: Path) -> int:
    """Sign how far every chain has come, for `verify --against`; exit code 1 where one is broken."""
    from aihub.hub import opened
    from aihub.store import checkpoints
    from aihub.store.audit_pages import tenants_with_events
    from aihub.store.engine import EVERY_TENANT, read

    with opened() as hub, read(hub.engine, tenant=EVERY_TENANT) as connection:
        signer = checkpoints.Signer(hub.settings.read_audit_signing_seed())
        names = [tenant] if tenant else tenants_with_events(connection)
        try:
            made = checkpoints.make(connection, hub.audit, signer, tenants=names, now=acting()["now"])
        except ConflictError as error:
            click.echo(f"error: {error}", err=True)
            return 1
    with _written(to, add=True) as file:
        file.writelines(f"{one.to_line()}\n" for one in made)
    click.echo(f"{len(made)} checkpoints, signed with the key {signer.public_key}", err=True)
    return 0


@audit.command()
@click.argument("name")
def role(name: str) -> None:
    """Print the SQL that lets the PostgreSQL role NAME work with the hub's tables but only add to the audit log."""
    from aihub.store.grants import statements

    for statement in statements(name):
        click.echo(f"{statement};")


def _marks(file: Path, public_keys: tuple[str, ...]) -> dict[str, dict[int, str]]:
    from aihub.settings import from_environment
    from aihub.store import checkpoints

    try:
        text = sys.stdin.read() if file == STDOUT else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise InputError(f"{file}: cannot be read ({reason}); name a file of checkpoints") from None
    believed = public_keys or (checkpoints.Signer(from_environment().read_audit_signing_seed()).public_key,)
    return checkpoints.marks(checkpoints.parse(text), public_keys=believed)


@contextmanager
def _written(to: Path, *, add: bool = False) -> Iterator[TextIO]:
    if to == STDOUT:
        yield sys.stdout
        return
    try:
        with to.open("a" if add else "w", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise InputError(f"{to}: cannot be written ({error.strerror}); choose another file") from None
