"""Moments per hour of the week."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from aihub.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aihub.types import FloatArray

CELLS = 168
"""Hours of a week; cell 0 is Monday 00:00-01:00 local time."""

_QUARTER_US = 900_000_000
_HOUR_US = 4 * _QUARTER_US
_DAY_US = 24 * _HOUR_US
_MONDAY_US = 4 * 24 * _HOUR_US  # 1970-01-05 was the first Monday


@dataclass(frozen=True, eq=False)
class CellMoments:
    """Count, mean and sum of squared deviations per hour of the week, shape (168,) each; the mean of an empty cell is 0."""

    n: NDArray[np.int64]
    mean: FloatArray
    m2: FloatArray

    @classmethod
    def of(cls, cell: NDArray[np.intp], values: FloatArray) -> CellMoments:
        """Moments of the finite `values` by `cell` (0 to 167; rows with a negative cell are left out)."""
        use = np.isfinite(values) & (cell >= 0)
        if not use.all():
            cell, values = cell[use], values[use]
        n = np.bincount(cell, minlength=CELLS).astype(np.int64)
        shift = float(values.mean()) if values.size else 0.0
        centred = values - shift
        total = np.bincount(cell, weights=centred, minlength=CELLS)
        mean = total / np.maximum(n, 1)
        centred -= mean[cell]
        m2 = np.bincount(cell, weights=centred * centred, minlength=CELLS).astype(np.float64)
        return cls(n, np.where(n > 0, mean + shift, 0.0), m2)

    @classmethod
    def empty(cls) -> CellMoments:
        """Moments of nothing."""
        return cls(np.zeros(CELLS, np.int64), np.zeros(CELLS), np.zeros(CELLS))

    def merge(self, other: CellMoments) -> CellMoments:
        """Moments of both (Chan, Golub and LeVeque 1979, in each cell)."""
        n = self.n + other.n
        whole = np.maximum(n, 1)
        mean = self.mean * (self.n / whole) + other.mean * (other.n / whole)
        between = (other.mean - self.mean) ** 2 * (self.n * other.n / whole)
        return CellMoments(n, mean, self.m2 + other.m2 + between)


def hour_of_week(timestamps: NDArray[np.datetime64], time_zone: str = "UTC") -> NDArray[np.intp]:
    """Hour of the week in `time_zone` of UTC `timestamps`: 0 (Monday 00:00) to 167, -1 where there is none.

    Examples
    --------
    >>> hour_of_week(np.array(["2024-01-01T13:00", "NaT"], dtype="datetime64[us]"), "Europe/Berlin").tolist()
    [14, -1]
    """
    known = ~np.isnat(timestamps)
    stamps = timestamps.astype("datetime64[us]").astype(np.int64)
    stamps = np.where(known, stamps, 0)
    if time_zone not in {"UTC", "Etc/UTC"}:
        stamps = stamps + _offsets(stamps, time_zone)
    hours = ((stamps - _MONDAY_US) // _HOUR_US) % CELLS
    return np.where(known, hours, -1).astype(np.intp)


def zone_named(name: str) -> ZoneInfo:
    """Return the IANA zone `name`.

    Raises
    ------
    ConfigError
        There is no such zone.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        message = f"no time zone {name[:64]!r}; write an IANA name such as 'Europe/Berlin'"
        raise ConfigError(message, field="time_zone") from None


def _offsets(stamps: NDArray[np.int64], time_zone: str) -> NDArray[np.int64]:
    """Offsets from UTC in microseconds: looked up per day, and per quarter of an hour on days when the clocks change."""
    zone = zone_named(time_zone)
    days, inverse = np.unique(stamps // _DAY_US, return_inverse=True)
    before = np.array([_offset(int(day) * 86_400, zone) for day in days], np.int64)
    after = np.array([_offset((int(day) + 1) * 86_400, zone) for day in days], np.int64)
    found = before[inverse]
    changing = np.flatnonzero((before != after)[inverse])
    quarters, back = np.unique(stamps[changing] // _QUARTER_US, return_inverse=True)
    found[changing] = np.array([_offset(int(quarter) * 900, zone) for quarter in quarters], np.int64)[back]
    return found


def _offset(second: int, zone: ZoneInfo) -> int:
    offset = datetime.fromtimestamp(second, UTC).astimezone(zone).utcoffset()
    return 0 if offset is None else round(offset.total_seconds() * 1e6)
