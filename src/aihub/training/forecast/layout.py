"""Which seasons, lags and windows data of a given frequency has."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from aihub.errors import ConfigError
from aihub.training.frequency import format_frequency

if TYPE_CHECKING:
    from datetime import timedelta

_DAY_S = 86_400
SHORT_LAGS = 7
"""Known values of the same time of day (of the same weekday, for daily data) that a row sees."""
LONG_LAGS = 4
"""Known values of the same time of week that a row sees."""


@dataclass(frozen=True)
class Layout:
    """Steps of the seasons of one frequency.

    Attributes
    ----------
    step_s
        Seconds between two rows.
    short, long
        Steps of the short season (a day; a week for daily data) and of the long one (a week; four weeks for daily data).
    horizon
        Steps ahead that a row is forecast at most.
    lags
        Lags in steps that the user asked for, instead of the seasonal ones; empty: seasonal.
    short_lags, long_lags
        How many seasonal lags the history is long enough for.
    """

    step_s: int
    short: int
    long: int
    horizon: int
    lags: tuple[int, ...] = ()
    short_lags: int = SHORT_LAGS
    long_lags: int = LONG_LAGS

    @property
    def is_sub_daily(self) -> bool:
        """Whether a day has several rows, so that time of day matters."""
        return self.step_s < _DAY_S

    @property
    def days_ahead(self) -> int:
        """Whole days of the horizon; 0 where a forecast is made several times a day, or the data is daily."""
        return self.horizon // self.short if self.is_sub_daily else 0

    @property
    def reach(self) -> int:
        """Steps before a row's origin that its features look back, and the long season that fills their gaps."""
        seasonal = (LONG_LAGS + 1) * self.long + self.horizon
        return max((seasonal, *self.lags)) + self.horizon + self.long

    def steps(self, hours: float) -> int:
        """Return the steps in so many hours, at least 1."""
        return max(1, round(hours * 3600 / self.step_s))

    def to_json(self) -> dict[str, Any]:
        """JSON-able fields."""
        return {**asdict(self), "lags": list(self.lags)}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Layout:
        """Read `to_json` back."""
        return cls(**{**fields, "lags": tuple(fields["lags"])})


def layout_for(frequency: timedelta, horizon: int, *, lags: tuple[int, ...] = (), rows: int) -> Layout:
    """Choose seasons and lags for series of `rows` steps (the longest of them counts).

    Raises
    ------
    ConfigError
        Rows are more than a day apart.
    """
    step_s = int(frequency.total_seconds())
    if step_s > _DAY_S:
        raise ConfigError(
            f"rows are {format_frequency(frequency)} apart; forecasts need daily data or finer. "
            "Send the readings that these were summed from, or set frequency: 1d.",
            field="frequency",
        )
    short = 7 if step_s == _DAY_S else max(2, round(_DAY_S / step_s))
    long = 4 * short if step_s == _DAY_S else 7 * short
    usable = max(rows // 2 - horizon, short)
    return Layout(
        step_s=step_s,
        short=short,
        long=long,
        horizon=horizon,
        lags=lags,
        short_lags=max(1, min(SHORT_LAGS, usable // short)),
        long_lags=min(LONG_LAGS, usable // long),
    )
