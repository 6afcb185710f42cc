"""`aihub register`: bring a model that was trained elsewhere."""

from __future__ import annotations

import os
from getpass import getuser
from typing import TYPE_CHECKING

import click

from aihub.cli.console import print_json
from aihub.cli.options import PATH, is_remote, json_option
from aihub.types import ModelType

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@click.argument("name")
@click.argument("file", type=PATH)
@click.option("--target", help="Column that the model predicts; the file does not say it.")
@click.option(
    "--model-type",
    type=click.Choice([str(kind) for kind in ModelType], case_sensitive=False),
    default=str(ModelType.FORECAST),
    show_default=True,
    help="What it answers.",
)
@json_option
def register(name: str, file: Path, target: str | None, model_type: str, *, as_json: bool) -> None:
    """Make the model in FILE a version of model NAME: a LightGBM or XGBoost model, a pickle of one, or the hub's own form.

    With AIHUB_URL it is the hub's, which deploys it after a gate: aihub jobs validate NAME VERSION --data FILE. The same file
    again is the same version.
    """
    known = {"model_type": model_type, **({} if target is None else {"target": target})}
    if is_remote():
        from aihub.cli import asking
        from aihub.client import Client

        with Client() as client:
            made = asking.register(client, name, file, quiet=as_json, **known)
        if as_json:
            print_json(made.raw)
        elif made.status == "candidate" and not made.replayed:
            click.echo(f"Next: aihub jobs validate {name} {made.version} --data FILE")
        return
    from aihub.client import commit
    from aihub.delivery.by_hand import ByHand
    from aihub.hub import opened

    with opened() as hub:
        hand = ByHand(hub=hub, tenant=os.environ.get("AIHUB_TENANT") or "default", actor=getuser())
        version = hand.register(file, name, git_commit=commit.current(), config=known)
    if as_json:
        print_json(version.to_dict())
    else:
        click.echo(f"Registered {version}")
