"""Answers already given, by the caller's own key. Functions never commit.

Key, change and answer are written in one transaction: there is no moment in which a change exists without its answer, and
a request that failed or was killed has left nothing and may be sent again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa

from aihub.errors import ConflictError
from aihub.store.access_tables import idempotency
from aihub.store.models import insert_unless_there

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.engine import Connection

KEPT = timedelta(days=7)
"""How long an answer is repeated; a client that has not got it by then has given up."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One caller's key for one request; `request_sha256` is over method, path and body."""

    tenant: str
    principal: str
    key: str
    request_sha256: str


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What was answered the first time."""

    status: int
    headers: Mapping[str, str]
    body: str


def claim(connection: Connection, wanted: Claim, *, now: datetime) -> Answer | None:
    """Take the key for this transaction, or return the answer that was given with it.

    Another transaction that holds the key is waited for. Whoever gets None does the work and then calls `answer`, in the
    same transaction.

    Raises
    ------
    ConflictError
        The key was used for another request.
    """
    row = {
        "tenant_id": wanted.tenant,
        "principal": wanted.principal,
        "key": wanted.key,
        "request_sha256": wanted.request_sha256,
        "created_at": now,
    }
    if insert_unless_there(connection, idempotency, row):
        return None
    found = connection.execute(sa.select(idempotency).where(*_mine(wanted))).mappings().one()
    if found["request_sha256"] != wanted.request_sha256:
        raise ConflictError("this Idempotency-Key was used for another request; use a new key")
    if found["status"] is None:
        return None
    return Answer(status=found["status"], headers=found["headers"], body=found["body"])


def answer(connection: Connection, wanted: Claim, given: Answer) -> None:
    """Write down what is answered, to be repeated."""
    row = {"status": given.status, "headers": dict(given.headers), "body": given.body}
    connection.execute(sa.update(idempotency).where(*_mine(wanted)).values(row))


def sweep(connection: Connection, *, now: datetime, kept: timedelta = KEPT) -> int:
    """Forget the answers older than `kept`, and return how many; of every tenant that the transaction sees."""
    done = connection.execute(sa.delete(idempotency).where(idempotency.c.created_at < now - kept))
    return done.rowcount


def _mine(wanted: Claim) -> tuple[sa.ColumnElement[bool], ...]:
    columns = idempotency.c
    return (
        columns.tenant_id == wanted.tenant,
        columns.principal == wanted.principal,
        columns.key == wanted.key,
    )
