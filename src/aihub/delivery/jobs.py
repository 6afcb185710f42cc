"""Ask for work, look at it, stop it, ask again. Functions take an open transaction and never commit.

Every change writes its audit event in the same transaction.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from aihub.delivery import approvals
from aihub.delivery.job_records import Extent, Job, JobState, JobStep, LogLine, extent_of
from aihub.delivery.requests import DataSource, JobRequest, Priority
from aihub.delivery.standing import tenant_rules
from aihub.errors import ConflictError, InputError, NotFoundError, TooManyError
from aihub.store import job_rows
from aihub.store.job_tables import job_logs, job_steps, jobs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from aihub.delivery.approval_records import Approval
    from aihub.store.audit import AuditLog
    from aihub.types import Identity

__all__ = [
    "DataSource",
    "Extent",
    "Job",
    "JobRequest",
    "JobState",
    "JobStep",
    "LogLine",
    "Priority",
    "Work",
    "cancel",
    "enqueue",
    "extent_of",
    "extents",
    "get",
    "list_page",
    "logs",
    "place",
    "retry",
    "steps",
    "submit",
]

TRAIN = "train"
"""Kind of the jobs that `submit` makes."""
MAX_KEY = 200


def submit(
    connection: Connection,
    request: JobRequest,
    *,
    identity: Identity,
    now: datetime,
    audit: AuditLog,
    key: str | None = None,
) -> Job:
    """Write a job and its audit event, and wake a worker. Idempotent by `key` per principal.

    Raises
    ------
    ConflictError
        `key` has made another job.
    TooManyError
        The tenant has as many queued jobs as it may.
    """
    work = Work(
        kind=TRAIN, payload=request.to_dict(), model=request.model, queue=request.queue, priority=request.rank
    )
    return place(connection, work, identity=identity, now=now, audit=audit, key=key)


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a job is to do, and which workers may take it."""

    kind: str
    payload: Mapping[str, Any]
    model: str
    queue: str
    priority: Priority


def place(
    connection: Connection,
    work: Work,
    *,
    identity: Identity,
    now: datetime,
    audit: AuditLog,
    key: str | None = None,
) -> Job:
    """Write a job of any kind: what `submit` does, and may raise."""
    uid = uid_of(identity, key)
    known = _find(connection, identity.tenant, uid)
    if known is not None:
        return _same(known, work.payload, key)
    audit.append(
        connection,
        tenant=identity.tenant,
        actor=identity.principal,
        action="job.submitted",
        subject=f"job:{uid}",
        now=now,
        after={
            "model": work.model,
            "kind": work.kind,
            "priority": work.priority.name.lower(),
            "queue": work.queue,
        },
        source=identity.source,
    )
    # The chain of audit events lets one submission of a tenant in at a time: what is looked at below stays so.
    known = _find(connection, identity.tenant, uid)
    if known is not None:
        raise ConflictError(f"key {key!r} is being used by another request; repeat it")
    check_quota(connection, tenant=identity.tenant, queue=work.queue, now=now)
    return enqueue(
        connection,
        tenant=identity.tenant,
        kind=work.kind,
        payload=work.payload,
        uid=uid,
        model=work.model,
        queue=work.queue,
        priority=work.priority,
        submitted_by=identity.principal,
        source=identity.source,
        now=now,
    )


def enqueue(
    connection: Connection,
    *,
    tenant: str,
    kind: str,
    payload: Mapping[str, Any],
    submitted_by: str,
    now: datetime,
    uid: str | None = None,
    model: str | None = None,
    queue: str = "default",
    priority: int = Priority.NORMAL,
    source: str = "",
    retry_of: str | None = None,
    run_after: datetime | None = None,
) -> Job:
    """Write a job and wake a worker; no audit event, no quota: for callers that have seen to both."""
    row = {
        "tenant_id": tenant,
        "uid": uid or new_uid(),
        "kind": kind,
        "queue": queue,
        "priority": int(priority),
        "state": JobState.QUEUED.value,
        "payload": dict(payload),
        "model": model,
        "submitted_by": submitted_by,
        "source": source,
        "created_at": now,
        "run_after": run_after or now,
        "retry_of": retry_of,
    }
    inserted = connection.execute(sa.insert(jobs).values(**row).returning(jobs)).mappings().one()
    job_rows.announce(connection, queue)
    return Job.from_row(inserted)


