"""Local time and holidays: what people's days depend on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np

from aihub.training.anomaly.past import DAY_US

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from aihub.types import FloatArray

_MONDAY_OFFSET = 3
"""1 January 1970 was a Thursday."""
_SUNDAY = 6
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FEW = 16
"""Rows for which a table library takes longer than Python."""


@dataclass(frozen=True, kw_only=True)
class Clock:
    """The calendar that people live by where the rows come from.

    Attributes
    ----------
    zone
        IANA zone.
    country
        Country or subdivision whose holidays are kept (``DE``, ``AU-VIC``); None knows no holidays.
    """

    zone: str
    country: str | None = None

    def features(self, times: NDArray[np.int64]) -> dict[str, FloatArray]:
        """Hour of the day, day of the week (Monday is 0) and, with a country, kind of day and whether it is a holiday.

        The kind of day is the day of the week, and Sunday on a holiday: the few holidays of a training time need not be
        learned one by one. A day before a holiday counts a half.

        Parameters
        ----------
        times
            Microseconds since 1970, UTC, shape (n,).

        Returns
        -------
        dict[str, FloatArray]
            Shape (n,) each.

        Examples
        --------
        >>> christmas = np.array([np.datetime64("2024-12-25T11:00", "us").astype(np.int64)])
        >>> found = Clock(zone="Europe/Berlin", country="DE").features(christmas)
        >>> {name: float(value[0]) for name, value in found.items()}
        {'hour': 12.0, 'day_of_week': 2.0, 'kind_of_day': 6.0, 'holiday': 1.0}
        """
        local = self._local(times)
        day = local // DAY_US
        weekday = ((day + _MONDAY_OFFSET) % 7).astype(np.float64)
        found = {"hour": (local % DAY_US) / 3.6e9, "day_of_week": weekday}
        if self.country is not None and len(day):
            days, which = np.unique(day, return_inverse=True)
            holiday, next_holiday = (np.isin(days + ahead, self._holidays(days))[which] for ahead in (0, 1))
            found["kind_of_day"] = np.where(holiday, float(_SUNDAY), weekday)
            found["holiday"] = np.where(holiday, 1.0, 0.5 * next_holiday)
        return found

    def _local(self, times: NDArray[np.int64]) -> NDArray[np.int64]:
        """Microseconds since 1970 on the clock of the zone."""
        if len(times) <= _FEW:
            zone = ZoneInfo(self.zone)
            offsets = [
                (_EPOCH + timedelta(microseconds=us)).astimezone(zone).utcoffset() for us in times.tolist()
            ]
            return times + np.array([(one or timedelta()) // _MICROSECOND for one in offsets], dtype=np.int64)
        import polars as pl  # noqa: PLC0415 - 0.1 s that `aihub --help` must not pay

        stamps = pl.Series(times).cast(pl.Datetime("us", "UTC")).dt.convert_time_zone(self.zone)
        return stamps.dt.replace_time_zone(None).cast(pl.Int64).to_numpy()

    def _holidays(self, days: NDArray[np.int64]) -> NDArray[np.int64]:
        """Days since 1970 that are holidays, from the first to the day after the last of `days`."""
        import holidays  # noqa: PLC0415 - 20 ms that models without a country do not pay

        code, _, part = str(self.country).partition("-")
        first, last = (int(str(np.datetime64(int(d), "D"))[:4]) for d in (days[0], days[-1] + 1))
        known = holidays.country_holidays(code, subdiv=part or None, years=range(first, last + 1))
        return np.array(sorted(known), dtype="datetime64[D]").astype(np.int64)

    def to_state(self) -> dict[str, Any]:
        """Return JSON-able values for `from_state`."""
        return {"zone": self.zone, "country": self.country}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Clock:
        """Inverse of `to_state`."""
        country = state["country"]
        return cls(zone=str(state["zone"]), country=None if country is None else str(country))
