"""`aihub validate`: one model file on one table, and every form of the report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aihub.cli.options import PATH, json_option
from aihub.errors import ConfigError, DataError
from aihub.types import ModelType

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from aihub.types import Predictor
    from aihub.validation.results import ValidationReport

_MOST_BYTES = 64 << 20


@click.command()
@click.argument("model", type=PATH)
@click.option(
    "--data", type=PATH, required=True, help="Table to validate on: CSV, Parquet or ARFF, also compressed."
)
@click.option("--target", help="Column with what really happened; a model of the hub knows it.")
@click.option(
    "--baseline", type=PATH, help='Metrics to hold it against: JSON such as {"mae": 45.0}, or a report.json.'
)
@click.option(
    "--profile",
    type=PATH,
    help="Training data to compare with: a file of `aihub profile`, or JSON with mean and std.",
)
@click.option(
    "--spec", type=PATH, help="Spec whose validation section sets thresholds, checks and severities."
)
@click.option("--champion", type=PATH, help="Model in use, to be compared with on the same rows.")
@click.option("--timestamp", help="Column of time stamps; a model of the hub knows it.")
@click.option("--series", help="Column of series ids; a model of the hub knows it.")
@click.option(
    "--since",
    type=click.DateTime(),
    help="Judge the rows from this moment (UTC) on; earlier ones are history.",
)
@click.option(
    "--model-type",
    # As text: of an enumeration the option would want the names in capitals.
    type=click.Choice([str(kind) for kind in ModelType], case_sensitive=False),
    help="Of a model that does not say it itself; forecast by default.",
)
@click.option("--report", type=PATH, help="Folder for report.txt, .json, .md, .html and junit.xml.")
@click.option(
    "--trust", is_flag=True, help="Read a pickle that names more than the allow-list; the report says so."
)
@click.option("--annotations", is_flag=True, help="Also print GitHub annotations, placed at the spec.")
@json_option
def validate(model: Path, *, as_json: bool, report: Path | None, annotations: bool, **options: Any) -> int:
    """Validate MODEL on a table and say whether it may pass the gate.

    MODEL is an artefact of the hub, a LightGBM text model, an XGBoost UBJSON or JSON model, or a pickle of an estimator.

    Exit codes: 0 the gate passed, 1 the gate failed, 2 bad input, 3 internal error.
    """
    from aihub.validation.report import render_annotations, render_json, render_text, write_reports

    result = judged(model, **options)
    written = write_reports(result, report) if report is not None else {}
    if as_json:
        click.echo(render_json(result))
    else:
        click.echo(render_text(result))
        if written:
            click.echo(f"Report: {written['report.html']}")
    if annotations:
        spec = options["spec"]
        click.echo(
            render_annotations(result, file=None if spec is None else spec.as_posix()), nl=False, err=as_json
        )
    return 0 if result.passed else 1


def judged(
    model: Path,
    *,
    data: Path,
    target: str | None,
    baseline: Path | None,
    profile: Path | None,
    spec: Path | None,
    champion: Path | None,
    timestamp: str | None,
    series: str | None,
    since: datetime | None,
    model_type: str | None,
    trust: bool,
) -> ValidationReport:
    """Read everything that was named, and run the gate.

    Raises
    ------
    InputError, ValidationError
        A file cannot be used; the message names it.
    """
    from aihub.delivery.judging import table_for
    from aihub.training.data.sources import locate
    from aihub.validation.prediction import load
    from aihub.validation.validator import ModelValidator

    # What costs nothing to look at is looked at before the model is loaded in its child process.
    locate(data)
    section, spec_type = _section(spec)
    metrics = _baseline(baseline)
    stats, profile_file = _profile(profile)
    loaded = load(model, trust=trust)
    config = getattr(loaded, "config", None)
    kind = model_type or spec_type or getattr(config, "model_type", None) or ModelType.FORECAST
    column = target or getattr(config, "target", None)
    if column is None:
        raise ConfigError(
            "the model does not say what it predicts; name the column with --target", field="target"
        )
    table, context = table_for(loaded, data, column)
    rows = _since(table, timestamp or getattr(config, "timestamp", None), since)

    def loader(path: str, *, trust: bool) -> Predictor:
        return loaded if Path(path) == model else load(path, trust=trust)

    validator = ModelValidator(kind, spec=section, loader=loader)
    return validator.validate_model(
        model,
        rows,
        column,
        baseline_metrics=metrics,
        training_data_stats=stats,
        champion=champion,
        training_profile=profile_file,
        history=table if since is not None else None,
        timestamps=timestamp,
        series=series,
        trust=trust,
        context={**context, **({"champion": {"file": str(champion)}} if champion else {})},
    )


def _section(spec: Path | None) -> tuple[Mapping[str, Any] | None, ModelType | None]:
    if spec is None:
        return None, None
    from aihub.training.spec import load_spec

    found = load_spec(spec)
    return found.validation, found.training.model_type


def _since(table: Any, name: str | None, since: datetime | None) -> Any:
    if since is None:
        return table
    import polars as pl

    if name is None or not isinstance(table.schema.get(name), pl.Datetime):
        raise ConfigError("--since needs a column of times; name it with --timestamp", field="since")
    moment = pl.lit(since).dt.replace_time_zone("UTC")
    rows = table.filter(pl.col(name) >= moment)
    if rows.height == 0:
        last = table.get_column(name).max()
        raise DataError(
            f"no row is from {since:%Y-%m-%d %H:%M} or later; the last is from {last:%Y-%m-%d %H:%M}",
            column=name,
        )
    return rows


def _baseline(path: Path | None) -> dict[str, float] | None:
    if path is None:
        return None
    content = _json(path, "a baseline")
    metrics: Any = content
    if "checks" in content:
        for key in ("checks", "performance", "metrics"):
            metrics = metrics.get(key) if isinstance(metrics, dict) else None
    numbers = {}
    for name, value in metrics.items() if isinstance(metrics, dict) else ():
        if isinstance(value, int | float) and not isinstance(value, bool):
            numbers[name] = _finite(value, name, path)
    if not numbers:
        raise DataError(
            'holds no metric; give JSON such as {"mae": 45.0}, or a report.json of the hub', file=str(path)
        )
    return numbers


def _finite(value: float, name: str, path: Path) -> float:
    import math

    try:
        if math.isfinite(value):
            return float(value)
    except OverflowError:
        pass
    raise DataError(f"metric {name!r} is not finite. Give a number, or leave it out.", file=str(path))


def _profile(path: Path | None) -> tuple[dict[str, Any] | None, Path | None]:
    """Return the guide's statistics or the path of a profile, whichever the file holds."""
    if path is None:
        return None, None
    _require_file(path)
    try:
        with path.open("rb") as file:
            is_json = file.read(64).lstrip().startswith(b"{")
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror}). Check the path.", file=str(path)) from error
    return (_json(path, "training statistics"), None) if is_json else (None, path)


def _require_file(path: Path) -> None:
    """Refuse what has no size to be judged by (a pipe, a device) or is too large for a page of numbers."""
    if path.exists() and not path.is_file():
        raise DataError("is not a file. Name one.", file=str(path))
    if path.exists() and path.stat().st_size > _MOST_BYTES:
        raise DataError(f"is larger than {_MOST_BYTES >> 20} MiB. Check the path.", file=str(path))


def _json(path: Path, what: str) -> dict[str, Any]:
    import json

    _require_file(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror}). Check the path.", file=str(path)) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"is not JSON ({error}). Give {what} as a JSON object.", file=str(path)) from error
    if not isinstance(content, dict):
        raise DataError(f"holds no JSON object. Give {what} as one.", file=str(path))
    return content