def new_uid() -> str:
    """Return a name for a new job."""
    return f"job_{uuid.uuid4().hex[:24]}"


def uid_of(identity: Identity, key: str | None) -> str:
    """Return the name of the job that `key` makes, or a fresh one: the same key is the same row.

    Raises
    ------
    InputError
        The key is empty or endless.
    """
    if key is None:
        return new_uid()
    if not 0 < len(key) <= MAX_KEY:
        raise InputError(f"an idempotency key has 1 to {MAX_KEY} characters")
    text = f"{identity.tenant}\0{identity.principal}\0{key}"
    return f"job_{hashlib.sha256(text.encode()).hexdigest()[:24]}"


def check_quota(connection: Connection, *, tenant: str, queue: str, now: datetime) -> None:
    """Refuse one more job than the tenant's rules allow in a queue and in a day.

    Raises
    ------
    TooManyError
        With the limit.
    """
    rules = tenant_rules(connection, tenant)
    limit = rules.max_queued_jobs
    queued = job_rows.count_queued(connection, tenant=tenant, queue=queue, at_most=limit)
    if queued >= limit:
        message = f"tenant {tenant!r} has {queued:,} queued jobs and may have {limit:,}; wait until some are done, or cancel some"
        raise TooManyError(message, retry_after_s=30)
    daily = rules.max_jobs_per_day
    if daily is not None and job_rows.has_submitted(connection, tenant, daily, since=now - timedelta(days=1)):
        message = (
            f"tenant {tenant!r} has submitted {daily:,} jobs within 24 hours and may not submit more; wait"
        )
        raise TooManyError(message, retry_after_s=600)


def get(connection: Connection, uid: str, *, tenant: str) -> Job:
    """Return a job.

    Raises
    ------
    NotFoundError
        The tenant has no such job.
    """
    found = _find(connection, tenant, uid)
    if found is None:
        raise NotFoundError("job", uid[:80])
    return found


