"""Wall-clock time of UTC stamps, as numbers: seconds since 1970-01-01 00:00 on the local clock."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import numpy as np

from aihub.validation.profile.cells import zone_named

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from numpy.typing import NDArray

    from aihub.types import FloatArray

DAY_S = 86_400
WEEK_S = 7 * DAY_S
YEAR_S = 365.2425 * DAY_S


def utc_seconds(timestamps: NDArray[np.datetime64]) -> FloatArray:
    """Seconds since 1970 in UTC, shape (n,); a missing stamp is NaN."""
    stamps = np.asarray(timestamps).astype("datetime64[us]")
    seconds = stamps.astype(np.int64).astype(np.float64) / 1e6
    seconds[np.isnat(stamps)] = np.nan
    return seconds


def local_seconds(utc_s: FloatArray, time_zone: str) -> FloatArray:
    """Shift UTC seconds to the wall clock of `time_zone`; NaN stays NaN.

    The offset is looked up once per hour that occurs: no zone changes its clock inside an hour of UTC that starts on
    the hour, except historically.

    >>> local_seconds(np.array([0.0]), "Europe/Berlin").tolist()
    [3600.0]
    """
    if time_zone == "UTC" or not utc_s.size:
        return utc_s
    zone = zone_named(time_zone)
    known = np.isfinite(utc_s)
    hours, inverse = np.unique(np.floor(utc_s[known] / 3600).astype(np.int64), return_inverse=True)
    offsets = np.array([_offset(zone, int(hour) * 3600) for hour in hours], dtype=np.float64)
    local = utc_s.copy()
    local[known] += offsets[inverse]
    return local


def _offset(zone: ZoneInfo, second: int) -> float:
    shift = dt.datetime.fromtimestamp(second, tz=zone).utcoffset()
    return shift.total_seconds() if shift is not None else 0.0


def median_step(utc_s: FloatArray) -> float:
    """Median gap between neighbouring distinct stamps in seconds; NaN below two of them."""
    gaps = np.diff(np.unique(utc_s[np.isfinite(utc_s)]))
    return float(np.median(gaps)) if gaps.size else float("nan")
