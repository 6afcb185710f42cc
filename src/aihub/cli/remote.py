"""The models of a hub elsewhere: what `aihub models`, `deploy` and `rollback` do where AIHUB_URL is set."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import click

from aihub.cli import listing
from aihub.cli.console import print_json, table

if TYPE_CHECKING:
    from aihub.client import Client, Outcome

MOST = 200
"""Rows of a table for people; --json has them all."""


def list_models(name: str | None, *, history: bool, as_json: bool) -> None:
    """List the models, the versions of `name`, or its deployments."""
    from aihub.client import Client

    with Client() as client:
        if name is None:
            _models(client, as_json=as_json)
        elif history:
            _deployments(client, name, as_json=as_json)
        else:
            _versions(client, name, as_json=as_json)


def _models(client: Client, *, as_json: bool) -> None:
    found = client.models.list()
    if as_json:
        print_json({"models": [model.raw for model in found]})
        return
    rows = [
        [
            model.name,
            model.versions,
            *(listing.serves(model.serving, model.rollouts, where) for where in ("production", "staging")),
        ]
        for model in islice(found, MOST)
    ]
    if rows:
        table(["model", "versions", "production", "staging"], rows)
    else:
        click.echo("No model yet. Train one: aihub jobs submit SPEC --data FILE")


def _versions(client: Client, name: str, *, as_json: bool) -> None:
    model = client.models.get(name)
    found = client.models.versions(name)
    if as_json:
        champions = listing.places(model.serving, ())
        rows = [{**version.raw, "serves": champions.get(version.version)} for version in found]
        print_json({"model": name, "versions": rows, "rollouts": model.rollouts})
        return
    where = listing.places(model.serving, model.rollouts)
    listing.versions(
        (version.version, version, where.get(version.version, "")) for version in islice(found, MOST)
    )


def _deployments(client: Client, name: str, *, as_json: bool) -> None:
    found = client.models.deployments(name)
    if as_json:
        print_json({"deployments": [deployment.raw for deployment in found]})
        return
    listing.deployments(islice(found, MOST))


def deploy(name: str, version: str, *, environment: str, reason: str, tag: bool, as_json: bool) -> None:
    """Put a version into an environment, or ask those who have to approve it."""
    from aihub.cli import asking
    from aihub.client import Client

    with Client() as client:
        answer = asking.deploy(client, name, version, environment=environment, reason=reason, tag=tag)
    if as_json:
        print_json(answer.raw)
    else:
        click.echo(f"{name} {version}: {outcome(answer)}")


def rollback(name: str, version: str | None, *, environment: str, reason: str, as_json: bool) -> None:
    """Go back to a version."""
    from aihub.client import Client

    with Client() as client:
        done = client.models.rollback(name, version, environment=environment, reason=reason)
    if as_json:
        print_json(done.raw)
    else:
        click.echo(f"{done.model} {done.semantic} (version {done.version}) serves in {done.environment}")


def outcome(answer: Outcome) -> str:
    """Say in a few words what came of asking for a deployment."""
    other = " (asked for before, by this run or another for the same commit)" if answer.replayed else ""
    if answer.deployment is not None:
        return f"{answer.deployment.semantic} serves in {answer.deployment.environment}{other}"
    if answer.approval is not None:
        approval = answer.approval.id
        if answer.approval.state != "pending":
            return f"approval {approval} was {answer.approval.state}{other}"
        return f"waits for approval {approval}; next: aihub approve {approval} --reason TEXT{other}"
    return f"{answer.status.replace('_', ' ')}: {answer.reason}{other}"
