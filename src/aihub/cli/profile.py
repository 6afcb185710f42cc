"""`aihub profile`: a table summarised into a small file that drift and validation can compare with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from aihub.cli.options import PATH, json_option
from aihub.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from aihub.validation.profile import Profile

MOST_SHOWN = 200
"""Columns listed for a person; the file and ``--json`` have all of them."""


@click.command()
@click.argument("file", type=PATH)
@click.option(
    "--output",
    type=PATH,
    help="Write the profile to this file, for `aihub drift` and `aihub validate --profile`.",
)
@click.option("--target", help="Column with what really happened.")
@click.option("--prediction", help="Column with a model's predictions; with --target it gives the metrics.")
@click.option("--timestamp", help="Column of time stamps: summarises per hour of the week as well.")
@click.option("--time-zone", default="UTC", show_default=True, help="IANA zone of the hour of the week.")
@json_option
def profile(file: Path, *, output: Path | None, as_json: bool, **roles: Any) -> None:
    """Summarise FILE, or print a profile written earlier.

    A profile holds no rows: counts, moments and a histogram per column. Parquet of any size is read a part at a time.
    """
    from aihub.cli.console import print_json, table
    from aihub.validation.profile import ProfileSpec

    found, notes = profiled(file, ProfileSpec(**roles))
    if output is not None:
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_bytes(found.to_bytes())
        except OSError as error:
            raise DataError(
                f"cannot be written ({error.strerror}). Give another path.", file=str(output)
            ) from error
    columns = [described(name, summary) for name, summary in found.columns.items()]
    if as_json:
        print_json(
            {
                "file": str(file),
                "rows": found.rows,
                "columns": columns,
                "metrics": found.metrics(),
                "notes": notes,
            }
        )
        return
    heads = ("column", "kind", "missing", "mean", "std", "min", "median", "max", "most frequent")
    shown = [[_text(column.get(head.replace(" ", "_"))) for head in heads] for column in columns[:MOST_SHOWN]]
    table(heads, shown, title=f"{file}: {found.rows:,} rows, {len(columns)} columns")
    if len(columns) > MOST_SHOWN:
        click.echo(f"  … and {len(columns) - MOST_SHOWN} more columns")
    for name, value in found.metrics().items():
        click.echo(f"  {name}: {value:.4f}")
    for note in notes:
        click.echo(f"  note: {note}")
    if output is not None:
        click.echo(f"Profile: {output} ({output.stat().st_size:,} bytes)")


def profiled(file: Path, spec: Any = None) -> tuple[Profile, list[str]]:
    """Return the profile of a table, or the one that the file holds, and what had to be repaired to read it.

    Raises
    ------
    DataError
        The file cannot be read.
    ArtifactError
        It is a profile that was changed, cut off or is of another version.
    """
    from aihub.training.data.sources import locate
    from aihub.validation.profile import Profile
    from aihub.validation.profile.codec import MAGIC

    source = locate(file)
    with source.path.open("rb") as stream:
        is_profile = stream.read(len(MAGIC)) == MAGIC
    if is_profile:
        return Profile.from_bytes(source.path.read_bytes()), []
    if source.kind == "parquet" and source.path.suffix == ".parquet":
        return Profile.of(source.path, spec), []  # a row group at a time, whatever its size
    from aihub.training.data.plain import read_table

    frame, notes = read_table(file)
    return Profile.of(frame, spec), notes


def described(name: str, summary: Any) -> dict[str, Any]:
    """Return what a person wants to know of a column."""
    from aihub.validation.profile import CategorySummary

    column: dict[str, Any] = {"column": name, "rows": summary.rows, "missing": summary.missing}
    if isinstance(summary, CategorySummary):
        top = next(iter(summary.counts.items()), None)
        share = f" ({top[1] / summary.n:.0%})" if top and summary.n else ""
        return {
            **column,
            "kind": "category",
            "categories": len(summary.counts),
            "most_frequent": f"{top[0]}{share}" if top else None,
        }
    if summary.n == 0:
        return {**column, "kind": summary.kind}
    if summary.kind == "time":
        return {**column, "kind": "time", "min": _stamp(summary.minimum), "max": _stamp(summary.maximum)}
    figures = {
        "mean": summary.mean,
        "std": summary.std,
        "min": summary.minimum,
        "median": float(summary.quantile(0.5)),
        "max": summary.maximum,
    }
    return {**column, "kind": summary.kind, **figures, "non_finite": summary.non_finite}


def _stamp(seconds: float) -> str | float:
    from datetime import UTC, datetime

    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError, OSError):
        return seconds


def _text(value: Any) -> str:
    from aihub.validation.report.wording import brief, plain

    return "" if value is None else plain(value, 40) if isinstance(value, str) else brief(value)
