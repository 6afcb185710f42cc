"""`aihub schema`: what editors complete a spec from, and what readers of a report may rely on."""

from __future__ import annotations

import json

import click


@click.command()
@click.argument("kind", type=click.Choice(["spec", "report"]))
def schema(kind: str) -> None:
    """Print the JSON schema of a model's spec or of a validation report."""
    if kind == "spec":
        from aihub.training.spec import json_schema as of_spec

        document = of_spec()
    else:
        from aihub.validation.report.schema import report_schema as of_report

        document = of_report()
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))
