"""What a run has behind it: its steps and its log. A step is recorded in the transaction of its effect.

Whoever takes a job over reads the outputs of the steps that are done and goes on behind them, so that no effect happens
twice. Functions take an open transaction in which the lease is held, and never commit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from aihub.store.columns import UtcDateTime
from aihub.store.job_tables import job_logs, job_steps, jobs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from aihub.delivery.lease import Lease

MAX_MESSAGE = 4000
MAX_NOTE = 1000


def outputs(connection: Connection, lease: Lease) -> dict[str, dict[str, Any]]:
    """Return what the steps that are done have left, by name."""
    query = sa.select(job_steps.c.name, job_steps.c.output).where(
        job_steps.c.job_id == lease.job_id, job_steps.c.state.in_(("done", "skipped"))
    )
    return {row.name: dict(row.output or {}) for row in connection.execute(query)}


def begin(connection: Connection, lease: Lease, name: str, *, now: datetime) -> None:
    """Note that a step begins, anew where an earlier run did not end it."""
    position = sa.select(sa.func.count()).where(job_steps.c.job_id == lease.job_id, job_steps.c.name != name)
    found = connection.execute(
        sa.update(job_steps)
        .where(job_steps.c.job_id == lease.job_id, job_steps.c.name == name)
        .values(state="running", started_at=now, finished_at=None, note="", output=None)
    )
    if not found.rowcount:
        row = {"job_id": lease.job_id, "tenant_id": lease.tenant, "name": name, "state": "running"}
        connection.execute(
            sa.insert(job_steps).values(**row, started_at=now, position=position.scalar_subquery())
        )
    advance(connection, lease, name, 0.0)


def finish(
    connection: Connection,
    lease: Lease,
    name: str,
    *,
    now: datetime,
    note: str = "",
    output: Mapping[str, Any] | None = None,
    state: str = "done",
) -> None:
    """Note that a step, begun before or not, is over. It is progress: the claims of the job are counted anew."""
    values = {"state": state, "finished_at": now, "note": note[:MAX_NOTE], "output": dict(output or {})}
    mine = (job_steps.c.job_id == lease.job_id) & (job_steps.c.name == name)
    if not connection.execute(sa.update(job_steps).where(mine).values(**values)).rowcount:
        begin(connection, lease, name, now=now)
        connection.execute(sa.update(job_steps).where(mine).values(**values))
    if state != "failed":
        connection.execute(sa.update(jobs).where(jobs.c.id == lease.job_id).values(attempts=1, progress=1.0))


def fail_open(connection: Connection, lease: Lease, *, now: datetime, note: str) -> None:
    """Note that the step under way, if there is one, came to nothing."""
    connection.execute(
        sa.update(job_steps)
        .where(job_steps.c.job_id == lease.job_id, job_steps.c.state == "running")
        .values(state="failed", finished_at=now, note=note[:MAX_NOTE])
    )


def record_all(connection: Connection, leases: Collection[Lease], *, now: datetime) -> None:
    """Note the only step of many quick jobs, called as their kind, in one statement."""
    if leases:
        at = sa.literal(now, UtcDateTime)
        made = sa.select(jobs.c.id, jobs.c.kind, jobs.c.tenant_id, sa.literal(0), sa.literal("done"), at, at)
        names = ["job_id", "name", "tenant_id", "position", "state", "started_at", "finished_at"]
        made = made.where(jobs.c.id.in_([lease.job_id for lease in leases]))
        connection.execute(sa.insert(job_steps).from_select(names, made))


def advance(connection: Connection, lease: Lease, name: str, progress: float) -> None:
    """Say at which step a job is, and which share (0 to 1) of it is done."""
    connection.execute(
        sa.update(jobs)
        .where(jobs.c.id == lease.job_id)
        .values(step=name, progress=min(max(progress, 0.0), 1.0))
    )


def write_log(connection: Connection, lease: Lease, lines: Iterable[tuple[datetime, str, str, str]]) -> None:
    """Append lines (time, level, step, message) to the job's log."""
    rows = [
        {
            "tenant_id": lease.tenant,
            "job_id": lease.job_id,
            "at": at,
            "level": level,
            "step": step,
            # PostgreSQL stores no NUL.
            "message": message.replace("\0", "")[:MAX_MESSAGE],
        }
        for at, level, step, message in lines
    ]
    if rows:
        connection.execute(sa.insert(job_logs), rows)
