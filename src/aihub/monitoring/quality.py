"""Faults of the live stream, series by series: gaps, stuck meters, spikes, clock skew, changed units.

A series' memory is a few numbers (`SeriesMemory`), updated with each new actual in order of time; nothing is read again.
The limits are wide on purpose: what is reported stops a rollback, because no model can mend a dead meter.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.monitoring.chunks import DAY_US, codes_of, times_of
from aihub.store import observations as rows_of
from aihub.types import iso

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sqlalchemy.engine import Connection

    from aihub.monitoring.chunks import ActualRows
    from aihub.monitoring.log import ModelLog

FACTORS = (60.0, 100.0, 1e3, 1e6)
"""Ratios of units that are confused: minutes and hours, percent and share, kW and MW, W and MW; and their inverses."""
_NEAR = 1.6
_BACK = 5.0
"""A unit is as it was when the level is within this factor of the usual one: the season goes on meanwhile."""
_DAYS = 28
_RECENT = 6
_STUCK_VALUES = 12
_STUCK_US = DAY_US
_GAP_STEPS = 3.5
_SPIKE = 8.0
_SKEW_SHARE = 0.02
_ZERO_DAYS = 14
"""Two weekends must have been seen before zeros say anything: a closed shop and a winter night have them too."""
_STRAY = 0.1
"""More values than this share on the other side of zero, and a series has no usual side."""
_AWAY = 0.5
"""A series keeps away from zero where its smallest day is at least this share of the usual one: its sign means something."""
LASTING = ("stuck", "unit", "clock", "sign")
"""Faults that last until the stream is as it was; gaps and spikes are over when they are seen."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault of one series.

    Attributes
    ----------
    kind
        ``gap``, ``stuck``, ``spike``, ``clock``, ``unit`` or ``sign``.
    since_us, at_us
        Begin and last sight, microseconds since 1970.
    """

    series: str
    kind: str
    since_us: int
    at_us: int
    detail: str

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        stamps = {"since": self.since_us, "at": self.at_us}
        times = {name: iso(datetime.fromtimestamp(us / 1e6, UTC)) for name, us in stamps.items()}
        return {"series": self.series, "kind": self.kind, **times, "detail": self.detail}


@dataclass(slots=True)
class SeriesMemory:
    """What is remembered of one series, JSON-able.

    Attributes
    ----------
    last_us, last
        The newest time and its value.
    step_us, phase_us
        Usual distance of times, and where in a step they lie; 0 and -1 until known.
    run, run_us, longest
        Equal values in a row up to now, since when, and the longest such run that was no fault.
    recent
        Sizes of the last values that are not zero.
    today, day
        Day of the newest value, and count, sum and largest of the sizes of that day's values so far.
    days
        Mean and largest size of each of the last 28 days with values.
    sides
        How many values lay above zero, and below it.
    sided_us, turned
        The newest value on the usual side, and how many on the other one have come since.
    faults
        Lasting faults by kind: since when, and what was seen.
    """

    last_us: int = 0
    last: float = 0.0
    step_us: int = 0
    phase_us: int = -1
    run: int = 0
    run_us: int = 0
    longest: int = 0
    recent: list[float] = field(default_factory=list)
    today: int = 0
    day: list[float] = field(default_factory=list)
    days: list[list[float]] = field(default_factory=list)
    sides: list[int] = field(default_factory=lambda: [0, 0])
    sided_us: int = 0
    turned: int = 0
    faults: dict[str, list[Any]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form; `SeriesMemory(**form)` reads it."""
        return {name: getattr(self, name) for name in self.__slots__}

    def take(
        self, name: str, times: NDArray[np.int64], values: NDArray[np.float64], now_us: int
    ) -> list[Fault]:
        """Take new values, ascending in time, and say what is wrong with them.

        Older ones than known are left out, and those of days to come: after one of them all that is true would be old.
        """
        found = self._far_ahead(times, now_us)
        later = (times > self.last_us) & (times <= now_us + DAY_US)
        if not later.all():
            times, values = times[later], values[later]
        if not times.size:
            return self._told(name, found)
        found += self._clock(times, now_us) + self._gap(times)
        found += self._stuck(times, values)
        found += self._turned(times, values)
        found += self._level(times, values)
        self.last_us, self.last = int(times[-1]), float(values[-1])
        return self._told(name, found)

    def _told(self, name: str, found: list[tuple[str, int, str]]) -> list[Fault]:
        return [Fault(series=name, kind=kind, since_us=since, at_us=self.last_us, detail=detail)
                  for kind, since, detail in found]  # fmt: skip

    def _far_ahead(self, times: NDArray[np.int64], now_us: int) -> list[tuple[str, int, str]]:
        ahead = int(times[-1]) - now_us if times.size else 0
        if ahead <= DAY_US:
            return []
        return [("clock", int(times[-1]), f"measured {ahead / 8.64e10:.1f} days in the future; left out")]

    def _clock(self, times: NDArray[np.int64], now_us: int) -> list[tuple[str, int, str]]:
        if not self.step_us and times.size > _RECENT:
            self.step_us = int(np.median(times[1:] - times[:-1]))
            self.phase_us = int(np.median(times % self.step_us))
        ahead = int(times[-1]) - now_us
        if ahead > max(self.step_us, 60_000_000):
            return self._lasting("clock", int(times[-1]), f"measured {ahead / 3.6e9:.1f} h in the future")
        if not self.step_us or times.size < _RECENT:
            return []
        # The least of three: a single value beside the grid is no clock.
        offs = [(int(times[at]) - self.phase_us) % self.step_us for at in (0, times.size // 2, -1)]
        off = min(min(one, self.step_us - one) for one in offs)
        if off > _SKEW_SHARE * self.step_us:
            return self._lasting(
                "clock", int(times[0]), f"times are {off / 6e7:.0f} min beside their usual grid"
            )
        self.faults.pop("clock", None)
        return []

    def _gap(self, times: NDArray[np.int64]) -> list[tuple[str, int, str]]:
        if not self.step_us:
            return []
        limit = _GAP_STEPS * self.step_us
        found = []
        if self.last_us and int(times[0]) - self.last_us > limit:
            found.append((self.last_us, int(times[0])))
        steps = times[1:] - times[:-1]
        if steps.size and int(steps.max()) > limit:
            found += [(int(times[at]), int(times[at + 1])) for at in np.flatnonzero(steps > limit).tolist()]
        return [("gap", a, f"{round((b - a) / self.step_us) - 1} values missing") for a, b in found]

    def _stuck(self, times: NDArray[np.int64], values: NDArray[np.float64]) -> list[tuple[str, int, str]]:
        changes = np.flatnonzero(values[1:] != values[:-1]) + 1
        if not self.last_us or values[0] != self.last:
            changes = np.concatenate(([0], changes))
        if changes.size:
            ended = self.run + int(changes[0])
            inner = int((changes[1:] - changes[:-1]).max()) if changes.size > 1 else 0
            if "stuck" not in self.faults:
                self.longest = max(self.longest, ended, inner)
            self.run, self.run_us = len(values) - int(changes[-1]), int(times[changes[-1]])
            self.faults.pop("stuck", None)
        else:
            self.run += len(values)
        lasts = int(times[-1]) - self.run_us
        is_known = values[-1] != 0 or len(self.days) >= _ZERO_DAYS
        is_stuck = is_known and self.run >= max(_STUCK_VALUES, 3 * self.longest) and lasts >= _STUCK_US
        if is_stuck:
            return self._lasting("stuck", self.run_us, f"{values[-1]:g} for {lasts / 3.6e9:.0f} h")
        return []

    def _turned(self, times: NDArray[np.int64], values: NDArray[np.float64]) -> list[tuple[str, int, str]]:
        """Say that a series that kept to one side of zero has been on the other for a day."""
        side = 1 if self.sides[0] >= self.sides[1] else -1
        usual, other = np.flatnonzero(values * side > 0), np.flatnonzero(values * side < 0)
        if usual.size:
            self.faults.pop("sign", None)
            self.sided_us, self.turned = int(times[usual[-1]]), 0
            other = other[other > usual[-1]]
        self.turned += other.size
        means = [day[0] for day in self.days]
        is_known = len(means) >= _ZERO_DAYS and min(means) >= _AWAY * statistics.median(means)
        lasts = int(times[-1]) - self.sided_us
        is_sided = min(self.sides) <= _STRAY * sum(self.sides)
        if "sign" in self.faults or (
            is_known and is_sided and self.turned >= _STUCK_VALUES and lasts >= _STUCK_US
        ):
            word = "positive" if side > 0 else "negative"
            return self._lasting("sign", self.sided_us, f"no {word} value for {lasts / 3.6e9:.0f} h")
        self.sides = [self.sides[0] + int((values > 0).sum()), self.sides[1] + int((values < 0).sum())]
        return []

    def _level(self, times: NDArray[np.int64], values: NDArray[np.float64]) -> list[tuple[str, int, str]]:
        sizes = np.abs(values)
        self.recent = [*self.recent, *sizes[sizes > 0][-_RECENT:].tolist()][-_RECENT:]
        found: list[tuple[str, int, str]] = []
        usual = statistics.median(day[0] for day in self.days) if len(self.days) >= 3 else 0.0  # noqa: PLR2004
        factor = None
        if usual > 0 and len(self.recent) == _RECENT:
            ratio = statistics.median(self.recent) / usual
            factor = changed_unit(ratio)
            if 1 / _BACK < ratio < _BACK:
                self.faults.pop("unit", None)
            elif factor is not None:
                how = f"{factor:g} times larger" if factor > 1 else f"{1 / factor:g} times smaller"
                found += self._lasting("unit", int(times[0]), f"values are about {how} than usual")
            elif "unit" in self.faults:
                found += self._lasting("unit", 0, self.faults["unit"][1])
        if usual > 0 and factor is None and "unit" not in self.faults:
            largest = max(day[1] for day in self.days)
            for at in np.flatnonzero(sizes > _SPIKE * largest).tolist():
                found.append(
                    ("spike", int(times[at]), f"{values[at]:g}, at most {largest:g} in the last weeks")
                )
        if "unit" not in self.faults:
            self._remember(times, sizes)
        return found

    def _remember(self, times: NDArray[np.int64], sizes: NDArray[np.float64]) -> None:
        if self.days:
            usual = sizes <= _SPIKE * max(one[1] for one in self.days)
            if not usual.all():
                times, sizes = times[usual], sizes[usual]
        if not times.size:
            return
        days = times // DAY_US
        for day in [int(days[0])] if days[0] == days[-1] else np.unique(days).tolist():
            if day != self.today:
                if self.day:
                    self.days = [*self.days, [_short(self.day[1] / self.day[0]), _short(self.day[2])]][
                        -_DAYS:
                    ]
                self.today, self.day = day, []
            of_day = sizes[(days == day) & (sizes > 0)]
            if of_day.size:
                n, whole, largest = self.day or (0.0, 0.0, 0.0)
                self.day = [n + of_day.size, whole + float(of_day.sum()), max(largest, float(of_day.max()))]

    def _lasting(self, kind: str, since_us: int, detail: str) -> list[tuple[str, int, str]]:
        since = self.faults[kind][0] if kind in self.faults else since_us
        self.faults[kind] = [since, detail]
        return [(kind, since, detail)]


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def changed_unit(ratio: float) -> float | None:
    """Return the factor of two units that `ratio` of levels is close to, None where it is none.

    >>> changed_unit(0.0011), changed_unit(1.4)
    (0.001, None)
    """
    for factor in FACTORS:
        for one in (factor, 1 / factor):
            if one / _NEAR <= ratio <= one * _NEAR:
                return one
    return None


def look(log: ModelLog, day: int, new: ActualRows, now_us: int) -> list[Fault]:
    """Take the new actuals of a day into the memories of their series; return the faults that they show."""
    codes = codes_of(new.key)
    if not codes.size:
        return []
    first = np.flatnonzero(np.concatenate(([True], codes[1:] != codes[:-1])))
    times = times_of(new.key, day)
    found: list[Fault] = []
    names = log.names
    for start, end in zip(first.tolist(), [*first.tolist()[1:], codes.size], strict=True):
        code = int(codes[start])
        if new.key[start] >> np.uint64(63):
            return found  # by id: no time to look at; these keys are the largest
        memory = SeriesMemory(**(log.states.get(code) or {}))
        found += memory.take(names[code], times[start:end], new.value[start:end], now_us)
        log.remember(code, memory.to_dict())
    return found


def faults_in(connection: Connection, tenant: str, model: str) -> list[Fault]:
    """Faults of the model's streams that have not ended."""
    return [
        Fault(series=row.name, kind=kind, since_us=since, at_us=row.state["last_us"], detail=detail)
        for row in rows_of.series(connection, tenant=tenant, model=model, faulty=True)
        for kind, (since, detail) in row.state["faults"].items()
    ]
