"""Actuals in: what is new is joined and added, what is known changes nothing, what is corrected is computed anew.

Idempotent: sending rows twice changes nothing and counts them as duplicates. An actual that comes before its prediction
waits for it; one that comes late is joined with the predictions of its time; neither is lost.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.monitoring.chunks import (
    DAY_US,
    ActualRows,
    PredictionRows,
    id_keys,
    series_keys,
)
from aihub.monitoring.folding import (
    SEASON_DAYS,
    add_naive,
    add_observed,
    fold_pending,
    has_actual_by_id,
    refold,
)
from aihub.monitoring.predictions import created_us
from aihub.monitoring.quality import look
from aihub.store import observations as rows_of

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

    from aihub.monitoring.context import Contexts
    from aihub.monitoring.faults import Fault
    from aihub.monitoring.log import ModelLog
    from aihub.monitoring.parsing import ActualTable, Rejected
    from aihub.types import FloatArray

LATE_US = DAY_US
"""An actual is late when it comes more than a day after its time."""


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What became of an upload.

    Attributes
    ----------
    accepted
        New actuals.
    duplicate
        The same value for the same series and time, or prediction, again: nothing changed.
    corrected
        Another value than before: it counts from now on.
    matched
        New or corrected actuals that answered at least one prediction.
    early
        New actuals without a prediction yet; they wait.
    adjusted
        Rows whose time lay a little beside the model's grid and was put on it.
    late
        Actuals that came more than a day after their time.
    rejected, reasons
        Rows that could not be used, and the first thousand of them.
    faults
        Faults of the stream that the actuals show (`aihub.monitoring.quality`).
    """

    accepted: int = 0
    duplicate: int = 0
    corrected: int = 0
    matched: int = 0
    early: int = 0
    adjusted: int = 0
    late: int = 0
    rejected: int = 0
    reasons: tuple[Rejected, ...] = ()
    faults: tuple[Fault, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Rows by what became of them."""
        names = ("accepted", "duplicate", "corrected", "matched", "early", "adjusted", "late", "rejected")
        return {name: getattr(self, name) for name in names}

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            **self.counts,
            "reasons": [{"row": r.row, "reason": r.reason} for r in self.reasons],
            "faults": [fault.to_dict() for fault in self.faults],
        }


@dataclass
class _Day:
    """Actuals of one day on their way in."""

    keys: list[NDArray[np.uint64]] = field(default_factory=list)
    values: list[FloatArray] = field(default_factory=list)
    order: list[NDArray[np.int64]] = field(default_factory=list)

    def add(self, keys: NDArray[np.uint64], values: FloatArray, order: NDArray[np.int64]) -> None:
        self.keys.append(keys)
        self.values.append(values)
        self.order.append(order)

    def sorted(self) -> tuple[NDArray[np.uint64], FloatArray]:
        """Keys and values as they were sent."""
        order = np.argsort(np.concatenate(self.order), kind="stable")
        return np.concatenate(self.keys)[order], np.concatenate(self.values)[order]


def take(log: ModelLog, table: ActualTable, contexts: Contexts, now: datetime) -> Receipt:
    """Take actuals into the log and the windows of one model; writes in the caller's transaction."""
    fold_pending(log, contexts)
    days: dict[int, _Day] = {}
    dirty: set[int] = set()
    adjusted = _sort_by_time(log, table, contexts, days)
    _sort_by_id(log, table, days, dirty)
    now_us = round(now.timestamp() * 1e6)
    receipt = Receipt(adjusted=adjusted, rejected=table.rejected_rows, reasons=tuple(table.rejected))
    faults: list[Fault] = []
    for day in sorted(days):
        receipt, new = _take_day(
            log, day, *days[day].sorted(), receipt=receipt, dirty=dirty, contexts=contexts
        )
        faults += look(log, day, new, now_us)
    refold(log, dirty, contexts)
    known = table.target_us[table.has_time]
    receipt = replace(receipt, late=int(np.count_nonzero(known < now_us - LATE_US)), faults=_once(faults))
    rows_of.save_states(log.connection, tenant=log.tenant, model=log.model, states=log.changed_states())
    rows_of.count(
        log.connection, tenant=log.tenant, model=log.model, day=now_us // DAY_US, counts=receipt.counts
    )
    return receipt


def _once(faults: list[Fault]) -> tuple[Fault, ...]:
    """Return each fault once, as it was seen last: an upload of weeks shows it day by day."""
    return tuple({(one.series, one.kind, one.since_us): one for one in faults}.values())


def _sort_by_time(log: ModelLog, table: ActualTable, contexts: Contexts, days: dict[int, _Day]) -> int:
    """Sort the rows with a time into their days; return how many were put on the grid.

    A row with an id and a time goes by its time.
    """
    use, adjusted = table.has_time, 0
    if not use.any():
        return adjusted
    context = contexts.latest(log.tenant, log.model)
    at = np.flatnonzero(use)
    names = table.series
    if names is not None and at.size < len(table):
        names = [names[i] for i in at.tolist()]
    codes = log.codes_for(names, at.size, context)
    target = table.target_us[at]
    if context.times is not None:
        target, moved = context.times.settled(target)
        adjusted = int(np.count_nonzero(moved))
    keys = series_keys(codes, target)
    for day, index in _by_day(target // DAY_US):
        days.setdefault(day, _Day()).add(keys[index], table.value[at[index]], at[index])
    return adjusted


def _sort_by_id(log: ModelLog, table: ActualTable, days: dict[int, _Day], dirty: set[int]) -> None:
    """Sort the rows that have an id only: to the time that their prediction is about, else to wait for it."""
    at = np.flatnonzero(~table.has_time)
    if not at.size:
        return
    ids = table.ids[at]
    found = np.zeros(at.size, bool)
    sort = np.argsort(ids, kind="stable")
    chunks = rows_of.chunks_with_ids(
        log.connection, tenant=log.tenant, model=log.model, low=int(ids[sort[0]]), high=int(ids[sort[-1]])
    )
    for chunk in chunks:
        rows = PredictionRows.from_bytes(chunk.body, chunk.row_count)
        order = np.argsort(rows.ids)
        place = np.minimum(np.searchsorted(rows.ids, ids, sorter=order), len(rows) - 1)
        hit = (rows.ids[order[place]] == ids) & ~found
        if not hit.any():
            continue
        found |= hit
        keys = rows.key[order[place[hit]]]
        if has_actual_by_id(log, ids[hit]):
            dirty.add(chunk.day)
        days.setdefault(chunk.day, _Day()).add(keys, table.value[at[hit]], at[hit])
    rest = np.flatnonzero(~found)
    for day, index in _by_day(created_us(ids[rest]) // DAY_US):
        chosen = rest[index]
        days.setdefault(day, _Day()).add(id_keys(ids[chosen]), table.value[at[chosen]], at[chosen])


def _by_day(days: NDArray[np.int64]) -> list[tuple[int, NDArray[np.intp]]]:
    """Rows of each day, in their order."""
    if not days.size:
        return []
    order = np.argsort(days, kind="stable")
    cuts = np.flatnonzero(np.diff(days[order])) + 1
    return [(int(days[part[0]]), part) for part in np.split(order, cuts)]


def _take_day(
    log: ModelLog,
    day: int,
    keys: NDArray[np.uint64],
    values: FloatArray,
    *,
    receipt: Receipt,
    dirty: set[int],
    contexts: Contexts,
) -> tuple[Receipt, ActualRows]:
    """Write the actuals of a day and add them to the windows; return the new ones too."""
    rows = ActualRows.latest(keys, values)
    within = len(keys) - len(rows)
    known, before = log.actuals(day).find(rows.key)
    same = known & (before == rows.value)
    changed = known & ~same
    new = ActualRows(rows.key[~known], rows.value[~known])
    # Repeated in one upload: a row that a later one overrules is a correction where they differ.
    overruled = _overruled(keys, values) if within else 0
    if len(new) or changed.any():
        log.add_actuals(day, ActualRows(rows.key[~same], rows.value[~same]))
    matched = early = 0
    if len(new):
        met, is_dirty = add_observed(log, day, new.key, new.value, contexts)
        matched, early = int(met.sum()), int((~met).sum())
        if is_dirty:
            dirty.add(day)
        add_naive(log, day, new.key, new.value)
    if changed.any():
        dirty |= {day, day + SEASON_DAYS}
        answered = np.concatenate(
            [rows.key for parts in log.predictions(day).values() for rows in parts] or [keys[:0]]
        )
        matched += int(np.isin(rows.key[changed], answered).sum())
    return replace(
        receipt,
        accepted=receipt.accepted + len(new),
        duplicate=receipt.duplicate + int(same.sum()) + within - overruled,
        corrected=receipt.corrected + int(changed.sum()) + overruled,
        matched=receipt.matched + matched,
        early=receipt.early + early,
    ), new


def _overruled(keys: NDArray[np.uint64], values: FloatArray) -> int:
    order = np.argsort(keys, kind="stable")
    key, value = keys[order], values[order]
    return int(np.count_nonzero((key[1:] == key[:-1]) & (value[1:] != value[:-1])))