def list_page(
    connection: Connection,
    *,
    tenant: str,
    state: str | None = None,
    model: str | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[Job]:
    """Jobs of a tenant, newest first; `before` is the `id` of the last one of the page before."""
    query = sa.select(jobs).where(jobs.c.tenant_id == tenant)
    if state is not None:
        query = query.where(jobs.c.state == state)
    if model is not None:
        query = query.where(jobs.c.model == model)
    if before is not None:
        query = query.where(jobs.c.id < before)
    rows = connection.execute(query.order_by(jobs.c.id.desc()).limit(limit)).mappings()
    return [Job.from_row(row) for row in rows]


def steps(connection: Connection, job: Job) -> list[JobStep]:
    """Return the steps that a job has begun, in their order."""
    columns = [job_steps.c[name] for name in JobStep.__dataclass_fields__]
    query = sa.select(*columns).where(job_steps.c.job_id == job.id).order_by(job_steps.c.position)
    return [JobStep(**row) for row in connection.execute(query).mappings()]


def extents(connection: Connection, found: Sequence[Job]) -> list[Extent]:
    """Return how far each of some jobs is, in one look."""
    begun: dict[int, dict[str, str]] = {job.id: {} for job in found}
    query = (
        sa.select(job_steps.c.job_id, job_steps.c.name, job_steps.c.state)
        .where(job_steps.c.job_id.in_(list(begun)))
        .order_by(job_steps.c.position)
    )
    for row in connection.execute(query):
        begun[row.job_id][row.name] = row.state
    return [extent_of(job, begun[job.id]) for job in found]


def logs(connection: Connection, job: Job, *, after: int = 0, limit: int = 1000) -> list[LogLine]:
    """Lines of a job's log behind the one with the id `after`, oldest first."""
    columns = [job_logs.c[name] for name in LogLine.__dataclass_fields__]
    query = (
        sa.select(*columns)
        .where(job_logs.c.job_id == job.id, job_logs.c.id > after)
        .order_by(job_logs.c.id)
        .limit(limit)
    )
    return [LogLine(**row) for row in connection.execute(query).mappings()]


def cancel(
    connection: Connection,
    uid: str,
    *,
    identity: Identity,
    now: datetime,
    audit: AuditLog,
    reason: str = "",
) -> Job:
    """Stop a job: at once where no worker holds it, else within two seconds by its worker. Idempotent.

    A request for approval that it waits for is withdrawn with it.

    Raises
    ------
    NotFoundError
        The tenant has no such job.
    ConflictError
        The job has ended otherwise.
    """
    job, asked = _locked_with_requests(connection, identity.tenant, uid)
    if job.state is JobState.CANCELLED or job.cancel_requested_at is not None:
        return job
    if job.state.is_over:
        raise ConflictError(f"job {uid} is {job.state} already; there is nothing to cancel")
    values: dict[str, Any] = {"cancel_requested_at": now, "cancel_requested_by": identity.principal}
    approvals.withdraw_of_job(
        connection,
        asked,
        actor=identity.principal,
        reason=reason or "the job was cancelled",
        now=now,
        audit=audit,
    )
    if job.state is not JobState.RUNNING:
        values |= {"state": JobState.CANCELLED.value, "finished_at": now}
    connection.execute(sa.update(jobs).where(jobs.c.id == job.id).values(**values))
    job_rows.announce(connection, job.queue)
    _write_down(connection, audit, identity, "job.cancelled", job, now=now, reason=reason)
    return get(connection, uid, tenant=identity.tenant)


def retry(
    connection: Connection,
    uid: str,
    *,
    identity: Identity,
    now: datetime,
    audit: AuditLog,
    key: str | None = None,
) -> Job:
    """Ask again for the work of a job that has ended: a new job with the same request. Idempotent by `key`.

    Raises
    ------
    NotFoundError
        The tenant has no such job.
    ConflictError
        The job has not ended, or `key` has made another job.
    TooManyError
        The tenant has as many queued jobs as it may.
    """
    job = _locked(connection, identity.tenant, uid)
    if not job.state.is_over:
        raise ConflictError(f"job {uid} is {job.state}; cancel it first, or wait for its end")
    fresh = uid_of(identity, key)
    known = _find(connection, identity.tenant, fresh)
    if known is not None:
        return _same(known, job.payload, key)
    _write_down(connection, audit, identity, "job.retried", job, now=now, reason=f"as {fresh}")
    check_quota(connection, tenant=identity.tenant, queue=job.queue, now=now)
    return enqueue(
        connection,
        tenant=job.tenant,
        kind=job.kind,
        payload=job.payload,
        uid=fresh,
        model=job.model,
        queue=job.queue,
        priority=job.priority,
        submitted_by=identity.principal,
        source=identity.source,
        retry_of=job.uid,
        now=now,
    )


def _find(connection: Connection, tenant: str, uid: str) -> Job | None:
    rows: Sequence[Any] = job_rows.select_by_uid(connection, tenant=tenant, uid=uid)
    return Job.from_row(rows[0]) if rows else None


def _locked(connection: Connection, tenant: str, uid: str) -> Job:
    rows: Sequence[Any] = job_rows.select_by_uid(connection, tenant=tenant, uid=uid, lock=True)
    if not rows:
        raise NotFoundError("job", uid[:80])
    return Job.from_row(rows[0])


def _locked_with_requests(connection: Connection, tenant: str, uid: str) -> tuple[Job, list[Approval]]:
    """Lock what the job asks for, then the job: decisions do so too, and the audit log comes last everywhere."""
    number = get(connection, uid, tenant=tenant).id
    with connection.begin_nested() as attempt:
        asked = approvals.lock_of_job(connection, number, tenant=tenant)
        job = _locked(connection, tenant, uid)
        if asked or job.state is not JobState.WAITING:
            return job, asked
        # It has asked between the two: give its lock back, and take both in their order.
        attempt.rollback()
    asked = approvals.lock_of_job(connection, number, tenant=tenant)
    return _locked(connection, tenant, uid), asked


def _same(known: Job, payload: Mapping[str, Any], key: str | None) -> Job:
    if dict(known.payload) != dict(payload):
        raise ConflictError(f"key {key!r} has made job {known.uid} of another request; use a new key")
    return known


def _write_down(
    connection: Connection,
    audit: AuditLog,
    identity: Identity,
    action: str,
    job: Job,
    *,
    now: datetime,
    reason: str,
) -> None:
    audit.append(
        connection,
        tenant=identity.tenant,
        actor=identity.principal,
        action=action,
        subject=f"job:{job.uid}",
        now=now,
        before={"state": job.state.value, "step": job.step},
        reason=reason,
        source=identity.source,
    )
