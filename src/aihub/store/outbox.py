"""Effects on other systems, written in the transaction of the change and carried out later. Functions never commit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from aihub.store.models import insert_unless_there
from aihub.store.tables import outbox

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
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


@dataclass(frozen=True, kw_only=True)
class Taken(Entry):
    """One effect that the caller has taken to carry out."""

    tenant: str
    created_at: datetime


def put(
    connection: Connection,
    *,
    tenant: str,
    topic: str,
    key: str,
    payload: Mapping[str, Any],
    now: datetime,
    not_before: datetime | None = None,
) -> None:
    """Ask for an effect; the same topic and key twice is one effect."""
    row = {
        "tenant_id": tenant,
        "topic": topic,
        "key": key,
        "payload": dict(payload),
        "created_at": now,
        "next_attempt_at": not_before,
    }
    insert_unless_there(connection, outbox, row)


def pending(connection: Connection, *, tenant: str, prefix: str = "", limit: int = 100) -> list[Entry]:
    """Effects of topics that begin with `prefix` and have not happened, oldest first: order matters within a model."""
    query = (
        sa.select(
            outbox.c.id,
            outbox.c.topic,
            outbox.c.key,
            outbox.c.payload,
            outbox.c.attempts,
            outbox.c.last_error,
        )
        .where(
            outbox.c.tenant_id == tenant,
            outbox.c.done_at.is_(None),
            outbox.c.dead_at.is_(None),
            outbox.c.topic.startswith(prefix, autoescape=True),
        )
        .order_by(outbox.c.id)
        .limit(limit)
    )
    return [Entry(**row) for row in connection.execute(query).mappings()]


def has_due(connection: Connection, prefixes: Sequence[str], *, now: datetime) -> bool:
    """Whether an effect of these topics is due."""
    return (
        connection.execute(sa.select(outbox.c.id).where(_is_due(prefixes, now)).limit(1)).first() is not None
    )


def take(
    connection: Connection,
    prefixes: Sequence[str],
    *,
    now: datetime,
    until: datetime,
    limit: int,
    tenant: str | None = None,
) -> list[Taken]:
    """Take effects that are due, oldest first, of one or all tenants; nobody else takes them before `until`."""
    columns = [outbox.c.tenant_id.label("tenant")] + [
        outbox.c[name] for name in Taken.__dataclass_fields__ if name != "tenant"
    ]
    query = (
        sa.select(*columns)
        .where(_is_due(prefixes, now))
        .order_by(outbox.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    if tenant is not None:
        query = query.where(outbox.c.tenant_id == tenant)
    taken = [Taken(**row) for row in connection.execute(query).mappings()]
    ids = [entry.id for entry in taken]
    connection.execute(sa.update(outbox).where(outbox.c.id.in_(ids)).values(next_attempt_at=until))
    return taken


def held(connection: Connection, *, tenant: str, topic: str, at: datetime) -> list[Entry]:
    """Return what waits under exactly this topic for exactly this moment, oldest first: the content of a digest."""
    columns = [outbox.c[name] for name in Entry.__dataclass_fields__]
    query = (
        sa.select(*columns)
        .where(
            outbox.c.tenant_id == tenant,
            outbox.c.topic == topic,
            outbox.c.next_attempt_at == at,
            outbox.c.done_at.is_(None),
        )
        .order_by(outbox.c.id)
    )
    return [Entry(**row) for row in connection.execute(query).mappings()]


def tenants_with_due(connection: Connection, prefix: str, *, now: datetime) -> list[str]:
    """Return the tenants whose oldest effect of these topics is due: theirs are carried out in order."""
    first = (
        sa.select(sa.func.min(outbox.c.id))
        .where(
            outbox.c.done_at.is_(None),
            outbox.c.dead_at.is_(None),
            outbox.c.topic.startswith(prefix, autoescape=True),
        )
        .group_by(outbox.c.tenant_id)
    )
    is_due = sa.or_(outbox.c.next_attempt_at.is_(None), outbox.c.next_attempt_at <= now)
    return list(connection.scalars(sa.select(outbox.c.tenant_id).where(outbox.c.id.in_(first), is_due)))


def put_off(connection: Connection, prefix: str, *, tenant: str, until: datetime) -> None:
    """Let the effects of these topics wait, such as for a system that is away."""
    connection.execute(
        sa.update(outbox)
        .where(
            outbox.c.tenant_id == tenant,
            outbox.c.done_at.is_(None),
            outbox.c.topic.startswith(prefix, autoescape=True),
        )
        .values(next_attempt_at=until)
    )


def _is_due(prefixes: Sequence[str], now: datetime) -> sa.ColumnElement[bool]:
    topics = [outbox.c.topic.startswith(prefix, autoescape=True) for prefix in prefixes]
    return sa.and_(
        outbox.c.done_at.is_(None),
        outbox.c.dead_at.is_(None),
        sa.or_(outbox.c.next_attempt_at.is_(None), outbox.c.next_attempt_at <= now),
        sa.or_(*topics),
    )


def finish(connection: Connection, *, entry_id: int, now: datetime) -> None:
    """Note that an effect has happened."""
    connection.execute(
        sa.update(outbox)
        .where(outbox.c.id == entry_id)
        .values(done_at=now, attempts=outbox.c.attempts + 1, last_error=None)
    )


def fail(connection: Connection, *, entry_id: int, error: str, next_at: datetime | None = None) -> None:
    """Note that an attempt failed; the effect stays due, from `next_at` on."""
    connection.execute(
        sa.update(outbox)
        .where(outbox.c.id == entry_id)
        .values(attempts=outbox.c.attempts + 1, last_error=error[:2000], next_attempt_at=next_at)
    )


def lay_aside(connection: Connection, *, entry_id: int, error: str, now: datetime) -> None:
    """Give an effect up: it is not tried again before somebody replays it."""
    connection.execute(
        sa.update(outbox)
        .where(outbox.c.id == entry_id)
        .values(attempts=outbox.c.attempts + 1, last_error=error[:2000], dead_at=now)
    )


def dead(connection: Connection, *, tenant: str, limit: int = 100) -> list[Entry]:
    """Return the effects that were given up, newest first."""
    columns = [outbox.c[name] for name in Entry.__dataclass_fields__]
    query = sa.select(*columns).where(
        outbox.c.tenant_id == tenant, outbox.c.done_at.is_(None), outbox.c.dead_at.is_not(None)
    )
    rows = connection.execute(query.order_by(outbox.c.id.desc()).limit(limit)).mappings()
    return [Entry(**row) for row in rows]


def replay(connection: Connection, *, tenant: str, topic_prefix: str = "") -> int:
    """Let the effects of these topics that were given up be tried again; returns how many."""
    done = connection.execute(
        sa.update(outbox)
        .where(
            outbox.c.tenant_id == tenant,
            outbox.c.done_at.is_(None),
            outbox.c.dead_at.is_not(None),
            outbox.c.topic.startswith(topic_prefix, autoescape=True),
        )
        .values(dead_at=None, next_attempt_at=None, attempts=0)
    )
    return int(done.rowcount)
