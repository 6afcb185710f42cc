"""`aihub drift`: whether a table differs from another by more than nothing, column by column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from aihub.cli.options import PATH, json_option
from aihub.errors import ConfigError, DataError, did_you_mean
from aihub.types import Drift

if TYPE_CHECKING:
    from pathlib import Path

    from aihub.validation.drift import DriftReport

MOST_SHOWN = 200


@click.command()
@click.argument("reference", type=PATH, required=False)
@click.argument("current", type=PATH, required=False)
@click.option("--model", help="Instead of files: what a model was asked with against its training data.")
@click.option(
    "--days",
    type=click.IntRange(1, 3660),
    default=7,
    show_default=True,
    help="Days looked back, with --model.",
)
@click.option(
    "--timestamp", help="Column of time stamps: compares as series, season by season. Needs both tables."
)
@click.option(
    "--time-zone", default="UTC", show_default=True, help="IANA zone of the calendar, with --timestamp."
)
@click.option("--columns", help="Only these columns, separated by commas.")
@json_option
def drift(
    reference: Path | None,
    current: Path | None,
    *,
    model: str | None,
    days: int,
    timestamp: str | None,
    time_zone: str,
    columns: str | None,
    as_json: bool,
) -> int:
    """Compare CURRENT with REFERENCE: tables, or profiles that `aihub profile` wrote; or ask of a MODEL that serves.

    Three verdicts: ok, drift, not enough data (with the rows that would do). Without --timestamp the rows count as
    exchangeable, and a season is a difference; name the time column of anything that has one.

    Exit codes: 0 no drift, 1 drift or not enough data to tell, 2 bad input, 3 internal error.
    """
    if model is not None:
        from aihub.cli.monitor import drift_of

        return drift_of(model, days, as_json=as_json)
    if reference is None or current is None:
        raise click.UsageError("give REFERENCE and CURRENT, or --model NAME")
    chosen = [name.strip() for name in columns.split(",")] if columns else None
    if timestamp is None:
        report, hint = _as_profiles(reference, current, chosen)
    else:
        report, hint = _as_series(reference, current, timestamp, time_zone, chosen), ""
    _show(report, as_json=as_json)
    if hint:
        click.echo(hint, err=True)
    return 0 if report.verdict is Drift.OK else 1


def _as_profiles(reference: Path, current: Path, chosen: list[str] | None) -> tuple[DriftReport, str]:
    from aihub.cli.profile import profiled
    from aihub.validation.drift import compare_profiles

    before, now = profiled(reference)[0], profiled(current)[0]
    for name in chosen or ():
        if name not in before.columns:
            raise ConfigError(
                f"{str(reference)!r} has no column {name!r}.{did_you_mean(name, before.columns)}",
                field="columns",
            )
    times = [name for name, summary in before.columns.items() if getattr(summary, "kind", "") == "time"]
    hint = ""
    if times:
        hint = f"note: the rows have a time ({times[0]!r}); compare them season by season with --timestamp {times[0]}"
    return compare_profiles(before, now, columns=chosen), hint


def _as_series(
    reference: Path, current: Path, timestamp: str, time_zone: str, chosen: list[str] | None
) -> DriftReport:
    from aihub.validation.drift import compare_series, fit_references

    stamps, columns = _series(reference, timestamp, chosen)
    later, window = _series(current, timestamp, None)
    references = fit_references(stamps, columns, time_zone=time_zone)
    if not references:
        raise DataError("has no column of numbers to compare beside the time stamps", file=str(reference))
    return compare_series(references, later, window)


def _series(path: Path, timestamp: str, chosen: list[str] | None) -> tuple[Any, dict[str, Any]]:
    """Return time stamps and numeric columns of a table."""
    from aihub.training.data.plain import read_table
    from aihub.validation.frames import columns as columns_of
    from aihub.validation.vectors import timestamps_utc

    frame, _ = read_table(path)
    for name in (timestamp, *(chosen or ())):
        if name not in frame.columns:
            hint = did_you_mean(name, frame.columns)
            raise DataError(f"there is no such column.{hint} Correct the name.", file=str(path), column=name)
    found = columns_of(frame)
    names = chosen or [name for name in frame.columns if name != timestamp]
    stamps = timestamps_utc(frame.get_column(timestamp), timestamp)
    return stamps, {name: found[name] for name in names if found[name].dtype.kind == "f"}


def _show(report: DriftReport, *, as_json: bool) -> None:
    from aihub.cli.console import print_json, table
    from aihub.validation.report.wording import brief, plain

    order = list(report.results)
    if as_json:
        print_json({"verdict": report.verdict, "columns": report.verdicts, "results": [_plain(r) for r in order],
                    "extra_columns": report.extra_columns, "skipped": report.skipped, "n_needed": report.n_needed})  # fmt: skip
        return
    worst = [Drift.DRIFT, Drift.NOT_ENOUGH_DATA, Drift.OK]
    order.sort(key=lambda r: worst.index(r.verdict))
    heads = (
        "column",
        "verdict",
        "test",
        "effect",
        "counts as nothing",
        "p adjusted",
        "rows",
        "rows needed",
        "seen",
    )
    rows = [
        [plain(r.column, 60), str(r.verdict), r.test, *(_known(v, brief) for v in (r.effect, r.min_effect, r.p_adjusted)),
         f"{r.n_current:,}", "" if r.n_needed is None else f"{r.n_needed:,}", plain(r.note, 80)]
        for r in order[:MOST_SHOWN]
    ]  # fmt: skip
    table(heads, rows)
    if len(order) > MOST_SHOWN:
        click.echo(f"  … and {len(order) - MOST_SHOWN} more results")
    for name, why in report.skipped.items():
        click.echo(f"  not compared: {plain(name, 60)}, {why}")
    if report.extra_columns:
        click.echo(f"  new columns: {', '.join(plain(name, 60) for name in report.extra_columns[:20])}")
    counts = [f"{sum(1 for v in report.verdicts.values() if v is kind)} {kind}" for kind in worst]
    click.echo(f"Verdict: {report.verdict} ({', '.join(counts)})")


def _known(value: float, write: Any) -> str:
    return "" if value != value else write(float(value))  # noqa: PLR0124 - NaN: nothing was computed


def _plain(result: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(result)
