"""Requests for approval and the decisions on them, as rows. Functions never commit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from aihub.store.job_tables import approvals, decisions, jobs
from aihub.store.tables import models, reports, versions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection

PENDING = "pending"


def select(
    connection: Connection,
    *where: sa.ColumnElement[bool],
    tenant: str,
    limit: int | None = None,
    lock: bool = False,
) -> list[dict[str, Any]]:
    """Return requests of a tenant with what they are about, newest first; `lock` keeps others from deciding meanwhile."""
    query = (
        sa.select(
            approvals,
            models.c.name.label("model"),
            versions.c.uid.label("version_uid"),
            versions.c.number,
            versions.c.major,
            versions.c.minor,
            versions.c.patch,
            versions.c.created_by,
            jobs.c.uid.label("job"),
            jobs.c.submitted_by,
        )
        .join(models, models.c.id == approvals.c.model_id)
        .join(versions, versions.c.id == approvals.c.version_id)
        .outerjoin(jobs, jobs.c.id == approvals.c.job_id)
        .where(approvals.c.tenant_id == tenant, *where)
        .order_by(approvals.c.id.desc())
        .limit(limit)
    )
    if lock:
        # SQLite has one writer at a time and ignores FOR UPDATE.
        query = query.with_for_update(of=approvals)
    return [dict(row) for row in connection.execute(query).mappings()]


def decisions_on(connection: Connection, *, approval_ids: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
    """Decisions on several requests, oldest first, by request."""
    query = sa.select(decisions).where(decisions.c.approval_id.in_(approval_ids)).order_by(decisions.c.id)
    found: dict[int, list[dict[str, Any]]] = {one: [] for one in approval_ids}
    for row in connection.execute(query).mappings():
        found[row["approval_id"]].append(dict(row))
    return found


def insert(connection: Connection, *, version_uid: str, row: Mapping[str, Any]) -> None:
    """Insert a request about the version `version_uid`."""
    ids = connection.execute(
        sa.select(versions.c.id, versions.c.model_id).where(versions.c.uid == version_uid)
    ).one()
    connection.execute(sa.insert(approvals).values(**row, version_id=ids.id, model_id=ids.model_id))


def insert_decision(connection: Connection, row: Mapping[str, Any]) -> None:
    """Insert what somebody decided."""
    connection.execute(sa.insert(decisions).values(**row))


def end(connection: Connection, *, approval_id: int, state: str, now: datetime) -> None:
    """Close a pending request."""
    connection.execute(
        sa.update(approvals)
        .where(approvals.c.id == approval_id, approvals.c.state == PENDING)
        .values(state=state, decided_at=now)
    )


def attach_job(connection: Connection, *, approval_id: int, job_id: int) -> None:
    """Let a job wait for a request that somebody made before it."""
    connection.execute(sa.update(approvals).where(approvals.c.id == approval_id).values(job_id=job_id))


def wake_job(connection: Connection, *, job_id: int) -> bool:
    """Put a job that waits back into its queue, at the step that deploys; says whether it waited."""
    done = connection.execute(
        sa.update(jobs)
        .where(jobs.c.id == job_id, jobs.c.state == "waiting")
        .values(state="queued", run_after=jobs.c.created_at, step="deploy")
    )
    return done.rowcount == 1


def gate_of(connection: Connection, *, version_uid: str) -> tuple[bool | None, str, dict[str, Any] | None]:
    """Return what the report of a version says (None: there is none), its status, and the spec that it was made from."""
    query = (
        sa.select(reports.c.passed, versions.c.status, versions.c.spec)
        .select_from(versions)
        .outerjoin(reports, reports.c.id == versions.c.report_id)
        .where(versions.c.uid == version_uid)
    )
    row = connection.execute(query).one()
    return row.passed, row.status, row.spec
