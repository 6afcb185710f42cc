"""Reading the audit log: by page and filter, and whole. Functions never commit.

Sequences have no gap and times never go back within a tenant, so that a period is a range of sequences, found with some
twenty look-ups however long the log is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from aihub.store.access_tables import audit
from aihub.store.columns import UtcDateTime
from aihub.store.engine import let_writers_in
from aihub.types import iso

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sqlalchemy.engine import Connection

SHOWN = [column for column in audit.c if column.name != "id"]
_CHUNK = 2000
# A binary search in one statement. An event that is missing, which `verify` complains about, does not stop it.
_HIT = (
    "EXISTS (SELECT 1 FROM audit WHERE tenant_id = :tenant AND sequence = (low + high) / 2 AND at >= :moment)"
)
_FIRST_SINCE = sa.text(
    f"""
    WITH RECURSIVE search(low, high) AS (
        SELECT CAST(1 AS BIGINT), CAST(COALESCE(MAX(sequence), 0) + 1 AS BIGINT) FROM audit WHERE tenant_id = :tenant
        UNION ALL
        SELECT CASE WHEN {_HIT} THEN low ELSE (low + high) / 2 + 1 END,
               CASE WHEN {_HIT} THEN (low + high) / 2 ELSE high END
        FROM search WHERE low < high
    )
    SELECT low FROM search WHERE low >= high
    """  # noqa: S608 - our own text
).bindparams(sa.bindparam("moment", type_=UtcDateTime()))


def find_events(
    connection: Connection,
    *,
    tenant: str,
    actor: str | None = None,
    action: str | None = None,
    subject: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[dict[str, Any]]:
    """Events of a tenant that fit, newest first.

    Parameters
    ----------
    start, end
        Period, from `start` on and before `end`.
    before
        Sequence that the page comes behind: that of the last event of the page before.
    """
    query = sa.select(*SHOWN).where(audit.c.tenant_id == tenant)
    for column, wanted in ((audit.c.actor, actor), (audit.c.action, action), (audit.c.subject, subject)):
        if wanted is not None:
            query = query.where(column == wanted)
    if start is not None:
        query = query.where(audit.c.sequence >= first_since(connection, tenant=tenant, moment=start))
    if end is not None:
        query = query.where(audit.c.sequence < first_since(connection, tenant=tenant, moment=end))
    if before is not None:
        query = query.where(audit.c.sequence < before)
    rows = connection.execute(query.order_by(audit.c.sequence.desc()).limit(limit)).mappings()
    return [dict(row) for row in rows]


def first_since(connection: Connection, *, tenant: str, moment: datetime) -> int:
    """Sequence of the first event at or after `moment`; where there is none, the one that the next event will have."""
    found: int = connection.execute(_FIRST_SINCE, {"tenant": tenant, "moment": moment}).scalar_one()
    return found


def every_event(connection: Connection, *, tenant: str) -> Iterator[dict[str, Any]]:
    """Events of a tenant as JSON, oldest first, with the hashes that chain them."""
    after = 0
    while True:
        query = sa.select(*SHOWN).where(audit.c.tenant_id == tenant, audit.c.sequence > after)
        rows = connection.execute(query.order_by(audit.c.sequence).limit(_CHUNK)).mappings().all()
        yield from ({**row, "at": iso(row["at"])} for row in rows)
        if len(rows) < _CHUNK:
            return
        after = rows[-1]["sequence"]
        let_writers_in(connection)


def tenants_with_events(connection: Connection) -> list[str]:
    """Tenants that have a chain, by name: also those whose row is gone."""
    # One look-up a tenant: DISTINCT would read the whole index.
    found: list[str] = []
    while True:
        query = sa.select(sa.func.min(audit.c.tenant_id))
        name = connection.scalar(query.where(audit.c.tenant_id > found[-1]) if found else query)
        if name is None:
            return found
        found.append(name)
