"""`aihub models`: what is there, and what serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from aihub.cli.console import print_json, table
from aihub.errors import NotFoundError
from aihub.hub import opened

if TYPE_CHECKING:
    from aihub.registry.records import Deployment, Version
    from aihub.registry.registry import Registry


@click.command()
@click.argument("name", required=False)
@click.option("--history", is_flag=True, help="Deployments of NAME instead of its versions.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document for machines.")
def models(name: str | None, *, history: bool, as_json: bool) -> None:
    """List the models, the versions of one, or its deployments."""
    if history and not name:
        raise click.UsageError("--history needs the NAME of a model")
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
    rows = []
    for name in names:
        champion = registry.champion(name)
        rows.append(
            {
                "model": name,
                "versions": len(registry.versions(name)),
                "production": str(champion.semantic) if champion else None,
                "kind": champion.kind if champion else None,
            }
        )
    if as_json:
        print_json({"models": rows})
    elif rows:
        table(["model", "versions", "production", "kind"], [list(row.values()) for row in rows])
    else:
        click.echo("No model yet. Train one: aihub run SPEC --data FILE")


def _list_versions(registry: Registry, name: str, *, as_json: bool) -> None:
    champion = registry.champion(name)
    rows = [_version(version, champion) for version in reversed(registry.versions(name))]
    if as_json:
        print_json({"model": name, "versions": rows})
        return
    headings = ["version", "semantic", "status", "serves", "mae or f1", "commit", "made (UTC)", "by"]
    table(
        headings,
        [
            [
                row["number"],
                row["semantic"],
                row["status"],
                "production" if row["is_champion"] else "",
                row["metrics"].get("mae", row["metrics"].get("f1_score")),
                (row["git_commit"] or "")[:10],
                row["created_at"][:16].replace("T", " "),
                row["created_by"],
            ]
            for row in rows
        ],
    )


def _version(version: Version, champion: Version | None) -> dict[str, Any]:
    return {
        "number": version.number,
        "semantic": str(version.semantic),
        "status": str(version.status),
        "is_champion": champion is not None and champion.uid == version.uid,
        "digest": version.digest,
        "size_bytes": version.size_bytes,
        "kind": version.kind,
        "metrics": dict(version.metrics),
        "git_commit": version.git_commit,
        "report_digest": version.report_digest,
        "created_at": version.created_at.isoformat(),
        "created_by": version.created_by,
        "lineage": version.lineage.to_json(),
    }


def _list_deployments(history: list[Deployment], *, as_json: bool) -> None:
    rows = [
        {
            "version": deployment.version,
            "semantic": str(deployment.semantic),
            "environment": deployment.environment,
            "action": str(deployment.action),
            "started_at": deployment.started_at.isoformat(),
            "ended_at": deployment.ended_at.isoformat() if deployment.ended_at else None,
            "actor": deployment.actor,
            "reason": deployment.reason,
        }
        for deployment in history
    ]
    if as_json:
        print_json({"deployments": rows})
    else:
        table(
            ["version", "semantic", "environment", "action", "from (UTC)", "to (UTC)", "who", "why"],
            [list(row.values()) for row in rows],
        )
