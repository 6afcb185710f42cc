"""Local time and holidays of a range of steps: what a trader's wall calendar shows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aihub.types import FloatArray

_YEAR_DAYS = 365.25


@dataclass(frozen=True)
class Calendar:
    """Calendar of the steps `first`, `first + 1`, ... in a time zone.

    Parameters
    ----------
    first
        Number of the first step; step ``k`` begins ``k * step_s + offset_s`` seconds after 1970-01-01 UTC.
    length
        Steps.
    step_s, offset_s
        See `first`.
    zone
        IANA name. Wall-clock time is what people live by: the same features in UTC cost 7 % accuracy over a year of
        Victorian load, and 16 % in the weeks after a clock change.
    country
        Holidays of this country or subdivision (``"DE"``, ``"AU-VIC"``); None: no holiday features.
    """

    first: int
    length: int
    step_s: int
    offset_s: int
    zone: str
    country: str | None = None

    @cached_property
    def _local(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Local day number since 1970 and local minute of the day, per step."""
        import polars as pl  # noqa: PLC0415 - 0.1 s that only training and prediction pay

        seconds = (np.arange(self.length, dtype=np.int64) + self.first) * self.step_s + self.offset_s
        local = (
            pl.Series(seconds * 1_000_000)
            .cast(pl.Datetime("us", "UTC"))
            .dt.convert_time_zone(self.zone)
            .dt.replace_time_zone(None, ambiguous="earliest")
            .dt.epoch("s")
            .to_numpy()
        )
        return local // 86_400, local % 86_400 // 60

    @property
    def day(self) -> NDArray[np.int64]:
        """Local days since 1970-01-01."""
        return self._local[0]

    @property
    def minute(self) -> NDArray[np.int64]:
        """Minute of the local day, 0 to 1439."""
        return self._local[1]

    @property
    def weekday(self) -> NDArray[np.int64]:
        """Monday is 0."""
        return (self.day + 3) % 7

    @cached_property
    def year_day(self) -> FloatArray:
        """Day of the year, 1 to 366."""
        days = self.day.astype("datetime64[D]")
        since = days - days.astype("datetime64[Y]").astype("datetime64[D]")
        return np.asarray(since, dtype=np.float64) + 1

    @cached_property
    def year_angle(self) -> FloatArray:
        """Day of the year as an angle in radians, so that December touches January."""
        return 2 * np.pi * self.year_day / _YEAR_DAYS

    @cached_property
    def holiday(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """1 on a holiday, on the day after one, on the day before one; else 0. Empty of ones without a country."""
        first_day, last_day = (int(self.day[0]), int(self.day[-1])) if self.length else (0, 0)
        days = np.arange(first_day - 1, last_day + 2)
        is_holiday = np.zeros(len(days))
        if self.country is not None:
            is_holiday = _holidays(days, self.country)
        at = self.day - first_day + 1
        return is_holiday[at], is_holiday[at - 1], is_holiday[at + 1]


def _holidays(days: NDArray[np.int64], country: str) -> FloatArray:
    import holidays  # noqa: PLC0415 - 20 ms that models without a country do not pay

    code, _, part = country.partition("-")
    dates = days.astype("datetime64[D]").tolist()
    years = range(dates[0].year, dates[-1].year + 1)
    known = holidays.country_holidays(code, subdiv=part or None, years=years)
    return np.array([float(date in known) for date in dates])
