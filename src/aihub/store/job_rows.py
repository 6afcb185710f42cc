"""Jobs as rows, for those who submit and those who run them. Functions never commit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from aihub.store.job_tables import jobs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection

CHANNEL = "aihub_jobs"
"""PostgreSQL channel on which workers are woken; the payload is the queue."""


def announce(connection: Connection, queue: str) -> None:
    """Wake the workers of a queue when the transaction commits; on SQLite they look by themselves."""
    if connection.dialect.name == "postgresql":
        connection.execute(
            sa.text("SELECT pg_notify(:channel, :queue)"), {"channel": CHANNEL, "queue": queue}
        )


def count_queued(connection: Connection, *, tenant: str, queue: str, at_most: int) -> int:
    """Queued jobs of a tenant in a queue; stops counting at `at_most`."""
    # The state is written out: a parameter would keep the partial index from being used.
    query = sa.text(
        "SELECT count(*) FROM (SELECT 1 FROM jobs WHERE state = 'queued' AND queue = :queue AND tenant_id = :tenant"
        " LIMIT :most) AS queued"
    )
    found: int = connection.execute(query, {"tenant": tenant, "queue": queue, "most": at_most}).scalar_one()
    return found


def has_submitted(connection: Connection, tenant: str, count: int, *, since: datetime) -> bool:
    """Whether a tenant has submitted so many jobs since then."""
    query = (
        sa.select(jobs.c.created_at)
        .where(jobs.c.tenant_id == tenant)
        .order_by(jobs.c.id.desc())
        .offset(count - 1)
        .limit(1)
    )
    oldest = connection.scalar(query)
    return oldest is not None and oldest > since


def select_by_uid(
    connection: Connection, *, tenant: str, uid: str, lock: bool = False
) -> Sequence[Mapping[Any, Any]]:
    """Return the job as a list of one or none; with `lock` nobody else changes it until the transaction ends."""
    query = sa.select(jobs).where(jobs.c.uid == uid, jobs.c.tenant_id == tenant)
    if lock:
        query = query.with_for_update()
    return connection.execute(query).mappings().all()
