"""The real sets of the accuracy benchmark, written out as a user would have them and read back by the library."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from aihub.training.config import TrainingConfig
from aihub.training.data import load

if TYPE_CHECKING:
    from aihub.training.data import PreparedTable

SHARED = Path(os.environ.get("AIHUB_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
REGIONS = ("PJM_Load", "AEP", "COMED", "NI")
YEARS = 4
"""Only so much of the longest series is used, by us and by the peers alike: AEP has fourteen years."""
ZONE = "Australia/Melbourne"


@dataclass(frozen=True)
class Case:
    """A set and the one configuration field that it needs beside the columns' names: what the columns mean."""

    name: str
    config: TrainingConfig
    table: PreparedTable


def case(name: str, path: Path, **fields: object) -> Case:
    """Read `path` with the default configuration; `fields` only name columns, zone, calendar and horizon."""
    config = TrainingConfig.model_validate(fields)
    return Case(name, config, load(path, config))


def vic_elec(folder: Path, *, like: Case | None = None) -> Case:
    """Hourly Victorian demand with temperature; over the span and with the level shift of `like`, where given."""
    frame = (
        pl.read_parquet(SHARED / "vic_elec" / "vic_elec.parquet")
        .group_by(pl.col("time_utc").dt.truncate("1h").alias("ts"))
        .agg(load=pl.col("demand").mean(), temp=pl.col("temperature").mean())
        .sort("ts")
    )
    if like is not None:
        stamps = like.table.frame.get_column("ts").dt.replace_time_zone(None)
        frame = frame.filter(pl.col("ts").is_between(stamps.min(), stamps.max()))
        shifted = pl.col("ts") >= pl.datetime(2014, 10, 14, 14)
        frame = frame.with_columns(
            load=pl.when(shifted).then(pl.col("load") * 1.25).otherwise(pl.col("load"))
        )
    path = folder / "vic.parquet"
    frame.write_parquet(path)
    fields = {"target": "load", "features": ["temp"], "timestamp": "ts", "calendar": "AU-VIC"}
    return case("vic_elec", path, **fields, time_zone=ZONE, timestamp_zone="UTC", repair="off")


def dirty() -> Case:
    """Read the same demand as a meter would send it, with all its faults."""
    fields = {
        "target": "load",
        "features": ["temp"],
        "timestamp": "ts",
        "calendar": "AU-VIC",
        "time_zone": ZONE,
    }
    return case("dirty_shared", SHARED / "dirty_shared" / "meter.csv.gz", **fields)


def pjm(folder: Path, region: str) -> Case:
    """One region without weather, its last years."""
    frame = pl.read_csv(SHARED / "pjm_hourly" / f"{region}_hourly.csv.gz", try_parse_dates=True)
    stamp = pl.col("Datetime")
    path = folder / f"{region}.csv"
    frame.filter(stamp > stamp.max() - timedelta(days=365 * YEARS)).write_csv(path)
    fields = {
        "target": f"{region}_MW",
        "timestamp": "Datetime",
        "time_zone": "America/New_York",
        "calendar": "US",
    }
    return case(region, path, **fields)


def m4(folder: Path, *, every: int = 1) -> tuple[Case, pl.DataFrame]:
    """Read the 414 hourly series of M4 (or each `every`-th), and the 48 hours that were held back of each."""
    frame = pl.read_parquet(SHARED / "m4_hourly" / "m4_hourly.parquet").select(
        pl.col("series_id"), pl.col("timestamp").cast(pl.Datetime("us")), pl.col("value").cast(pl.Float64)
    )
    names = frame.get_column("series_id").unique().sort().gather_every(every)
    frame = frame.filter(pl.col("series_id").is_in(names.implode())).sort("series_id", "timestamp")
    is_test = pl.col("timestamp").rank("ordinal", descending=True).over("series_id") <= 48
    path = folder / "m4.parquet"
    frame.filter(~is_test).write_parquet(path)
    fields = {"target": "value", "timestamp": "timestamp", "series_id": "series_id", "horizon": 48}
    return case("m4_hourly", path, **fields, repair="off"), frame.filter(is_test)
