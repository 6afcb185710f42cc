"""`aihub deploy` and `aihub rollback`."""

from __future__ import annotations

from datetime import UTC, datetime
from getpass import getuser
from typing import TYPE_CHECKING

import click

from aihub.cli import remote
from aihub.cli.console import print_json
from aihub.cli.options import is_remote, json_option
from aihub.cli.tagging import tag_option, tell_tag
from aihub.hub import opened
from aihub.registry.records import PRODUCTION

if TYPE_CHECKING:
    from aihub.registry.records import Deployment

_ENVIRONMENT = click.option("--environment", default=PRODUCTION, show_default=True, help="Where to.")
_REASON = click.option("--reason", required=True, help="Why; it is kept with the deployment.")


@click.command()
@click.argument("name")
@click.argument("version")
@_ENVIRONMENT
@_REASON
@tag_option
@json_option
def deploy(name: str, version: str, environment: str, reason: str, *, tag: bool, as_json: bool) -> None:
    """Put VERSION (number, v1.2.3 or git commit) of model NAME into production.

    A version that its gate rejected is refused. With AIHUB_URL it is the hub's: it waits there for who has to approve.
    """
    if is_remote():
        remote.deploy(name, version, environment=environment, reason=reason, tag=tag, as_json=as_json)
        return
    with opened() as hub:
        done = hub.registry.deploy(
            name, version, actor=getuser(), reason=reason, now=datetime.now(UTC), environment=environment
        )
        commit = hub.registry.version(name, done.version).git_commit
    if tag:
        tell_tag(name, str(done.semantic), lambda: commit, environment=environment, reason=reason)
    _show(done, as_json=as_json)


@click.command()
@click.argument("name")
@click.argument("version", required=False)
@_ENVIRONMENT
@_REASON
@json_option
def rollback(name: str, version: str | None, environment: str, reason: str, *, as_json: bool) -> None:
    """Go back to VERSION of model NAME; without one, to the last that served and was not rolled back itself."""
    if is_remote():
        remote.rollback(name, version, environment=environment, reason=reason, as_json=as_json)
        return
    with opened() as hub:
        done = hub.registry.rollback(
            name, version, actor=getuser(), reason=reason, now=datetime.now(UTC), environment=environment
        )
    _show(done, as_json=as_json)


def _show(done: Deployment, *, as_json: bool) -> None:
    if as_json:
        print_json(done.to_dict())
    else:
        click.echo(f"{done.model} {done.semantic} (version {done.version}) serves in {done.environment}")
