"""Effects on other systems, written in the transaction of the change and carried out later. Functions never commit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from aihub.store.models import insert_unless_there
from aihub.store.tables import outbox

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.engine import Connection


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One effect that is due."""

    id: int
    topic: str
    key: str
    payload: Mapping[str, Any]
    attempts: int
    last_error: str | None


def put(
    connection: Connection, *, tenant: str, topic: str, key: str, payload: Mapping[str, Any], now: datetime
) -> None:
    """Ask for an effect; the same topic and key twice is one effect."""
    row = {"tenant_id": tenant, "topic": topic, "key": key, "payload": dict(payload), "created_at": now}
    insert_unless_there(connection, outbox, row)


def pending(connection: Connection, *, tenant: str, limit: int = 100) -> list[Entry]:
    """Effects that are due, oldest first: order matters within a model."""
    query = (
        sa.select(
            outbox.c.id,
            outbox.c.topic,
            outbox.c.key,
            outbox.c.payload,
            outbox.c.attempts,
            outbox.c.last_error,
        )
        .where(outbox.c.tenant_id == tenant, outbox.c.done_at.is_(None))
        .order_by(outbox.c.id)
        .limit(limit)
    )
    return [Entry(**row) for row in connection.execute(query).mappings()]


def finish(connection: Connection, *, entry_id: int, now: datetime) -> None:
    """Note that an effect has happened."""
    connection.execute(
        sa.update(outbox)
        .where(outbox.c.id == entry_id)
        .values(done_at=now, attempts=outbox.c.attempts + 1, last_error=None)
    )


def fail(connection: Connection, *, entry_id: int, error: str) -> None:
    """Note that an attempt failed; the effect stays due."""
    connection.execute(
        sa.update(outbox)
        .where(outbox.c.id == entry_id)
        .values(attempts=outbox.c.attempts + 1, last_error=error[:2000])
    )
