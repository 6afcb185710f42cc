#!/usr/bin/env python
"""Make one tidy table of the data sets that come as several: `python examples/prepare.py NAME FOLDER OUT.parquet`."""

import argparse
import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import polars as pl


def gefcom2012(folder: Path) -> pl.DataFrame:
    """All zones below each other, each hour with the mean of the eleven stations (degF)."""
    weather = pl.read_parquet(folder / "temperature.parquet")
    stations = [name for name in weather.columns if name.startswith("station_")]
    mean = weather.select("time", pl.mean_horizontal(stations).alias("temperature"))
    load = pl.read_parquet(folder / "load.parquet")
    return load.unpivot(index="time", variable_name="zone", value_name="load").join(
        mean, on="time", how="left"
    )


def m4_hourly(folder: Path) -> pl.DataFrame:
    """Put the official training and test part of each series in one row a value; the start of the clock is made up."""
    parts = []
    for name in ("Hourly-train.csv.gz", "Hourly-test.csv.gz"):
        wide = pl.read_csv(folder / name, infer_schema_length=None)
        key = wide.columns[0]
        long = wide.with_columns(pl.exclude(key).cast(pl.Float64)).unpivot(
            index=key, variable_name="column", value_name="value"
        )
        step = pl.col("column").str.slice(1).cast(pl.Int64)
        parts.append(
            long.with_columns(step.alias("step"))
            .select(pl.col(key).alias("series_id"), "step", "value")
            .drop_nulls()
        )
    length = parts[0].group_by("series_id").agg(pl.col("step").max().alias("length"))
    test = (
        parts[1]
        .join(length, on="series_id")
        .select("series_id", pl.col("step") + pl.col("length") - 1, "value")
    )
    start = pl.datetime(2015, 7, 1)
    both = pl.concat([parts[0], test]).with_columns(
        (start + pl.duration(hours=pl.col("step") - 2)).alias("timestamp")
    )
    return both.select("series_id", "timestamp", "value").sort("series_id", "timestamp")


def nab(folder: Path, member: str = "realKnownCause/nyc_taxi.csv") -> pl.DataFrame:
    """One series of the benchmark with the windows of its labels as a 0/1 column."""
    with zipfile.ZipFile(folder / "nab_data_labels.zip") as archive:
        table = pl.read_csv(archive.read(f"data/{member}"), try_parse_dates=True)
        windows = json.loads(archive.read("labels/combined_windows.json"))[member]
    inside = pl.lit(value=False)
    for first, last in windows:
        bounds = [pl.lit(moment).str.to_datetime("%Y-%m-%d %H:%M:%S%.f") for moment in (first, last)]
        inside |= pl.col("timestamp").is_between(*bounds)
    return table.with_columns(inside.cast(pl.Int64).alias("label"))


def eemeter(folder: Path) -> pl.DataFrame:
    """Daily electricity with the mean outdoor temperature (degF) of the same day."""
    meter = pl.read_csv(folder / "il-electricity-cdd-hdd-daily.csv.gz", try_parse_dates=True)
    hourly = pl.read_csv(folder / "il-tempF.csv.gz", try_parse_dates=True).sort("dt")
    days = meter.select("start").sort("start")
    placed = hourly.join_asof(days, left_on="dt", right_on="start", strategy="backward")
    mean = placed.group_by("start").agg(pl.col("tempF").mean().alias("temperature"))
    return meter.join(mean, on="start", how="left")


SETS: dict[str, Callable[[Path], pl.DataFrame]] = {
    made.__name__: made for made in (gefcom2012, m4_hourly, nab, eemeter)
}


def main(argv: list[str] | None = None) -> int:
    """Write the table as Parquet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=sorted(SETS))
    parser.add_argument("folder", type=Path, help="folder of the data set as it was downloaded")
    parser.add_argument("out", type=Path, help="Parquet file to write")
    args = parser.parse_args(argv)
    try:
        table = SETS[args.name](args.folder)
        table.write_parquet(args.out)
    except (OSError, KeyError, zipfile.BadZipFile, pl.exceptions.PolarsError) as error:
        sys.stderr.write(f"error: {args.folder}: {error}. Check that it is the folder of {args.name}.\n")
        return 2
    print(f"{args.out}: {table.height} rows, columns {', '.join(table.columns)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
