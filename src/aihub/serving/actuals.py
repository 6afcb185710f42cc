"""Actuals that came after a training, as the history of the forecasts that serve."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.monitoring.chunks import BY_ID, DAY_US, ActualRows, codes_of, offsets_of
from aihub.serving.forecasts import Past
from aihub.store import observations as rows_of
from aihub.store.engine import read

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

DAYS = 120
"""How far back from the newest actuals are read: more than any forecast's features and the recent errors of its
intervals need."""
AHEAD_US = 3_600_000_000
"""How far a caller's clock may go ahead; what is said to have happened later than that is no history."""


class RecentActuals:
    """Reads the actuals of a model that speak of a series and a time, also those that were sent by prediction id.

    One that came by id before its prediction was in the log waits under its id and is no history.

    Parameters
    ----------
    engine
        The monitoring database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[tuple[str, str], tuple[Any, Past]] = {}

    def __call__(self, tenant: str, model: str) -> tuple[Any, Past] | None:
        """Return the actuals and their revision; None where there are none. Reads rows only where something is new.

        Raises
        ------
        UnavailableError
            The database does not answer.
        """
        until = time.time_ns() // 1000 + AHEAD_US
        with read(self._engine, tenant=tenant) as connection:
            newest = rows_of.newest_actual_day(connection, tenant=tenant, model=model, until=until // DAY_US)
            if newest is None:
                return None
            first = newest - DAYS
            revision = rows_of.actuals_revision(connection, tenant=tenant, model=model, day=first)
            if revision is None:
                return None
            known = self._known.get((tenant, model))
            if known is not None and known[0] == revision:
                return known
            chunks = rows_of.actuals_since(connection, tenant=tenant, model=model, day=first)
            names = {row.code: row.name for row in rows_of.series(connection, tenant=tenant, model=model)}
        found = revision, _past(chunks, names, until)
        self._known[tenant, model] = found
        return found


def _past(chunks: list[Any], names: dict[int, str], until: int) -> Past:
    by_day: dict[int, list[ActualRows]] = {}
    for chunk in chunks:
        by_day.setdefault(chunk.day, []).append(ActualRows.from_bytes(chunk.body, chunk.row_count))
    codes, times, values = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0)]
    for day, parts in sorted(by_day.items()):
        rows = ActualRows.merged(parts)
        is_timed = ((rows.key & BY_ID) == 0) & (day * DAY_US + offsets_of(rows.key) <= until)
        codes.append(codes_of(rows.key[is_timed]))
        times.append(day * DAY_US + offsets_of(rows.key[is_timed]))
        values.append(rows.value[is_timed])
    code, stamp, value = np.concatenate(codes), np.concatenate(times), np.concatenate(values)
    series = [int(one) for one in np.unique(code)]
    return Past(
        {names.get(one, ""): stamp[code == one] for one in series},
        {names.get(one, ""): value[code == one] for one in series},
    )
