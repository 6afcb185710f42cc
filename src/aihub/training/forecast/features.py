"""The matrix that the trees see: every column of a row is known at the row's forecast origin, or ahead of time."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.training.forecast.panel import carried, smoothed, trailing_extreme, trailing_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from aihub.training.forecast.calendar import Calendar
    from aihub.training.forecast.layout import Layout
    from aihub.training.forecast.panel import IntArray, Panel
    from aihub.types import FloatArray

    Column = tuple[str, FloatArray]

TARGET = "y"
"""Column of a panel that holds the target, divided by the scale of its series."""
_RICH = 3
_PLAIN = 8
"""Up to so many known-future numbers get every lag and window, up to so many a few, more get their value and change."""


@dataclass(frozen=True)
class FeatureSpec:
    """Which columns of the panel become features, and how.

    Attributes
    ----------
    known
        Numbers known ahead (weather forecast, price): used at the row itself, lagged and smoothed.
    unknown
        Numbers not known ahead: used only up to the origin.
    categories
        Known-ahead words, as codes.
    series
        How many series there were in training; the series is a feature where there were several. Later ones count as missing.
    has_holidays
        Whether there is a country.
    """

    known: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    series: int = 1
    has_holidays: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the panel beside the target."""
        return (*self.known, *self.unknown, *self.categories)

    def to_json(self) -> dict[str, Any]:
        """JSON-able fields."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> FeatureSpec:
        """Read `to_json` back."""
        names = {k: tuple(fields[k]) for k in ("known", "unknown", "categories")}
        return cls(**names, series=int(fields["series"]), has_holidays=bool(fields["has_holidays"]))

    @property
    def categorical(self) -> tuple[str, ...]:
        """Names of the matrix columns that hold codes."""
        return (*self.categories, *(("series",) if self.series > 1 else ()))


@dataclass(frozen=True)
class Rows:
    """What is forecast: series, origin and step of each row, int64 ``(n,)``."""

    series: IntArray
    origin: IntArray
    step: IntArray

    def __len__(self) -> int:
        return len(self.step)

    def take(self, which: NDArray[Any]) -> Rows:
        """Return the rows at `which` (indices or a mask)."""
        return Rows(self.series[which], self.origin[which], self.step[which])

    @property
    def lead(self) -> IntArray:
        """Steps from origin to row, at least 1."""
        return self.step - self.origin


@dataclass(frozen=True)
class Design:
    """A matrix and what it is relative to.

    Attributes
    ----------
    x
        Float32 ``(n, p)``; NaN is missing.
    names
        Of the columns.
    base
        Last known value at the same time of day, float64 ``(n,)``, in units of the series' scale; where that is missing the
        one before, up to a week and more; NaN where there is none.
    """

    x: NDArray[np.float32]
    names: tuple[str, ...]
    base: FloatArray


@dataclass(frozen=True)
class FeatureBuilder:
    """Builds features over one panel; what many rows share is computed once.

    A target value after a row's origin cannot reach the row: every look-up of the target goes through `_past`.
    """

    panel: Panel
    calendar: Calendar
    layout: Layout
    spec: FeatureSpec
    _derived: dict[tuple[Any, ...], FloatArray] = field(default_factory=dict)

    def design(self, rows: Rows) -> Design:
        """Build the matrix of `rows`."""
        one = _RowFeatures(self, rows)
        columns = list(one.all())
        x = np.empty((len(rows), len(columns)), dtype=np.float32)
        for at, (_, values) in enumerate(columns):
            x[:, at] = values
        return Design(x, tuple(name for name, _ in columns), one.base)

    def derived(self, name: str, kind: str, size: float) -> FloatArray:
        """Return a trailing statistic of a column of the panel, computed at most once."""
        key = (name, kind, size)
        if key not in self._derived:
            self._derived[key] = self.panel.per_series(self.column(name), _statistic(kind, size))
        return self._derived[key]

    def column(self, name: str) -> FloatArray:
        """Return a column of the panel with its gaps filled from older values, or as it is where it holds words."""
        if name in self.spec.categories:
            return self.panel.columns[name]
        key = (name, "carried", 0)
        if key not in self._derived:
            short, long = self.layout.short, self.layout.long
            self._derived[key] = self.panel.per_series(
                self.panel.columns[name], lambda values: carried(values, short, long)
            )
        return self._derived[key]


def _statistic(kind: str, size: float) -> Callable[[FloatArray], FloatArray]:
    if kind == "mean":
        return lambda values: trailing_mean(values, int(size))
    if kind == "smooth":
        return lambda values: smoothed(values, size)
    return lambda values: trailing_extreme(values, int(size), largest=kind == "max")


@dataclass(frozen=True)
class _RowFeatures:
    """Features of one set of rows."""

    builder: FeatureBuilder
    rows: Rows

    def all(self) -> Iterator[Column]:
        """Every column in its fixed order."""
        yield from self._calendar()
        yield from self._target()
        for name in self.builder.spec.known:
            yield from self._known(name)
        for name in self.builder.spec.unknown:
            yield from self._unknown(name)
        for name in self.builder.spec.categories:
            yield name, self._at(self.builder.column(name), self.rows.step)
        if self.builder.spec.series > 1:
            yield "series", np.where(self.rows.series < self.builder.spec.series, self.rows.series, np.nan)

    @cached_property
    def day_lag(self) -> IntArray:
        """Fewest whole short seasons that reach back to the origin or before."""
        short = self.builder.layout.short
        return -(-self.rows.lead // short) * short

    @cached_property
    def week_lag(self) -> IntArray:
        """Fewest whole long seasons that reach back to the origin or before."""
        long = self.builder.layout.long
        return -(-self.rows.lead // long) * long

    @cached_property
    def base(self) -> FloatArray:
        """See `Design.base`."""
        found = np.array(self._days[0])
        for other in (*self._days[1:], *self._weeks, self._level(self.builder.layout.long)):
            np.copyto(found, other, where=~np.isfinite(found))
        return found

    @cached_property
    def _days(self) -> list[FloatArray]:
        layout, y = self.builder.layout, self.builder.column(TARGET)
        return [
            self._past(y, self.rows.step - self.day_lag - k * layout.short) for k in range(layout.short_lags)
        ]

    @cached_property
    def _weeks(self) -> list[FloatArray]:
        layout, y = self.builder.layout, self.builder.column(TARGET)
        return [
            self._past(y, self.rows.step - self.week_lag - k * layout.long) for k in range(layout.long_lags)
        ]

    def _at(self, values: FloatArray, step: IntArray) -> FloatArray:
        return self.builder.panel.gather(values, self.rows.series, step)

    def _past(self, values: FloatArray, step: IntArray) -> FloatArray:
        return np.where(step <= self.rows.origin, self._at(values, step), np.nan)

    def _level(self, window: int, *, back: IntArray | int = 0) -> FloatArray:
        """Mean of the target over the `window` steps up to `back` steps before the origin."""
        return self._past(self.builder.derived(TARGET, "mean", window), self.rows.origin - back)

    def _calendar(self) -> Iterator[Column]:
        calendar, layout, rows = self.builder.calendar, self.builder.layout, self.rows
        at = np.clip(rows.step - calendar.first, 0, calendar.length - 1)
        yield "lead", rows.lead.astype(np.float64)
        if layout.is_sub_daily:
            yield "minute", calendar.minute[at].astype(np.float64)
            yield "week_minute", (calendar.weekday * 1440 + calendar.minute)[at].astype(np.float64)
        yield "weekday", calendar.weekday[at].astype(np.float64)
        yield "year_day", calendar.year_day[at]
        yield "year_sin", np.sin(calendar.year_angle)[at]
        yield "year_cos", np.cos(calendar.year_angle)[at]
        if self.builder.spec.has_holidays:
            today, after, before = calendar.holiday
            yield "holiday", today[at]
            yield "holiday_after", after[at]
            yield "holiday_before", before[at]
            yield "holiday_day_lag", today[np.clip(at - self.day_lag, 0, None)]
            yield "holiday_week_lag", today[np.clip(at - self.week_lag, 0, None)]

    def _target(self) -> Iterator[Column]:
        layout, rows, y = self.builder.layout, self.rows, self.builder.column(TARGET)
        day, short = layout.short, layout.steps(3)
        if layout.lags:
            for lag in layout.lags:
                yield f"lag_{lag}", self._past(y, rows.step - lag)
        else:
            yield from self._seasonal()
        last, level = self._past(y, rows.origin), self._level(day)
        yield "last", last
        yield "last_mean_3h", self._level(short)
        yield "last_mean_day", level
        yield "last_mean_day_before", self._level(day, back=day)
        yield "last_min_day", self._past(self.builder.derived(TARGET, "min", day), rows.origin)
        yield "last_max_day", self._past(self.builder.derived(TARGET, "max", day), rows.origin)
        yield "change_day", last - self._past(y, rows.origin - day)
        if layout.long_lags:
            week = layout.long
            yield "last_mean_week", self._level(week)
            yield "last_mean_month", self._level(4 * week)
            yield "change_3h_week", self._level(short) - self._level(short, back=self.week_lag)
            yield "change_day_week", level - self._level(day, back=self.week_lag)
            yield "change_week", self._level(week) - self._level(week, back=week)

    def _seasonal(self) -> Iterator[Column]:
        layout, rows, y = self.builder.layout, self.rows, self.builder.column(TARGET)
        for k, values in enumerate(self._days):
            yield f"day_lag_{k + 1}", values
        yield "day_lag_mean", _mean(self._days)
        yield "day_lag_next", self._past(y, rows.step - self.day_lag + 1)
        if not layout.long_lags:
            return
        for k, values in enumerate(self._weeks):
            yield f"week_lag_{k + 1}", values
        weeks = _mean(self._weeks)
        yield "week_lag_mean", weeks
        yield "week_lag_next", self._past(y, rows.step - self.week_lag + 1)
        yield "week_lag_previous", self._past(y, rows.step - self.week_lag - 1)
        yield (
            "week_lag_moved",
            self._weeks[0] + self._level(layout.short) - self._level(layout.short, back=self.week_lag),
        )
        yield "week_shape", weeks - self._level(4 * layout.long)

    def _known(self, name: str) -> Iterator[Column]:
        """Value, lags, smoothed values, and the change since the day and the week that the target is compared with."""
        layout, rows, x = self.builder.layout, self.rows, self.builder.column(name)
        many = len(self.builder.spec.known)
        now = self._at(x, rows.step)
        yield name, now
        yield f"{name}_change_day", now - self._at(x, rows.step - self.day_lag)
        if many > _PLAIN:
            return
        yield from self._known_windows(name, rich=many <= _RICH)
        if many > _RICH:
            return
        yield f"{name}_change_week", now - self._at(x, rows.step - self.week_lag)
        for steps in sorted({layout.steps(h) for h in (1, 2, 3)} | {layout.short, 2 * layout.short}):
            yield f"{name}_lag_{steps}", self._at(x, rows.step - steps)

    def _known_windows(self, name: str, *, rich: bool) -> Iterator[Column]:
        layout, rows = self.builder.layout, self.rows
        day = layout.steps(24)
        means = [self.builder.derived(name, "mean", n) for n in dict.fromkeys((day, 3 * day))]
        yield f"{name}_mean_day", self._at(means[0], rows.step)
        if rich:
            yield f"{name}_mean_3_days", self._at(means[-1], rows.step)
            yield f"{name}_min_day", self._at(self.builder.derived(name, "min", day), rows.step)
            yield f"{name}_max_day", self._at(self.builder.derived(name, "max", day), rows.step)
            now = self._at(means[0], rows.step)
            yield f"{name}_mean_change_day", now - self._at(means[0], rows.step - self.day_lag)
            yield f"{name}_mean_change_week", now - self._at(means[0], rows.step - self.week_lag)
            yield f"{name}_mean_change_origin", now - self._at(means[0], rows.origin)
        for hours in (3, 12, 36, 96) if rich else (12,):
            half_life = hours * 3600 / layout.step_s
            if half_life < 1 or math.isclose(half_life, 1):
                continue
            values = self.builder.derived(name, "smooth", half_life)
            now = self._at(values, rows.step)
            yield f"{name}_smooth_{hours}h", now
            if rich and hours <= 12:  # noqa: PLR2004 - slower ones hardly change in a day
                yield f"{name}_smooth_{hours}h_change_day", now - self._at(values, rows.step - self.day_lag)

    def _unknown(self, name: str) -> Iterator[Column]:
        """Only what was measured at the origin or before."""
        rows, x = self.rows, self.builder.column(name)
        yield f"{name}_last", self._past(x, rows.origin)
        yield f"{name}_day_lag", self._past(x, rows.step - self.day_lag)
        day = self.builder.layout.steps(24)
        yield f"{name}_last_mean_day", self._past(self.builder.derived(name, "mean", day), rows.origin)


def _mean(columns: Iterable[FloatArray]) -> FloatArray:
    """Mean over columns, leaving out what is missing; NaN where all are."""
    stacked = np.stack(list(columns))
    known = np.isfinite(stacked)
    count = known.sum(axis=0)
    total = np.where(known, stacked, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
