"""One series against its own past: has its level jumped for good, have its hours moved? Pure.

What the weeks before had at the same hour of the same weekday is the reference. A meter that reports half from one value
to the next, at all hours alike, differs from a holiday, a cold spell or a lockdown, which come over hours or days and
change the shape of the day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast
from zoneinfo import ZoneInfo

import numpy as np

from aihub.monitoring.chunks import DAY_US, HOUR_US

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from aihub.types import FloatArray

WEEKS = 4
"""The reference is the median of so many weeks."""
KNOWN_DAYS = 7 * (WEEKS + 1) + 1
"""Days of a series that are looked at."""
LOCAL_ZONES = ("America/New_York", "Europe/Berlin", "Australia/Sydney")
"""People's days move by an hour in UTC when their clocks change; of these rules one counts in most of the world."""
LEAST_JUMP = 0.22
"""Logarithm of the smallest factor that is told: a fifth less, a quarter more."""
LARGEST_JUMP = 3.4
"""Beyond a factor of thirty it is another unit."""
_BACK = 0.3
"""Share of a jump that may be left where the level is as it was."""
_SEEN = 0.7
"""Share of the values that must be there."""
_SHIFT_DAYS = 3
_SHIFT_KNOWN_DAYS = 15
_WINS = 0.7
_WINS_A_DAY = 0.9


