"""What is remembered of a series beside the weeks before: whether its level jumped, whether its hours moved.

Cheap numbers per day say when it is worth to read weeks of the series; what these show is decided in `course`.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from aihub.monitoring.chunks import DAY_US, HOUR_US
from aihub.monitoring.course import (
    KNOWN_DAYS,
    is_hour_back,
    is_level_back,
    level_change,
    shifted_by,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from aihub.monitoring.course import Course
    from aihub.monitoring.weeks import Beside

_STEP_DAYS = 14
_FEW_STEP_DAYS = 5
_STEP, _ODD_STEP = 0.15, 2.0
"""A step is looked at where it is so large, in logarithms, and so many times the usual largest of a day."""
_CONFIRM_US = (2 * DAY_US, 3 * DAY_US)
"""How long a jump of the level must last, longer than a holiday; what is not sure then is looked at again a day later."""
_LAG_DAYS = 3
_ODD_LAG = 0.8
"""Hours are looked at where those beside them fit better on each of three days, and by so much over all."""
_PERIODIC = 0.9
"""Hours mean something only in a series whose changes are told by those of another week: their difference is smaller."""
_LASTS = 0.3
"""Share of a step that must be left of it on the day after."""
_PAUSE_US = DAY_US
"""Data time between two looks at the weeks of one series."""
_TAKEN_FOR_USUAL_US = 90 * DAY_US
"""After a quarter of a year another level or hour is what is usual; until then a person is reminded."""


@dataclass(slots=True)
class Changes:
    """JSON-able.

    Attributes
    ----------
    ratio, steps, step
        Logarithm of the newest value over that a week before; its largest change within each of the last days, and today.
    jump
        A step that is looked at: time, size, how often it was looked at, and the level before.
    level, levels
        Mean logarithm of the ratio to the week before on the last whole day; sum and count of today.
    lags, lag
        Differences of hourly changes to the week before, and to an hour earlier and later there, and
        their own size: of the last days, and today (`weeks.Beside.lags`).
    day, looked_us
        Day of `step` and `lag`; up to where the weeks of the series were looked at.
    known
        Since when the ``level`` is another, and by which factor; since when the values ``shift``, and by which hours.
    """

    ratio: float = 0.0
    steps: list[float] = field(default_factory=list)
    step: float = 0.0
    jump: list[float] = field(default_factory=list)
    level: float = 0.0
    levels: list[float] = field(default_factory=lambda: [0.0, 0.0])
    lags: list[list[float]] = field(default_factory=list)
    lag: list[float] = field(default_factory=lambda: [0.0] * 4)
    day: int = 0
    looked_us: int = 0
    known: dict[str, list[float]] = field(default_factory=dict)

    @classmethod
    def of(cls, form: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        return cls(**form)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {name: getattr(self, name) for name in self.__slots__}

    def compare(self, times: NDArray[np.int64], rows: slice, row: int, weeks: Beside) -> None:
        """Take new values as they are beside the week before: `rows` of these, of the series that is number `row`."""
        ratio, step, largest = weeks.ratio[rows], weeks.step[rows], float(weeks.largest[row])
        lags, levels = weeks.lags[row].tolist(), weeks.levels[row].tolist()
        day = int(times[-1]) // DAY_US
        if day != self.day:
            if self.day:
                self.steps = [*self.steps, _short(self.step)][-_STEP_DAYS:]
                self.lags = [*self.lags, [_short(one) for one in self.lag]][-_LAG_DAYS:]
                self.level = _short(self.levels[0] / self.levels[1]) if self.levels[1] else self.level
            self.day, self.step, self.lag, self.levels = day, 0.0, [0.0] * 4, [0.0, 0.0]
        self.lag = [a + b for a, b in zip(self.lag, lags, strict=True)]
        self.levels = [self.levels[0] + levels[0], self.levels[1] + levels[1]]
        opening, newest = float(ratio[0]), float(ratio[-1])
        across = abs(opening - self.ratio) if self.ratio and math.isfinite(opening) else 0.0
        at = int(times[0])
        if largest > across:
            across, at = largest, int(times[step.argmax()])
        self.ratio = newest if math.isfinite(newest) else 0.0
        self.step = max(self.step, across)
        is_odd = across > _STEP and len(self.steps) >= _FEW_STEP_DAYS and not self.known
        is_news = not self.jump or across > self.jump[1]
        if is_odd and is_news and across > _ODD_STEP * statistics.median(self.steps):
            self.jump = [at, _short(across), 0, self.level]

    def wants(self, last_us: int, step_us: int) -> int | None:
        """Return from when on the weeks of the series should be looked at now, microseconds; None where there is no need."""
        if not step_us:
            return None
        since = last_us - KNOWN_DAYS * DAY_US
        if self._is_due(last_us, step_us):
            if abs(self.level - self.jump[3]) > _LASTS * self.jump[1]:
                return since
            self.jump = []
        if last_us - self.looked_us < _PAUSE_US:
            return None
        if self.known:
            return min(int(one[0]) for one in self.known.values()) - KNOWN_DAYS * DAY_US
        if len(self.lags) < _LAG_DAYS - 1 or min(self.lag[1:3]) >= self.lag[0]:
            return None
        some = [*self.lags, self.lag][-_LAG_DAYS:]
        return since if _fits_better(some, 1) or _fits_better(some, 2) else None

    def _is_due(self, last_us: int, step_us: int) -> bool:
        return bool(self.jump) and last_us - self.jump[0] >= _CONFIRM_US[int(self.jump[2])] - step_us

    def judge(self, course: Course, last_us: int, *, is_other_unit: bool) -> set[str]:
        """Look at the last weeks of the series, and know what they show; return what is given up because it is so old."""
        self.looked_us = last_us
        given_up = self._end(course, last_us)
        if self.jump and self._is_due(last_us, course.step_us):
            tried = int(self.jump[2])
            factor = level_change(course, int(self.jump[0]), hours=_CONFIRM_US[tried] // HOUR_US)
            if factor is not None and not is_other_unit and "level" not in self.known:
                self.known["level"] = [self.jump[0], factor]
            is_open = factor is None and tried + 1 < len(_CONFIRM_US)
            self.jump = [*self.jump[:2], tried + 1, self.jump[3]] if is_open else []
        lag = 0 if "shift" in self.known else shifted_by(course)
        if lag:
            self.known["shift"] = [last_us - _LAG_DAYS * DAY_US, lag]
        return given_up

    def _end(self, course: Course, last_us: int) -> set[str]:
        given_up = set()
        for kind, (since, change) in list(self.known.items()):
            is_old = last_us - since > _TAKEN_FOR_USUAL_US
            is_back = (
                is_level_back(course, int(since), change)
                if kind == "level"
                else is_hour_back(course, int(since), int(change))
            )
            if is_old or is_back:
                del self.known[kind]
                self.jump, self.lags = [], []
                given_up |= {kind} if is_old else set()
        return given_up


def _fits_better(days: Sequence[Sequence[float]], lag: int) -> bool:
    same = sum(day[0] for day in days)
    moved, size = sum(day[lag] for day in days), sum(day[3] for day in days)
    return moved < min(_ODD_LAG * same, _PERIODIC * size) and all(day[lag] < day[0] for day in days)


def said_of(kind: str, change: float) -> str:
    """Say what a change is, for people."""
    if kind == "level":
        return f"values jumped to {change:.2g} times the usual at once, at all hours alike, and stay there"
    return f"values come an hour {'later' if change > 0 else 'earlier'} than in the weeks before"


def _short(value: float) -> float:
    return float(f"{value:.5g}")
