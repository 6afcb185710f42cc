"""`aihub run`: the main job on the user's own data, without a server."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from getpass import getuser
from typing import TYPE_CHECKING, Any

import click

from aihub.cli.console import print_json, shown_progress, table
from aihub.cli.options import PATH, json_option
from aihub.errors import ConfigError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aihub.delivery.run import Delivery

SHOWN_ROWS = 24
HTML = "report.html"


@click.command()
@click.argument("spec", type=PATH)
@click.option("--data", type=PATH, required=True, help="CSV (also compressed) or Parquet.")
@click.option(
    "--report",
    "reports",
    type=PATH,
    help="Folder for the report; default .aihub/reports.",
)
@click.option(
    "--deploy/--no-deploy", default=True, help="Whether a version that passes goes to production at once."
)
@json_option
def run(spec: Path, data: Path, reports: Path | None, *, deploy: bool, as_json: bool) -> int:
    """Train the model of SPEC on a file, validate it, register it, deploy it and ask it for what comes next.

    Exit code 0: the gate passed. 1: it failed; the version is kept as rejected. 2: bad input.
    """
    from aihub.delivery.mirror import Mirror
    from aihub.delivery.run import Order, deliver
    from aihub.hub import opened
    from aihub.training.spec import load_spec

    with opened() as hub, shown_progress(quiet=as_json) as listener:
        order = Order(
            spec=load_spec(spec),
            data=data,
            actor=getuser(),
            now=datetime.now(UTC),
            reports=reports or hub.settings.home / "reports",
            deploy=deploy,
        )
        mirror = Mirror.start(hub.settings)
        with _naming(spec):
            delivery = deliver(order, hub.registry, listener)
        mirror.finish(listener)
        artifact = hub.registry.artifact_path(delivery.version)
    if as_json:
        print_json(_document(delivery, artifact))
    else:
        click.echo(f"\n{delivery.report}\n")
        _show_answer(delivery, artifact)
        _show_end(delivery)
    return 0 if delivery.passed else 1


@contextmanager
def _naming(spec: Path) -> Iterator[None]:
    """Name the file in complaints about what it says."""
    try:
        yield
    except ConfigError as error:
        if str(spec) in str(error):
            raise
        raise ConfigError(f"{spec}: {error}", field=error.field) from error


def _document(delivery: Delivery, artifact: Path) -> dict[str, Any]:
    version = delivery.version
    return {
        "passed": delivery.passed,
        "failures": delivery.report.failures,
        "warnings": delivery.report.warnings,
        "model": version.model,
        "version": version.number,
        "semantic": str(version.semantic),
        "status": str(version.status),
        "digest": version.digest,
        "artifact": str(artifact),
        "deployed": delivery.deployment is not None,
        "withheld": delivery.withheld,
        "metrics": dict(version.metrics),
        "notes": [note.to_dict() for note in delivery.table.notes],
        "reports": {form: str(path) for form, path in delivery.report_files.items()},
    }


def _show_answer(delivery: Delivery, artifact: Path) -> None:
    """Ask a forecast model for its next hours; one that needs weather, or rows to judge, is shown how to be asked."""
    from aihub.delivery.answers import answer

    try:
        answered = answer(artifact)
    except InputError as error:
        # Without a version it is the one in production that answers.
        which = "" if delivery.deployment else f" --version {delivery.version.number}"
        click.echo(f"To ask it: aihub predict {delivery.version.model}{which} --data FILE\n  {error}\n")
        return
    shown = answered.head(SHOWN_ROWS)
    table(
        shown.columns, shown.rows(), title=f"What comes next ({answered.height} rows, {shown.height} shown)"
    )
    click.echo("")


def _show_end(delivery: Delivery) -> None:
    version = delivery.version
    click.echo(f"{version}: {version.status}{', serves in production' if delivery.deployment else ''}")
    click.echo(f"Report: {delivery.report_files[HTML]}")
