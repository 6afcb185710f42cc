"""`aihub trust`: which workflows of GitHub may do what, without any stored secret."""

from __future__ import annotations

from typing import Any

import click

from aihub.cli.acting import acting
from aihub.cli.console import print_json, table
from aihub.cli.options import json_option

tenant_option = click.option(
    "--tenant", default="default", show_default=True, help="Tenant in which the job acts."
)


@click.group()
def trust() -> None:
    """Say which workflows of GitHub the hub knows by their own token, and what they may do."""


@trust.command()
@click.argument("name")
@click.option(
    "--repository-id",
    required=True,
    help="gh api repos/OWNER/REPO --jq .id; a name can be registered anew, an id not.",
)
@click.option(
    "--owner-id", "repository_owner_id", required=True, help="gh api repos/OWNER/REPO --jq .owner.id"
)
@click.option(
    "--role",
    "roles",
    multiple=True,
    required=True,
    type=click.Choice(["viewer", "trainer", "deployer"]),
    help="May be given several times.",
)
@click.option("--ref", help="Exact git ref: refs/heads/main.")
@click.option(
    "--workflow",
    "job_workflow_ref",
    help="Exact file and ref: OWNER/REPO/.github/workflows/model-training.yml@refs/heads/main.",
)
@click.option("--environment", help="Exact environment of the job; a deployer needs one.")
@click.option(
    "--event",
    "event_names",
    multiple=True,
    help="May be given several times; default push, schedule, workflow_dispatch.",
)
@tenant_option
@json_option
def add(*, as_json: bool, **options: Any) -> None:
    """Trust the jobs that match NAME's conditions exactly.

    Pull requests are read-only whatever is said here: a token does not tell whether one comes from a fork.
    """
    from aihub.github import policies
    from aihub.github.trust import TrustPolicy
    from aihub.hub import opened
    from aihub.store.engine import write

    policy = TrustPolicy(**{name: value for name, value in options.items() if value not in (None, ())})
    with opened() as hub, write(hub.engine, tenant=policy.tenant) as connection:
        policies.add(connection, policy, audit=hub.audit, **acting())
    if as_json:
        print_json(policy.model_dump(mode="json"))
    else:
        click.echo(f"{policy.name}: {', '.join(policy.roles)} of {policy.tenant}, trusted from now on")


@trust.command("list")
@click.option("--tenant", help="Of this tenant only.")
@json_option
def list_(tenant: str | None, *, as_json: bool) -> None:
    """List what is trusted."""
    from aihub.github import policies
    from aihub.hub import opened
    from aihub.store.engine import EVERY_TENANT, read

    with opened() as hub, read(hub.engine, tenant=tenant or EVERY_TENANT) as connection:
        found = policies.listed(connection, tenant=tenant)
    if as_json:
        print_json([policy.model_dump(mode="json") for policy in found])
        return
    rows = [
        (p.tenant, p.name, p.repository_id, "+".join(p.roles), p.ref, p.environment, ", ".join(p.event_names))
        for p in found
    ]
    table(["tenant", "name", "repository", "roles", "ref", "environment", "events"], rows)


@trust.command()
@click.argument("name")
@tenant_option
def remove(name: str, tenant: str) -> None:
    """Trust NAME no longer; the running sessions of its repository end at once."""
    from aihub.github import policies
    from aihub.hub import opened
    from aihub.store.engine import write

    with opened() as hub, write(hub.engine, tenant=tenant) as connection:
        policies.remove(connection, name, tenant=tenant, audit=hub.audit, **acting())
    click.echo(f"{name} is not trusted any more")
