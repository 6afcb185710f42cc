"""`aihub predict`: ask a model for tomorrow, or for the rows of a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aihub.cli.console import print_json, table
from aihub.cli.options import PATH, is_remote, json_option
from aihub.errors import DataError, InputError, NotFoundError

if TYPE_CHECKING:
    import polars as pl

    from aihub.registry.registry import Registry

WRITERS = {".csv": "write_csv", ".parquet": "write_parquet"}
"""Suffix of an answer's file, and the method of a data frame that writes it."""

_ANSWER = ("timestamp", "series", "prediction", "score", "lower", "upper")


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
    --data holds the rows to judge. With AIHUB_URL the hub answers for the name, with the version that serves there.
    """
    from aihub.delivery.answers import answer
    from aihub.hub import opened

    if output is not None and output.suffix not in WRITERS:
        raise InputError(f"--output {str(output)!r} must end in {' or '.join(WRITERS)}")
    if Path(model).is_file():
        if version is not None:
            raise InputError(f"{model!r} is a model file and has no --version; leave it out, or name a model")
        answered = answer(Path(model), data=data, horizon=horizon)
    elif is_remote():
        if version is not None:
            raise InputError(
                "a hub answers with what serves there; leave --version out, or deploy that version"
            )
        answered = _on_hub(model, data=data, horizon=horizon)
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


def _on_hub(model: str, *, data: Path | None, horizon: int | None) -> pl.DataFrame:
    """Ask the hub what the same command asks here: a forecast its next steps, any other model the rows of `data`."""
    import polars as pl

    from aihub.client import Client

    with Client() as client:
        form = client.models.schema(model)
        is_forecast = form["kind"].startswith("forecast/")
        if not is_forecast and data is None:
            raise InputError("this model answers rows; pass them with --data FILE")
        if not is_forecast and horizon is not None:
            raise InputError("only forecast models look ahead; leave --horizon out")
        rows = None if data is None else _rows(data, form["columns"], may_lack=is_forecast)
        if is_forecast:
            body = client.models.predict(model, horizon=horizon, future=rows)
        else:
            body = client.models.predict(model, records=rows)
    count = len(body["prediction"])
    columns = [name for name in _ANSWER if isinstance(body.get(name), list) and len(body[name]) == count]
    return pl.DataFrame({name: body[name] for name in columns}, strict=False)


def _rows(data: Path, columns: list[dict[str, Any]], *, may_lack: bool) -> list[dict[str, Any]]:
    """Return the columns of a file that a model takes; times stay as they are written, for the hub knows their zone."""
    import polars as pl
    import polars.selectors as cs

    from aihub.training.config import TrainingConfig
    from aihub.training.data.limits import DEFAULT_LIMITS
    from aihub.training.data.numbers import typed
    from aihub.training.data.raw import ROW, read
    from aihub.training.data.sources import locate

    wanted = [column["name"] for column in columns]
    numeric = [column["name"] for column in columns if column["type"] == "number"]
    # Of the hours to come not every column is known; the hub says which it misses.
    optional = wanted if may_lack else ()
    frame = read(locate(data), wanted=wanted, numeric=numeric, optional=optional, limits=DEFAULT_LIMITS).frame
    numeric = [name for name in numeric if name in frame.columns]
    if numeric:
        known = TrainingConfig.model_construct(target=numeric[0], features=numeric[1:])
        frame, _ = typed(frame, known, label=str(data))
    frame = frame.drop(ROW).with_columns(cs.temporal().dt.to_string("iso:strict"))
    return frame.with_columns(pl.col(pl.Float32, pl.Float64).fill_nan(None)).to_dicts()


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
