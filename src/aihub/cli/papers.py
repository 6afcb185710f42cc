"""`aihub changelog` and `aihub bom`: the papers of a model and of a version."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from aihub.cli.options import PATH, is_remote
from aihub.errors import NotFoundError
from aihub.hub import opened

if TYPE_CHECKING:
    from pathlib import Path

_OUTPUT = click.option("--output", type=PATH, help="Write to this file instead of the terminal.")


@click.command()
@click.argument("name")
@_OUTPUT
def changelog(name: str, output: Path | None) -> None:
    """Write the changelog of model NAME from lineage and decisions, in Markdown: of the hub AIHUB_URL, else of this folder."""
    if is_remote():
        from aihub.client import Client

        with Client() as client:
            _give(client.models.changelog(name), output)
        return
    from aihub.registry.changelog import changelog as write

    with opened() as hub:
        versions = hub.registry.versions(name)
        if not versions:
            raise NotFoundError("model", name, hub.registry.models())
        text = write(name, versions, hub.registry.history(name))
    _give(text, output)


@click.command()
@click.argument("name")
@click.argument("version")
@_OUTPUT
def bom(name: str, version: str, output: Path | None) -> None:
    """Write the bill of materials of VERSION of model NAME: CycloneDX with a model card, in JSON.

    Of the hub AIHUB_URL, else of this folder.
    """
    bill = _bill_of_hub(name, version) if is_remote() else _bill_here(name, version)
    _give(json.dumps(bill, indent=2, ensure_ascii=False) + "\n", output)


def _bill_of_hub(name: str, version: str) -> dict[str, Any]:
    from aihub.client import Client

    with Client() as client:
        return client.models.bom(name, version)


def _bill_here(name: str, version: str) -> dict[str, Any]:
    import aihub
    from aihub.registry.bom import bill_of_materials

    with opened() as hub:
        registry = hub.registry
        found = registry.version(name, version)
        artifact = registry.artifacts.get(found.digest)
        return bill_of_materials(found, artifact, tenant=registry.tenant, hub_version=aihub.__version__)


def _give(text: str, output: Path | None) -> None:
    if output is None:
        click.echo(text, nl=False)
    else:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")
        click.echo(f"Written: {output}")
