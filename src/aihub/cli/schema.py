"""`aihub schema`: what editors complete a spec from, and what readers of a report may rely on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from aihub.cli.options import PATH
from aihub.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@click.argument("kind", type=click.Choice(["spec", "report"]), default="spec")
@click.argument("files", nargs=-1, type=PATH)
@click.option("--check", is_flag=True, help="Check the specs FILES instead of printing the schema.")
def schema(kind: str, files: tuple[Path, ...], *, check: bool) -> int:
    """Print the JSON schema of a model's spec or of a validation report; with --check read specs and say what is wrong."""
    if check or files:
        return _check(files)
    if kind == "spec":
        from aihub.delivery.specification import json_schema as of_spec

        document = of_spec()
    else:
        from aihub.validation.report.schema import report_schema as of_report

        document = of_report()
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    return 0


def _check(files: tuple[Path, ...]) -> int:
    """Read every spec, also behind one that is wrong."""
    from aihub.training.spec import load_spec

    if not files:
        raise ConfigError("no spec is named; write aihub schema spec --check FILE ...")
    code = 0
    for file in files:
        try:
            click.echo(f"{file}: {load_spec(file).name}")
        except ConfigError as error:
            click.echo(f"{file}: {error}", err=True)
            code = error.exit_code
    return code