@dataclass(frozen=True, eq=False)
class Course:
    """Values of one series on its grid, NaN where there is none, shape (n,)."""

    begin_us: int
    step_us: int
    values: FloatArray

    @classmethod
    def of(cls, times: NDArray[np.int64], values: FloatArray, step_us: int) -> Course:
        """Lay values, ascending in time, on their grid; what lies beside it is left out."""
        at, beside = np.divmod(times - times[0], step_us)
        on_grid = beside == 0
        laid = np.full(int(at[-1]) + 1, np.nan)
        laid[at[on_grid]] = values[on_grid]
        return cls(int(times[0]), step_us, laid)

    def index(self, at_us: int) -> int:
        """Place of a time."""
        return (at_us - self.begin_us) // self.step_us

    def steps(self, span_us: int) -> int:
        """Count the steps in a span of time, at least one."""
        return max(1, round(span_us / self.step_us))

    def logs(self) -> FloatArray:
        """Logarithms of the sizes, NaN at zero."""
        size = np.abs(self.values)
        return np.log(size, where=size > 0, out=np.full(size.size, np.nan))

    def earlier(self, x: FloatArray, at: NDArray[np.intp], since: int, *, zone: str = "") -> FloatArray:
        """Return the median of `x` at the same hour in the four weeks before places `at`, none of them from `since` on."""
        week = self.steps(7 * DAY_US)
        first = np.maximum(1, (at - since) // week + 1)
        found = np.full((WEEKS, at.size), np.nan)
        clock = self._local(zone) if zone else None
        for row in range(WEEKS):
            source = at - (first + row) * week
            if clock is not None:
                source = source + clock[at] - clock[np.maximum(source, 0)]
            known = (source >= 0) & (source < x.size)
            found[row, known] = x[source[known]]
        return _median(found)

    def _local(self, zone: str) -> NDArray[np.int64]:
        """How far the clocks of a zone are ahead of UTC, in steps, at each place; of a day what holds at noon."""
        days = (self.begin_us + np.arange(self.values.size) * self.step_us) // DAY_US
        whole, place = np.unique(days, return_inverse=True)
        ahead = [_ahead_us(int(day), zone) // self.step_us for day in whole.tolist()]
        return np.array(ahead, np.int64)[place]


@lru_cache(maxsize=4096)
def _ahead_us(day: int, zone: str) -> int:
    noon = datetime.fromtimestamp((day + 0.5) * DAY_US / 1e6, UTC).astimezone(ZoneInfo(zone))
    offset = noon.utcoffset()
    return 0 if offset is None else round(offset.total_seconds() * 1e6)


def _median(rows: FloatArray) -> FloatArray:
    """Median of each column without NaN, NaN where there is nothing else."""
    ordered = np.sort(rows, axis=0)
    n = np.isfinite(rows).sum(axis=0)
    low, high = np.maximum(n - 1, 0) // 2, np.minimum(n // 2, len(rows) - 1)
    pick = [np.take_along_axis(ordered, one[None, :], axis=0)[0] for one in (low, high)]
    return cast("FloatArray", np.where(n > 0, (pick[0] + pick[1]) / 2, np.nan))


def level_change(course: Course, at_us: int, hours: int = 48) -> float | None:
    """Return by which factor the level jumped at a time, None where it did not.

    It jumped where the logarithm of the ratio to the weeks before

    - changes by most of the jump within one value or two, twice as far as one value in a hundred did in three weeks;
    - is flat for six hours on either side of it;
    - never comes back to where it was in the hours after, at no hour of the day;
    - was not merely off before, so that the jump is a return to what is usual.

    Parameters
    ----------
    at_us
        Time of the first value after the jump.
    hours
        How long it has to last.
    """
    x, at = course.logs(), course.index(at_us)
    day, span = course.steps(DAY_US), course.steps(hours * HOUR_US)
    if at - day < 0 or at + span > x.size:
        return None
    first = max(0, at - 21 * day)
    places = np.arange(first, at + span)
    off = x[places] - course.earlier(x, places, x.size)
    at -= first
    before, after, past = off[at - day : at], off[at:], off[:at]
    if (
        min(np.isfinite(before).mean(), np.isfinite(after).mean()) < _SEEN
        or np.isfinite(past).sum() < 2 * day
    ):
        return None
    return _factor(before, after, past, course.steps(6 * HOUR_US))


def _factor(before: FloatArray, after: FloatArray, past: FloatArray, near: int) -> float | None:
    near = max(3, near)
    sides = before[-near:], after[:near]
    if not all(np.isfinite(side).sum() >= min(3, near) for side in sides):
        return None
    levels = [float(np.nanmedian(side)) for side in sides]
    local = levels[1] - levels[0]
    size, sign = abs(local), 1.0 if local > 0 else -1.0
    if not LEAST_JUMP < size < LARGEST_JUMP:
        return None
    uneven = max(float(np.nanmax(np.abs(side - level))) for side, level in zip(sides, levels, strict=True))
    steps = sign * np.array([after[0] - before[-1], after[1] - before[-1], after[0] - before[-2]])
    sharp = float(np.max(steps, initial=0.0, where=np.isfinite(steps)))
    own_steps = np.abs(np.diff(past))
    usual_step = float(np.nanpercentile(own_steps, 99)) if np.isfinite(own_steps).any() else np.inf
    was, is_now = float(np.nanmedian(before)), float(np.nanmedian(after))
    jump = sign * (is_now - was)
    least = float(np.nanpercentile(sign * (after - was), 5))
    most_before = float(np.nanpercentile(sign * (before - was), 95))
    holds = (
        uneven < 0.5 * size
        and sharp > 0.6 * size
        and sharp > 2 * usual_step
        and 0.6 * size < jump < 1.6 * size
        and least > 0.25 * size
        and least > most_before - 0.1 * size
        and sign * is_now > 0.5 * size
    )
    return float(np.exp(is_now - was)) if holds else None


def is_level_back(course: Course, since_us: int, factor: float) -> bool:
    """Say whether the last day is by far nearer to what the weeks before `since_us` had than to `factor` times that.

    Halfway would not do: a heat wave brings half of the load to three quarters of the usual.
    """
    x = course.logs()
    places = np.arange(max(0, x.size - course.steps(DAY_US)), x.size)
    off = x[places] - course.earlier(x, places, course.index(since_us))
    if np.isfinite(off).mean() < _SEEN:
        return False
    sign, size = (1.0, np.log(factor)) if factor > 1 else (-1.0, -np.log(factor))
    return bool(sign * np.nanmedian(off) < _BACK * size)


def shifted_by(course: Course) -> int:
    """Return by how many hours, -1, 0 or 1, the values of the last three days come later than in the weeks before.

    Changes over an hour are compared, which tell the time better than levels, and what moves people's clocks is allowed
    for. It is said of three days running, each with a mean difference a tenth smaller, and three tenths over all.
    """
    hours = _Hours.of(course, course.values.size)
    if hours is None:
        return 0
    unmoved, moved = hours.unmoved(("",)), {lag: hours.moved(lag) for lag in (1, -1)}
    for lag, mine in moved.items():
        if not _wins(mine, unmoved) or not np.all(mine < moved[-lag]):
            continue
        return lag if _wins(mine, hours.unmoved(("", *LOCAL_ZONES))) else 0
    return 0


def _wins(mine: FloatArray, other: FloatArray) -> bool:
    """Say whether a difference is clearly smaller than another; what is not known wins nothing."""
    return bool(mine.sum() < _WINS * other.sum() and np.all(mine < _WINS_A_DAY * other))


def is_hour_back(course: Course, since_us: int, lag: int) -> bool:
    """Say whether the last three days fit the weeks before `since_us` as they are, and not `lag` hours later."""
    hours = _Hours.of(course, course.index(since_us))
    return hours is not None and bool(
        hours.unmoved(("", *LOCAL_ZONES)).sum() < _WINS * hours.moved(lag).sum()
    )


@dataclass(frozen=True, eq=False)
class _Hours:
    """Changes over an hour of the last three days, beside those of the weeks before `since`."""

    course: Course
    since: int
    hour: int
    changes: FloatArray
    places: NDArray[np.intp]

    @classmethod
    def of(cls, course: Course, since: int) -> _Hours | None:
        """Return None where an hour is no whole number of steps, or too little is known."""
        hour, day = course.steps(HOUR_US), course.steps(DAY_US)
        if HOUR_US % course.step_us or course.values.size < _SHIFT_KNOWN_DAYS * day:
            return None
        x = np.full(course.values.size, np.nan)
        x[hour:] = course.values[hour:] - course.values[:-hour]
        return cls(course, since, hour, x, np.arange(x.size - _SHIFT_DAYS * day, x.size))

    def unmoved(self, zones: Sequence[str]) -> FloatArray:
        """Mean difference per day, by that rule of clocks that fits best over the days; NaN where it is not known."""
        kept = [self.course.earlier(self.changes, self.places, self.since, zone=zone) for zone in zones]
        return min(map(self._distance, kept), key=lambda one: float(one.sum()))

    def moved(self, lag: int) -> FloatArray:
        """Mean difference per day to what came `lag` hours earlier."""
        return self._distance(
            self.course.earlier(_later(self.changes, lag * self.hour), self.places, self.since)
        )

    def _distance(self, reference: FloatArray) -> FloatArray:
        gap = np.abs(self.changes[self.places] - reference).reshape(_SHIFT_DAYS, -1)
        n = np.isfinite(gap).sum(axis=1)
        whole = np.nansum(gap, axis=1)
        return np.where(n >= _SEEN * gap.shape[1], whole / np.maximum(n, 1), np.nan)


def _later(x: FloatArray, places: int) -> FloatArray:
    moved = np.full(x.size, np.nan)
    if places > 0:
        moved[places:] = x[:-places]
    else:
        moved[:places] = x[-places:]
    return moved


def joined(parts: Sequence[tuple[NDArray[np.int64], FloatArray]], step_us: int) -> Course | None:
    """Lay parts of one series, ascending, on one grid; None where there is nothing."""
    some: Any = [part for part in parts if part[0].size]
    if not some or step_us <= 0:
        return None
    return Course.of(np.concatenate([t for t, _ in some]), np.concatenate([v for _, v in some]), step_us)
