"""`aihub sample`: data to try a pipeline on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from aihub.cli.options import PATH
from aihub.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@click.option(
    "--model-type", type=click.Choice(["forecast", "anomaly"]), default="forecast", show_default=True
)
@click.option("--samples", type=click.IntRange(min=1), default=10_000, show_default=True, help="Hourly rows.")
@click.option("--seed", type=int, default=42, show_default=True, help="Same seed and samples, same rows.")
@click.option("--output", type=PATH, required=True, help="A .csv or .parquet file.")
def sample(model_type: str, samples: int, seed: int, output: Path) -> None:
    """Write hourly load with weather, as a meter would give it; for anomalies with a 0/1 label."""
    from aihub.training.synthetic import generate

    data = generate(model_type, samples, seed=seed)
    try:
        if output.suffix == ".parquet":
            data.write_parquet(output)
        else:
            data.write_csv(output, datetime_format="%Y-%m-%d %H:%M:%S")
    except OSError as error:
        raise DataError(
            f"cannot be written ({error.strerror}). Check the folder.", file=str(output)
        ) from error
    click.echo(f"Generated {len(data)} samples")
