"""`aihub models`: what is there, and what serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from aihub.cli import listing, remote
from aihub.cli.console import print_json, table
from aihub.cli.options import is_remote, json_option
from aihub.errors import NotFoundError
from aihub.hub import opened
from aihub.registry.records import PRODUCTION
from aihub.types import iso

if TYPE_CHECKING:
    from aihub.registry.records import Deployment
    from aihub.registry.registry import Registry


@click.command()
@click.argument("name", required=False)
@click.option("--history", is_flag=True, help="Deployments of NAME instead of its versions.")
@json_option
def models(name: str | None, *, history: bool, as_json: bool) -> None:
    """List the models, the versions of one, or its deployments: of the hub AIHUB_URL, else of this folder."""
    if history and not name:
        raise click.UsageError("--history needs the NAME of a model")
    if is_remote():
        remote.list_models(name, history=history, as_json=as_json)
        return
    with opened() as hub:
        known = hub.registry.models()
        if name is None:
            _list_models(hub.registry, known, as_json=as_json)
        elif name not in known:
            raise NotFoundError("model", name, known)
        elif history:
            _list_deployments(hub.registry.history(name), as_json=as_json)
        else:
            _list_versions(hub.registry, name, as_json=as_json)


def _list_models(registry: Registry, names: list[str], *, as_json: bool) -> None:
    rows, beside = [], _beside(registry)
    for name in names:
        champion = registry.champion(name)
        rows.append(
            {
                "model": name,
                "versions": len(registry.versions(name)),
                "production": str(champion.semantic) if champion else None,
                "kind": champion.kind if champion else None,
                "rollouts": [one for one in beside if one["model"] == name],
            }
        )
    if as_json:
        print_json({"models": rows})
    elif rows:
        table(["model", "versions", "production", "kind"], [_row(row) for row in rows])
    else:
        click.echo("No model yet. Train one: aihub run SPEC --data FILE")


def _row(model: dict[str, Any]) -> list[object]:
    champion = model["production"]
    serving = [{"semantic": champion, "environment": PRODUCTION}] if champion else []
    production = listing.serves(serving, model["rollouts"], PRODUCTION)
    return [model["model"], model["versions"], production, model["kind"]]


def _beside(registry: Registry, name: str | None = None) -> list[dict[str, Any]]:
    """Return what runs beside the champions, as the API shows it."""
    from aihub.delivery.rollouts import all_active
    from aihub.store.engine import read

    with read(registry.engine, tenant=registry.tenant) as connection:
        found = all_active(connection, tenant=registry.tenant)
    return [
        {
            "id": one.uid,
            "model": one.model,
            "environment": one.environment,
            "version": one.version,
            "semantic": str(one.semantic),
            "strategy": one.progress.strategy.kind,
            "share": one.progress.share,
            "since": iso(one.progress.started_at),
        }
        for one in found
        if name in (None, one.model)
    ]


def _list_versions(registry: Registry, name: str, *, as_json: bool) -> None:
    champion = registry.champion(name)
    serving = champion.uid if champion else None
    versions, beside = registry.versions(name)[::-1], _beside(registry, name)
    if as_json:
        rows = [{**version.to_dict(), "is_champion": version.uid == serving} for version in versions]
        print_json({"model": name, "versions": rows, "rollouts": beside})
        return
    where = [{"version": champion.number, "environment": PRODUCTION}] if champion else []
    places = listing.places(where, beside)
    listing.versions((version.number, version, places.get(version.number, "")) for version in versions)


def _list_deployments(history: list[Deployment], *, as_json: bool) -> None:
    if as_json:
        print_json({"deployments": [deployment.to_dict() for deployment in history]})
        return
    listing.deployments(history)
