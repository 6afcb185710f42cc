"""Who runs a job, and for how long that is believed.

A worker holds a job by a lease that it prolongs. Its token grows with every claim, and every write of a run first
checks it under a lock of the row, in the transaction of the write: a worker that was paused and declared dead can change
nothing any more. Functions take an open transaction and never commit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from aihub.delivery.job_records import JobState
from aihub.errors import ConflictError, StoppedError
from aihub.store import clock, job_rows
from aihub.store.job_tables import job_logs, jobs

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from sqlalchemy.engine import Connection

LEASE_S = 15.0
"""Seconds after which a job whose worker has not been heard of is taken over."""
FARTHEST_S = 4 * LEASE_S
"""No lease ends later than in so many seconds, unless the clock was put back since."""
MAX_ATTEMPTS = 4
"""Claims without progress after which a job is held to be what kills its workers."""


class LeaseLostError(ConflictError):
    """Another worker has the job now, or will have it: nothing of this run may be written any more."""

    code = "lease_lost"


class CancelledError(StoppedError):
    """Somebody asked the job to stop."""

    code = "cancelled"


@dataclass(frozen=True, kw_only=True, eq=False)
class Lease:
    """A job in the hands of a worker, as it was when it was claimed."""

    job_id: int
    token: int
    uid: str
    tenant: str
    kind: str
    queue: str
    worker: str
    payload: Mapping[str, Any]
    model: str | None
    submitted_by: str
    source: str
    created_at: datetime
    attempts: int

    @classmethod
    def from_row(cls, row: Mapping[Any, Any]) -> Lease:
        """Read a row that has just been claimed."""
        same = ("uid", "kind", "queue", "worker", "payload", "model", "submitted_by", "source", "created_at")
        return cls(
            job_id=row["id"],
            token=row["lease_token"],
            tenant=row["tenant_id"],
            attempts=row["attempts"],
            **{name: row[name] for name in same},
        )


def hold(connection: Connection, lease: Lease) -> None:
    """Make sure that the lease still counts, and that it does until the transaction ends.

    Raises
    ------
    LeaseLostError
        Another has the job.
    CancelledError
        Somebody asked the job to stop.
    """
    query = (
        sa.select(jobs.c.state, jobs.c.lease_token, jobs.c.cancel_requested_at)
        .where(jobs.c.id == lease.job_id)
        .with_for_update()
    )
    row = connection.execute(query).one_or_none()
    if row is None or row.state != JobState.RUNNING.value or row.lease_token != lease.token:
        raise LeaseLostError(f"worker {lease.worker} has lost job {lease.uid}; another goes on with it")
    if row.cancel_requested_at is not None:
        raise CancelledError(f"job {lease.uid} was cancelled")


def renew(connection: Connection, leases: Collection[Lease], *, lease_s: float = LEASE_S) -> None:
    """Prolong leases by the database's clock; those that were lost stay lost."""
    if leases:
        connection.execute(
            sa.update(jobs).where(_held(leases)).values(lease_until=clock.ahead(connection, lease_s))
        )


@dataclass(frozen=True)
class Standing:
    """What has become of leases: those that were lost, and those whose jobs are to stop."""

    lost: frozenset[Lease]
    cancelled: frozenset[Lease]


def look(connection: Connection, leases: Collection[Lease]) -> Standing:
    """Return which of the leases are lost or asked to stop. Reads only."""
    query = sa.select(jobs.c.id, jobs.c.lease_token, jobs.c.cancel_requested_at).where(_held(leases))
    rows = connection.execute(query).all() if leases else []
    found = {(row.id, row.lease_token): row.cancel_requested_at for row in rows}
    return Standing(
        lost=frozenset(lease for lease in leases if (lease.job_id, lease.token) not in found),
        cancelled=frozenset(lease for lease in leases if found.get((lease.job_id, lease.token)) is not None),
    )


def _held(leases: Collection[Lease]) -> sa.ColumnElement[bool]:
    pairs = [(lease.job_id, lease.token) for lease in leases]
    return (jobs.c.state == JobState.RUNNING.value) & sa.tuple_(jobs.c.id, jobs.c.lease_token).in_(pairs)


