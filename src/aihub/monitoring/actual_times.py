"""Times of actuals as they are written: microseconds since 1970, a wall clock without an offset in the zone of training."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from numpy.typing import NDArray

NO_TIME = np.int64(-(1 << 63))
_FIRST_US, _LAST_US = -2_208_988_800_000_000, 4_102_444_800_000_000  # 1900 to 2100
_DAY_US = 86_400_000_000


def read_times(
    column: pl.Series, zone: str, series: pl.Series | None
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Microseconds since 1970; times without an offset are wall clock of `zone`. Missing is no fault here, what cannot be read is."""
    missing = column.is_null().to_numpy()
    if isinstance(column.dtype, pl.Datetime) or column.dtype == pl.Date:
        is_naive = np.full(len(column), getattr(column.dtype, "time_zone", None) is None)
        micros = _micros(column).fill_null(int(NO_TIME)).to_numpy()
    elif column.dtype == pl.String:
        micros, is_naive = _read_times(column)
    else:
        micros, is_naive = np.full(len(column), NO_TIME), np.zeros(len(column), bool)
    bad = (micros < _FIRST_US) | (micros > _LAST_US)
    if zone != "UTC" and (is_naive & ~bad).any():
        micros = _placed(micros, is_naive & ~bad, zone, series)
    micros = np.where(bad, NO_TIME, micros)
    return micros, bad & ~missing


def _micros(column: pl.Series) -> pl.Series:
    """Count in microseconds since 1970; what is farther than the years that are taken stays so, and overflows nothing."""
    numbers = column.to_physical().cast(pl.Int64)
    unit = column.dtype.time_unit if isinstance(column.dtype, pl.Datetime) else "day"
    if unit == "ns":
        return numbers // 1000
    step = {"day": _DAY_US, "ms": 1000, "us": 1}[unit]
    return numbers.clip(_FIRST_US // step - 1, _LAST_US // step + 1) * step


def _read_times(column: pl.Series) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Microseconds since 1970, and which of the times have no offset."""
    text = column.str.strip_chars().str.replace(" ", "T", literal=True)
    bare = text.str.strip_suffix("Z").str.strip_suffix("+00:00")
    is_naive = (text == bare).fill_null(value=False).to_numpy().copy()
    found = bare.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False)
    micros = found.dt.epoch("us").fill_null(int(NO_TIME)).to_numpy().copy()
    for at in np.flatnonzero((micros == NO_TIME) & column.is_not_null().to_numpy()).tolist():
        try:
            stamp = datetime.fromisoformat(column[at].strip())
        except ValueError:
            continue
        is_naive[at] = stamp.tzinfo is None
        stamp = stamp.replace(tzinfo=UTC) if stamp.tzinfo is None else stamp
        micros[at] = round(stamp.timestamp() * 1e6)
    return micros, is_naive


def _placed(
    micros: NDArray[np.int64], chosen: NDArray[np.bool_], zone: str, series: pl.Series | None
) -> NDArray[np.int64]:
    """Read the chosen times as wall clock of `zone`, as training and `serving.stamps.micros` do.

    Of an hour that a clock set back repeats, the first stamp of a series is the earlier one; an hour that the clock
    skipped is the one after it.
    """
    wall = pl.Series("wall", micros[chosen]).cast(pl.Datetime("us"))
    names = pl.Series("series", [""] * len(wall)) if series is None else series.filter(pl.Series(chosen))
    keys = pl.DataFrame([wall, names.alias("series")])
    turns = keys.select(
        pl.when(pl.struct(pl.all()).is_first_distinct())
        .then(pl.lit("earliest"))
        .otherwise(pl.lit("latest"))
        .alias("turn")
    )
    hour = pl.duration(hours=1)
    placed = keys.hstack(turns).select(
        pl.col("wall")
        .dt.replace_time_zone(zone, ambiguous=pl.col("turn"), non_existent="null")
        .fill_null(
            (pl.col("wall") - hour).dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
            + hour
        )
        .dt.epoch("us")
        .fill_null(pl.col("wall").dt.epoch("us"))
    )
    out = micros.copy()
    out[chosen] = placed.to_series().to_numpy()
    return out
