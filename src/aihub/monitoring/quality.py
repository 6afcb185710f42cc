"""Faults of the live stream, series by series: gaps, stuck meters, spikes, clocks, changed units, jumps of the level.

The limits are wide on purpose: what is reported stops a rollback, because no model can mend a dead meter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from aihub.monitoring.chunks import BY_ID, DAY_US, codes_of, times_of
from aihub.monitoring.course import joined
from aihub.monitoring.memory import SeriesMemory
from aihub.monitoring.weeks import beside

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aihub.monitoring.chunks import ActualRows
    from aihub.monitoring.faults import Fault
    from aihub.monitoring.log import ModelLog


def look(log: ModelLog, day: int, new: ActualRows, now_us: int) -> list[Fault]:
    """Take the new actuals of a day into the memories of their series; return the faults that they show."""
    # Those by id come last and have no time to look at.
    new = new.first(int(np.searchsorted(new.key, BY_ID)))
    codes = codes_of(new.key)
    if not codes.size:
        return []
    first = np.flatnonzero(np.concatenate(([True], codes[1:] != codes[:-1])))
    times = times_of(new.key, day)
    before = beside(new, first, log.actuals(day), log.actuals(day - 7))
    found: list[Fault] = []
    names, wanted = log.names, dict[int, tuple[int, SeriesMemory]]()
    for at, (start, end) in enumerate(zip(first.tolist(), [*first.tolist()[1:], codes.size], strict=True)):
        code, part = int(codes[start]), slice(start, end)
        memory = SeriesMemory.of(log.memory(code))
        newest = memory.last_us
        found += memory.take(names[code], times[part], new.value[part], now_us)
        if before is not None and newest < memory.last_us == int(times[end - 1]):
            since = memory.compare(times[part], part, at, before)
            if since is not None:
                wanted[code] = since, memory
        log.remember(code, memory.to_dict())
    return found + _judged(log, day, wanted)


def _judged(log: ModelLog, day: int, wanted: Mapping[int, tuple[int, SeriesMemory]]) -> list[Fault]:
    """Look at the last weeks of some series, read once for all of them."""
    if not wanted:
        return []
    since = min(one for one, _ in wanted.values())
    courses = log.courses(list(wanted), since // DAY_US, day)
    found: list[Fault] = []
    for code, (_, memory) in wanted.items():
        course = joined(courses[code], memory.step_us)
        if course is not None:
            found += memory.judge(log.names[code], course)
        log.remember(code, memory.to_dict())
    return found
