"""`aihub predict`: ask a model for tomorrow, or for the rows of a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from aihub.cli.console import print_json, table
from aihub.cli.options import PATH, json_option
from aihub.errors import DataError, InputError, NotFoundError

if TYPE_CHECKING:
    import polars as pl

    from aihub.registry.registry import Registry

WRITERS = {".csv": "write_csv", ".parquet": "write_parquet"}
"""Suffix of an answer's file, and the method of a data frame that writes it."""


@click.command()
@click.argument("model")
@click.option("--version", help="Number, v1.2.3 or git commit; without it, the version in production.")
@click.option("--data", type=PATH, help="Rows to answer, or future values of the features.")
@click.option(
    "--horizon", type=click.IntRange(min=1), help="Steps to look ahead; without it, the model's own horizon."
)
@click.option("--output", type=PATH, help="Write the answer to this .csv or .parquet file.")
@json_option
def predict(
    model: str,
    version: str | None,
    data: Path | None,
    horizon: int | None,
    output: Path | None,
    *,
    as_json: bool,
) -> None:
    """Ask MODEL (a name in the registry, or a model file) for its next hours, with an interval.

    A forecast model that needs weather wants it for the hours asked for: pass them with --data. For an anomaly model
    --data holds the rows to judge.
    """
    from aihub.delivery.answers import answer
    from aihub.hub import opened

    if output is not None and output.suffix not in WRITERS:
        raise InputError(f"--output {str(output)!r} must end in {' or '.join(WRITERS)}")
    if Path(model).is_file():
        if version is not None:
            raise InputError(f"{model!r} is a model file and has no --version; leave it out, or name a model")
        answered = answer(Path(model), data=data, horizon=horizon)
    else:
        with opened() as hub:
            answered = answer(_artifact(hub.registry, model, version), data=data, horizon=horizon)
    if output is not None:
        _write(answered, output)
    if as_json:
        print_json({"model": model, "rows": answered.to_dicts()})
    elif output is None:
        table(answered.columns, answered.rows())
    else:
        click.echo(f"{answered.height} rows written to {output}")


def _artifact(registry: Registry, model: str, version: str | None) -> Path:
    if version is not None:
        return registry.artifact_path(registry.version(model, version))
    champion = registry.champion(model)
    if champion is None:
        known = registry.models()
        if model not in known:
            raise NotFoundError("model or model file", model, known)
        raise InputError(f"no version of {model!r} is in production. Deploy one, or name one with --version.")
    return registry.artifact_path(champion)


def _write(answered: pl.DataFrame, output: Path) -> None:
    try:
        getattr(answered, WRITERS[output.suffix])(output)
    except OSError as error:
        message = f"cannot be written ({error.strerror or error}). Give another path."
        raise DataError(message, file=str(output)) from error
