"""Series for `drift.py`: a seeded generator, and the shared real series with a known change."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.signal import lfilter

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Array = NDArray[np.float64]

YEAR_H = 8766
RESIDUAL_SD = 60.0
SHIFT = 1.45 * RESIDUAL_SD
"""A level shift of 1.45 residual sd: about 9 % of the mean load."""


@dataclass(frozen=True)
class Stream:
    """A series, the end of its reference and the moment from which it is different."""

    name: str
    stamps: NDArray[np.datetime64]
    values: Array
    reference_end: np.datetime64
    change: np.datetime64
    covariates: dict[str, Array] = field(default_factory=dict)
    time_zone: str = "UTC"
    factor: float | None = None
    """What the change multiplied the values by; None where it was the end of a constant."""

    @property
    def unchanged(self) -> Array:
        """The values with the change undone: an alarm on these is a false one."""
        late = self.stamps >= self.change
        before = float(np.nanmedian(self.values[~late]))
        return np.where(late, before if self.factor is None else self.values / self.factor, self.values)

    def rows(self, start: np.datetime64 | None, end: np.datetime64 | None) -> NDArray[np.bool_]:
        """Rows from `start` on and before `end`."""
        inside = np.ones(len(self.stamps), dtype=bool)
        if start is not None:
            inside &= self.stamps >= start
        if end is not None:
            inside &= self.stamps < end
        return inside


def hourly_load(
    seed: int, years: int = 3, weather_share: float = 0.7
) -> tuple[NDArray[np.datetime64], Array, Array]:
    """Hourly load with a daily, weekly and yearly cycle and AR(.97) weather; stamps, load, weather.

    Two humps a day, weekends lower, a yearly cycle with a sharp winter: none of them a short Fourier series, and
    multiplied where the fit adds. The residual has sd 60: `weather_share` of its variance is weather, the rest white.
    """
    rng = np.random.default_rng(seed)
    n = YEAR_H * years
    t = np.arange(n)
    hour, day, of_year = t % 24, t // 24, (t / 24) % 365.25
    daily = 0.75 + 0.12 * np.exp(-(((hour - 8) / 2.5) ** 2)) + 0.22 * np.exp(-(((hour - 19) / 3) ** 2))
    weekly = np.where(day % 7 >= 5, 0.88, 1.0) - 0.02 * (day % 7 == 0)
    yearly = 0.9 + 0.22 * np.abs(np.cos(np.pi * (of_year - 20) / 365.25)) ** 1.5
    weather = lfilter([np.sqrt(1 - 0.97**2)], [1, -0.97], rng.standard_normal(n + 1000))[1000:]
    noise = np.sqrt(weather_share) * weather + np.sqrt(1 - weather_share) * rng.standard_normal(n)
    stamps = np.datetime64("2021-01-04T00:00", "us") + t * np.timedelta64(1, "h")
    return stamps, 1000 * daily * weekly * yearly + RESIDUAL_SD * noise, weather


def real_streams(folder: Path) -> list[Stream]:
    """Read the shared series with a known change; nothing of them is kept."""
    return [
        *_elec2(folder / "drift_streams"),
        *_eemeter(folder / "eemeter_samples"),
        _dirty(folder / "dirty_shared"),
    ]


def zone_days(folder: Path) -> tuple[NDArray[np.datetime64], list[Array], Array]:
    """Read the daily loads of the zones of GEFCom 2012 and the mean temperature of its stations."""
    frames = [pd.read_parquet(folder / "gefcom2012" / f"{name}.parquet") for name in ("load", "temperature")]
    load, warmth = (frame.set_index("time").resample("1D").mean() for frame in frames)
    stamps = load.index.to_numpy().astype("datetime64[us]")
    outside = warmth.mean(axis=1).reindex(load.index).to_numpy(float)
    return stamps, [load[zone].to_numpy(float) for zone in load.columns], outside


def _elec2(folder: Path) -> list[Stream]:
    with zipfile.ZipFile(folder / "Electricity.arff.zip") as archive:
        text = archive.read(archive.namelist()[0]).decode()
    body = text[text.lower().index("@data") + 5 :].strip()
    names = ("date", "day", "period", "nswprice", "nswdemand", "vicprice", "vicdemand", "transfer", "class")
    table = pd.read_csv(io.StringIO(body), names=names)
    stamps = np.datetime64("1996-05-07T00:00", "us") + np.arange(len(table)) * np.timedelta64(30, "m")
    return [
        Stream(f"elec2 {name}", stamps, table[name].to_numpy(float), stamps[8712], stamps[17424])
        for name in ("vicprice", "vicdemand", "transfer")
    ]


def _eemeter(folder: Path) -> list[Stream]:
    about = json.loads((folder / "metadata.json").read_text())
    warmth = pd.read_csv(folder / "il-tempF.csv.gz")
    warmth["day"] = warmth["dt"].str.slice(0, 10)
    daily = warmth.groupby("day")["tempF"].mean()
    names = ("electricity-cdd-hdd", "electricity-cdd-only", "gas-hdd-only", "gas-intercept-only")
    return [_daily_meter(folder, about, f"il-{name}-daily", daily) for name in names]


def _daily_meter(folder: Path, about: dict[str, dict[str, str]], key: str, warmth: pd.Series) -> Stream:
    meter = pd.read_csv(folder / about[key]["meter_data_filename"])
    day = meter["start"].str.slice(0, 10)
    start, end = about[key]["blackout_start_date"], about[key]["blackout_end_date"]
    kept = ((day < start) | (day >= end)).to_numpy()
    stamps = day[kept].to_numpy(dtype="datetime64[us]")
    values = meter["value"].to_numpy(float)[kept]
    covariates = {"temperature": warmth.reindex(day[kept]).to_numpy(float)}
    totals = [about[key][f"annual_{part}_total_load"] for part in ("reporting", "baseline")]
    split = np.datetime64(start, "us") - np.timedelta64(100, "D")
    return Stream(
        f"eemeter {key}",
        stamps,
        values,
        split,
        np.datetime64(end, "us"),
        covariates,
        factor=float(totals[0]) / float(totals[1]),
    )


def _dirty(folder: Path) -> Stream:
    with gzip.open(folder / "meter.csv.gz", "rt") as file:
        table = pd.read_csv(file)
    local = pd.to_datetime(table["ts"], errors="coerce")
    # The clock repeats an hour every autumn: the first of the pair is summer time.
    stamps = local.dt.tz_localize(
        "Australia/Melbourne", ambiguous=~local.duplicated().to_numpy(), nonexistent="shift_forward"
    )
    table["utc"] = stamps.dt.tz_convert("UTC").dt.tz_localize(None)
    table = table[table["utc"] < "2015-01-01"].sort_values("utc", kind="stable")
    about = json.loads((folder / "answer_key.json").read_text())["change_point"]
    warmth = pd.to_numeric(table["temp"], errors="coerce").to_numpy(float)
    return Stream(
        "dirty_shared load",
        table["utc"].to_numpy(dtype="datetime64[us]"),
        pd.to_numeric(table["load"], errors="coerce").to_numpy(float),
        np.datetime64("2014-01-01", "us"),
        np.datetime64(about["start_utc"].replace(" ", "T"), "us"),
        {"temperature": warmth, "temperature of the last day": smoothed(warmth, 24)},
        "Australia/Melbourne",
        factor=float(about["kind"].split("x")[1].split(" ", maxsplit=1)[0]),
    )


def smoothed(values: Array, rows: float) -> Array:
    """Exponential mean over about `rows` past rows: buildings answer the weather late. A gap keeps the last mean."""
    found, mean = np.full(len(values), np.nan), np.nan
    for i, value in enumerate(values):
        if np.isfinite(value):
            mean = value if np.isnan(mean) else mean + (value - mean) / rows
        found[i] = mean
    return found