def end(
    connection: Connection, lease: Lease, state: JobState, *, now: datetime | None = None, **values: Any
) -> None:
    """Give a held job up with a new state; `now` where that is its end. Call `hold` first."""
    connection.execute(
        sa.update(jobs)
        .where(jobs.c.id == lease.job_id)
        .values(state=state.value, lease_until=None, worker=None, finished_at=now, **values)
    )


def complete_all(connection: Connection, leases: Collection[Lease], *, now: datetime) -> list[Lease]:
    """Complete jobs that have nothing to say, in one statement; returns them, without those whose lease was lost."""
    if not leases:
        return []
    values = {"state": JobState.COMPLETED.value, "lease_until": None, "worker": None}
    statement = sa.update(jobs).where(_held(leases)).values(**values, finished_at=now, progress=1.0)
    done = set(connection.scalars(statement.returning(jobs.c.id)))
    return [lease for lease in leases if lease.job_id in done]


def release(connection: Connection, leases: Collection[Lease]) -> None:
    """Give jobs back for others to take at once; the claim is not counted, for the worker is well."""
    if not leases:
        return
    connection.execute(
        sa.update(jobs)
        .where(_held(leases))
        .values(
            state=JobState.QUEUED.value,
            lease_until=None,
            worker=None,
            attempts=sa.case((jobs.c.attempts > 0, jobs.c.attempts - 1), else_=0),
        )
    )
    for queue in {lease.queue for lease in leases}:
        job_rows.announce(connection, queue)


def has_expired(connection: Connection) -> bool:
    """Whether there are jobs of dead workers, or leases from before the clock was put back. Reads only."""
    until = jobs.c.lease_until
    query = sa.select(jobs.c.id).where(
        sa.text("state = 'running'"),
        (until < clock.now(connection)) | (until > clock.ahead(connection, FARTHEST_S)),
    )
    return connection.execute(query.limit(1)).first() is not None


def reap(connection: Connection, *, now: datetime, max_attempts: int = MAX_ATTEMPTS) -> list[str]:
    """Make the jobs of dead workers claimable; one that was claimed too often without progress fails.

    Where the clock was put back, leases are cut to their length: a worker that lives renews its own in time.

    Returns
    -------
    list
        The `uid` of each. Processes that reap at once share the work.
    """
    is_running = sa.text("state = 'running'")
    connection.execute(
        sa.update(jobs)
        .where(is_running, jobs.c.lease_until > clock.ahead(connection, FARTHEST_S))
        .values(lease_until=clock.ahead(connection, LEASE_S))
    )
    query = (
        sa.select(jobs)
        .where(is_running, jobs.c.lease_until < clock.now(connection))
        .with_for_update(skip_locked=True)
    )
    dead = list(connection.execute(query).mappings())
    for row in dead:
        _bury(connection, row, now=now, max_attempts=max_attempts)
    return [row["uid"] for row in dead]


def _bury(connection: Connection, row: Mapping[Any, Any], *, now: datetime, max_attempts: int) -> None:
    values: dict[str, Any] = {
        "state": JobState.QUEUED.value,
        "lease_until": None,
        "worker": None,
        # Who held it may wake up again: from now on its writes are refused.
        "lease_token": row["lease_token"] + 1,
    }
    message = f"worker {row['worker']} was not heard of any more"
    if row["cancel_requested_at"] is not None:
        values |= {"state": JobState.CANCELLED.value, "finished_at": now}
    elif row["attempts"] >= max_attempts:
        message += f", the {max_attempts}th in a row at step {row['step'] or 'data'!r}: the job is given up"
        error = {
            "code": "worker_died",
            "message": f"{message}; look for a lack of memory, then retry the job",
        }
        values |= {"state": JobState.FAILED.value, "finished_at": now, "error": error}
    else:
        message += "; another goes on"
    connection.execute(sa.update(jobs).where(jobs.c.id == row["id"]).values(**values))
    line = {
        "tenant_id": row["tenant_id"],
        "job_id": row["id"],
        "at": now,
        "level": "warning",
        "step": row["step"] or "",
        "message": message,
    }
    connection.execute(sa.insert(job_logs).values(**line))
    job_rows.announce(connection, row["queue"])
