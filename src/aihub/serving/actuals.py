"""Actuals that came after a training, as the history of the forecasts that serve."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from aihub.monitoring.chunks import BY_ID, DAY_US, ActualRows, codes_of, offsets_of
from aihub.serving.forecasts import Past
from aihub.store import observations as rows_of
from aihub.store.engine import EVERY_TENANT, read

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.engine import Engine

    Model: TypeAlias = tuple[str, str]

DAYS = 120
"""How far back from the newest actuals are read: more than any forecast's features and the recent errors of its
intervals need."""
SWEEP_S = 60.0
"""How often models are asked one by one: what was ahead of the clock has happened meanwhile."""
AHEAD_US = 3_600_000_000
"""How far a caller's clock may go ahead; what is said to have happened later than that is no history."""


class RecentActuals:
    """Reads the actuals of models that speak of a series and a time, also those that were sent by prediction id.

    One that came by id before its prediction was in the log waits under its id and is no history. One query says of all
    models together which have new actuals; the rest is asked only of those.

    Parameters
    ----------
    engine
        The monitoring database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[Model, tuple[Any, Past] | None] = {}
        self._taken: dict[Model, int] = {}
        self._swept_at = time.monotonic()

    def __call__(self, models: Collection[Model]) -> dict[Model, tuple[Any, Past]]:
        """Return the actuals and their revision of each of `models` that has any. Reads rows only where something is new.

        Raises
        ------
        UnavailableError
            The database does not answer.
        """
        asked = sorted(models)
        now = time.monotonic()
        with read(self._engine, tenant=EVERY_TENANT) as connection:
            taken = rows_of.actuals_taken(connection, asked, day=time.time_ns() // 1000 // DAY_US)
        is_sweep = now - self._swept_at >= SWEEP_S
        for model in asked:
            if is_sweep or model not in self._known or taken.get(model) != self._taken.get(model):
                self._known[model] = self._read(*model, self._known.get(model))
        self._taken = taken
        self._swept_at = now if is_sweep else self._swept_at
        return {model: found for model in asked if (found := self._known[model]) is not None}

    def _read(self, tenant: str, model: str, known: tuple[Any, Past] | None) -> tuple[Any, Past] | None:
        until = time.time_ns() // 1000 + AHEAD_US
        with read(self._engine, tenant=tenant) as connection:
            newest = rows_of.newest_actual_day(connection, tenant=tenant, model=model, until=until // DAY_US)
            if newest is None:
                return None
            first = newest - DAYS
            revision = rows_of.actuals_revision(connection, tenant=tenant, model=model, day=first)
            if revision is None or (known is not None and known[0] == revision):
                return known
            chunks = rows_of.actuals_since(connection, tenant=tenant, model=model, day=first)
            some = rows_of.series(connection, tenant=tenant, model=model)
            names = {row.code: row.name for row in some}
        return revision, _past(chunks, names, until)


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
