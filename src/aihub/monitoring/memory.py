"""What is remembered of a live series, and the faults that it shows as each new actual comes in order of time.

A few numbers per series. Only where they are odd, weeks of the series are read again (`course`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from aihub.monitoring.changes import Changes, said_of
from aihub.monitoring.chunks import DAY_US
from aihub.monitoring.faults import Fault
from aihub.monitoring.units import FEW_DAYS, changed_unit, is_steady

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from aihub.monitoring.course import Course
    from aihub.monitoring.weeks import Beside
    from aihub.types import FloatArray

_BACK = 5.0
"""A unit is as it was when the level is within this factor of the usual one: the season goes on meanwhile."""
_DAYS = 28
_RECENT = 6
_GRID_TIMES = 30
"""The step and the grid are learned from the first times of a series."""
_MOST_OF_A_DAY = 0.75
_STUCK_VALUES = 12
_STUCK_US = DAY_US
_GAP_STEPS = 3.5
_SPIKE = 8.0
_SKEW_SHARE = 0.02
_ZERO_DAYS = 14
"""Two weekends must have been seen before zeros say anything: a closed shop and a winter night have them too."""
_LEAP = 0.25
"""Of the usual size: nearer to zero than this, a series creeps through it."""
_STRAY = 0.02
"""More values than this share on the other side of zero, and a series has no usual side."""
_AWAY = 0.5
"""A series keeps away from zero where its smallest day is at least this share of the usual one: its sign means something."""

_MEAN, _LARGEST = itemgetter(0), itemgetter(1)
"""Of a day that is remembered."""


@dataclass(slots=True)
class SeriesMemory:
    """What is remembered of one series, JSON-able.

    Attributes
    ----------
    last_us, last
        The newest time and its value.
    step_us, phase_us
        Usual distance of times, and where in a step they lie; 0 and -1 until known, -1 also where they lie anywhere.
    stamps
        The first times, until the step is known.
    aside, aloft
        How many times in a row were beside the grid, and how many values far too large.
    run, run_us, longest
        Equal values in a row up to now, since when, and the longest such run that was no fault.
    today, day
        Day of the newest value, and count, sum, largest and smallest of the sizes of that day's values so far.
    whole
        Of the same day all values, also those that are far too large: count of all, then of those that are not zero,
        their sum and the largest.
    odd
        The last day that looked like another unit, and the factor.
    days
        Mean, largest and smallest size of each of the last 28 days with values.
    sides
        How many values lay above zero, and below it.
    sided_us, sided, turned, leap
        Time and value of the newest one on the usual side, how many on the other one have come since, and the smaller
        size of the two values between which it crossed zero.
    changes
        What is remembered beside the weeks before (`changes.Changes`).
    faults
        Lasting faults by kind: since when, and what was seen.
    """

    last_us: int = 0
    last: float = 0.0
    step_us: int = 0
    phase_us: int = -1
    stamps: list[int] = field(default_factory=list)
    aside: int = 0
    aloft: int = 0
    run: int = 0
    run_us: int = 0
    longest: int = 0
    today: int = 0
    day: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    odd: list[float] = field(default_factory=list)
    days: list[list[float]] = field(default_factory=list)
    sides: list[int] = field(default_factory=lambda: [0, 0])
    sided_us: int = 0
    sided: float = 0.0
    turned: int = 0
    leap: float = 0.0
    changes: dict[str, Any] = field(default_factory=dict)
    faults: dict[str, list[Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, form: Mapping[str, Any] | None) -> Self:
        """Read what `to_dict` wrote, also before there was all of this to remember."""
        return cls(**{name: kept for name, kept in (form or {}).items() if name in cls.__slots__})

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form; `SeriesMemory.of` reads it."""
        return {name: getattr(self, name) for name in self.__slots__}

    def take(
        self, name: str, times: NDArray[np.int64], values: NDArray[np.float64], now_us: int
    ) -> list[Fault]:
        """Take new values, ascending in time, and say what is wrong with them.

        Older ones than known are left out, and those of days to come: after one of them all that is true would be old.
        """
        found = self._far_ahead(times, now_us)
        if times.size and (times[0] <= self.last_us or times[-1] > now_us + DAY_US):
            later = (times > self.last_us) & (times <= now_us + DAY_US)
            times, values = times[later], values[later]
        if not times.size:
            return self._told(name, found)
        found += self._clock(times, now_us) + self._gap(times)
        found += self._stuck(times, values)
        found += self._turned(times, values)
        found += self._level(times, values)
        found += self._still("level", "shift")
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
        if not self.step_us:
            self._learn_grid(times)
        ahead = int(times[-1]) - now_us
        if ahead > max(self.step_us, 60_000_000):
            return self._lasting("clock", int(times[-1]), f"measured {ahead / 3.6e9:.1f} h in the future")
        if self.phase_us < 0:
            return []
        off = self._beside(int(times[-1]))
        limit = _SKEW_SHARE * self.step_us
        if off <= limit:
            self.faults.pop("clock", None)
            self.aside = 0
            return []
        on_grid = [at for at, time in enumerate(times.tolist()) if self._beside(time) <= limit]
        self.aside = times.size - on_grid[-1] - 1 if on_grid else self.aside + times.size
        # A single value beside the grid is no clock.
        if self.aside < _RECENT:
            return []
        begin = int(times[max(0, times.size - self.aside)])
        return self._lasting("clock", begin, f"times are {off / 6e7:.0f} min beside their usual grid")

    def _learn_grid(self, times: NDArray[np.int64]) -> None:
        self.stamps = [*self.stamps, *times[:_GRID_TIMES].tolist()][:_GRID_TIMES]
        if len(self.stamps) <= _RECENT:
            return
        some = np.array(self.stamps)
        self.step_us, self.stamps = int(np.median(some[1:] - some[:-1])), []
        self.phase_us = int(np.median(some % self.step_us))
        if max(map(self._beside, some.tolist())) > _SKEW_SHARE * self.step_us:
            self.phase_us = -1

    def _beside(self, time: int) -> int:
        off = (time - self.phase_us) % self.step_us
        return min(off, self.step_us - off)

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
        detail = f"{values[-1]:g} for {lasts / 3.6e9:.0f} h"
        return self._lasting("stuck", self.run_us, detail) if is_stuck else []

    def _turned(self, times: NDArray[np.int64], values: NDArray[np.float64]) -> list[tuple[str, int, str]]:
        """Say that a series that kept to one side of zero has been on the other for a day."""
        side = 1 if self.sides[0] >= self.sides[1] else -1
        if side > 0 and float(values.min()) > 0:
            self.faults.pop("sign", None)
            self.sided_us, self.sided, self.turned = int(times[-1]), float(values[-1]), 0
            self.sides = [self.sides[0] + values.size, self.sides[1]]
            return []
        usual, other = np.flatnonzero(values * side > 0), np.flatnonzero(values * side < 0)
        if usual.size:
            self.faults.pop("sign", None)
            self.sided_us, self.sided, self.turned = int(times[usual[-1]]), float(values[usual[-1]]), 0
            other = other[other > usual[-1]]
        if other.size and not self.turned:
            # What comes out of a night of zeros did not creep.
            rested = int(times[other[0]]) - self.sided_us > _GAP_STEPS * max(self.step_us, 1)
            self.leap = abs(self.sided) if rested else min(abs(self.sided), abs(float(values[other[0]])))
        self.turned += other.size
        lasts = int(times[-1]) - self.sided_us
        word = "positive" if side > 0 else "negative"
        detail = f"no {word} value for {lasts / 3.6e9:.0f} h"
        if "sign" in self.faults:
            return self._lasting("sign", self.sided_us, detail)
        is_long = self.turned >= _STUCK_VALUES and lasts >= _STUCK_US
        if is_long and other.size and self._is_reversed(side, np.abs(values[other])):
            return self._lasting("sign", self.sided_us, detail)
        self.sides = [self.sides[0] + int((values > 0).sum()), self.sides[1] + int((values < 0).sum())]
        return []

    def _is_reversed(self, side: int, sizes: FloatArray) -> bool:
        """Say whether a series shows what it always showed, with the other sign from one value to the next.

        What creeps through zero, or shows little beyond it, is none; nor is what often was on that side.
        """
        means = [day[0] for day in self.days]
        if len(means) < _ZERO_DAYS:
            return False
        usual = _middle(sorted(means))
        # Those of this run do not count, which would hide the next.
        stray = max(0, self.sides[1 if side > 0 else 0] - self.turned)
        return (
            min(means) >= _AWAY * usual
            and float(sizes.mean()) >= _AWAY * usual
            and self.leap >= _LEAP * usual
            and stray <= _STRAY * sum(self.sides)
        )

    def _level(self, times: NDArray[np.int64], values: NDArray[np.float64]) -> list[tuple[str, int, str]]:
        sizes = np.abs(values)
        found = self._unit(times, sizes)
        if "unit" not in self.faults and len(self.days) >= FEW_DAYS:
            found += self._spikes(times, values, float(sizes.max()))
        if not self.faults.keys() & {"unit", "level"}:
            self._remember(times, sizes)
        return found

    def _spikes(
        self, times: NDArray[np.int64], values: NDArray[np.float64], largest_now: float
    ) -> list[tuple[str, int, str]]:
        largest = max(map(_LARGEST, self.days))
        if largest_now <= _SPIKE * largest:
            self.aloft = 0
            return []
        is_spike = np.abs(values) > _SPIKE * largest
        at = np.flatnonzero(is_spike)
        below = np.flatnonzero(~is_spike)
        self.aloft = int(times.size - below[-1] - 1) if below.size else self.aloft + times.size
        # So many in a row are no spikes; the day will tell what they are.
        if self.aloft >= _RECENT:
            at = at[at < below[-1]] if below.size else at[:0]
        return [
            ("spike", int(times[one]), f"{values[one]:g}, at most {largest:g} in the last weeks")
            for one in at.tolist()
        ]

    def _unit(self, times: NDArray[np.int64], sizes: NDArray[np.float64]) -> list[tuple[str, int, str]]:
        """Look at the newest day as soon as most of it is there."""
        day = int(times[-1]) // DAY_US
        of_day = sizes if times[0] >= day * DAY_US else sizes[times >= day * DAY_US]
        n, k, whole, largest = self.whole if self.whole and day == self.today else (0.0, 0.0, 0.0, 0.0)
        more = int(np.count_nonzero(of_day))
        self.whole = [
            n + of_day.size,
            k + more,
            whole + float(of_day.sum()),
            max(largest, float(of_day.max())),
        ]
        n, k, whole, largest = self.whole
        if len(self.days) < FEW_DAYS or not k or n * self.step_us < _MOST_OF_A_DAY * DAY_US:
            return self._still("unit")
        usual = _middle(sorted(map(_MEAN, self.days)))
        ratio = whole / k / usual if usual > 0 else 1.0
        if 1 / _BACK < ratio < _BACK:
            self.faults.pop("unit", None)
            return []
        factor = changed_unit(whole / k, largest, self.days)
        if factor is None:
            return self._still("unit")
        is_sure = is_steady(self.days) or (self.odd[1:] == [factor] and day - self.odd[0] == 1)
        if not is_sure and "unit" not in self.faults:
            self.odd = self.odd if self.odd[:1] == [day] else [day, factor]
            return []
        how = f"{factor:g} times larger" if factor > 1 else f"{1 / factor:g} times smaller"
        begin = int(times[len(sizes) - of_day.size])
        return self._lasting("unit", begin, f"values are about {how} than usual")

    def _remember(self, times: NDArray[np.int64], sizes: NDArray[np.float64]) -> None:
        if self.days:
            limit = _SPIKE * max(map(_LARGEST, self.days))
            if float(sizes.max()) > limit:
                times, sizes = times[sizes <= limit], sizes[sizes <= limit]
        if not times.size:
            return
        begin, end = int(times[0]) // DAY_US, int(times[-1]) // DAY_US
        days = times // DAY_US if begin != end else None
        for day in [begin] if days is None else np.unique(days).tolist():
            if day != self.today:
                if self.day:
                    ended = [self.day[1] / self.day[0], *self.day[2:]]
                    self.days = [*self.days, [_short(one) for one in ended]][-_DAYS:]
                self.today, self.day = day, []
            of_day = sizes if days is None else sizes[days == day]
            of_day = of_day[of_day > 0]
            if of_day.size:
                # A day that was begun before the smallest size was remembered has none.
                n, whole, largest, smallest = (*self.day, 0.0)[:4] if self.day else (0.0, 0.0, 0.0, np.inf)
                self.day = [
                    n + of_day.size,
                    whole + float(of_day.sum()),
                    max(largest, float(of_day.max())),
                    min(smallest, float(of_day.min())),
                ]

    def _lasting(self, kind: str, since_us: int, detail: str) -> list[tuple[str, int, str]]:
        since = self.faults[kind][0] if kind in self.faults else since_us
        self.faults[kind] = [since, detail]
        return [(kind, since, detail)]

    def compare(self, times: NDArray[np.int64], rows: slice, row: int, weeks: Beside) -> int | None:
        """Take what values that were just taken, some `rows` of these, are beside the week before (`weeks.Beside`).

        Returns
        -------
        int or None
            From when on the weeks of the series should be looked at now, microseconds; None where there is no need.
        """
        changes = Changes.of(self.changes)
        changes.compare(times, rows, row, weeks)
        since_us = changes.wants(self.last_us, self.step_us)
        self.changes = changes.to_dict()
        return since_us

    def judge(self, name: str, course: Course) -> list[Fault]:
        """Say what the last weeks of the series show: whether a level or an hour has changed, or is as it was."""
        changes = Changes.of(self.changes)
        was = set(changes.known)
        is_old = changes.judge(course, self.last_us, is_other_unit="unit" in self.faults)
        self.changes = changes.to_dict()
        for kind in was - set(changes.known):
            self.faults.pop(kind, None)
            if kind in is_old and kind == "level":
                self.days = []
        for kind in set(changes.known) - was:
            since, change = changes.known[kind]
            self._lasting(kind, int(since), said_of(kind, change))
            if kind == "level":
                # What was taken for usual since then is not.
                late = self.today - int(since) // DAY_US
                self.days, self.day = self.days[: len(self.days) - late] if late else self.days, []
        return self._told(name, self._still("level", "shift"))

    def _still(self, *kinds: str) -> list[tuple[str, int, str]]:
        """Give those of some faults that last, as they are known."""
        return [(kind, *self.faults[kind]) for kind in kinds if kind in self.faults]


def _middle(ordered: Sequence[float]) -> float:
    """Median, a quarter of the cost of the library's: it is asked for every series and day."""
    n = len(ordered)
    return (ordered[(n - 1) // 2] + ordered[n // 2]) / 2


def _short(value: float) -> float:
    return float(f"{value:.5g}")
