"""Who did what, when, why and from where: one chain of events per tenant, written in the transaction of the change.

Each event's hash is an HMAC over the hash before it and the event itself, so that an edit, a deletion, an insertion or
a change of order breaks the chain for everybody who has not the key. A tail that was cut off, or a chain that somebody
with the key wrote anew, is only seen by comparing with a checkpoint kept elsewhere (`aihub.store.checkpoints`).
Functions never commit.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from aihub.store.access_tables import audit
from aihub.store.engine import let_writers_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy.engine import Connection

GENESIS = "0" * 64
"""What the first event of a tenant follows."""
MIN_KEY_BYTES = 32
_SIGNED = ("tenant_id", "sequence", "at", "actor", "action", "subject", "before", "after", "reason", "source")


_COLUMNS = [audit.c[name] for name in (*_SIGNED, "previous_hash", "hash")]
_NAMES = [column.name for column in _COLUMNS]
_CHUNK = 2000
_UNREADABLE = (TypeError, ValueError, RecursionError, sa.exc.OperationalError)
"""What reading a row ends with that was changed to what this hub would not have written."""
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@dataclass(frozen=True)
class AuditVerdict:
    """What a verification found; `first_bad` is None where every event is as it was written.

    Attributes
    ----------
    events
        Events from the first on that are as they were written.
    head
        Hash of the last of them.
    """

    events: int
    first_bad: int | None = None
    reason: str = ""
    head: str = GENESIS

    @property
    def is_intact(self) -> bool:
        """Whether nothing was changed."""
        return self.first_bad is None


@dataclass(frozen=True)
class AuditLog:
    """Appends to the chains and verifies them with the key, which the database does not hold.

    Attributes
    ----------
    older
        Keys that were in use before `key`, oldest first. Events may only go on to a newer key, never back.
    """

    key: bytes = field(repr=False)
    older: tuple[bytes, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if any(len(key) < MIN_KEY_BYTES for key in (self.key, *self.older)):
            raise ValueError(f"an audit key has at least {MIN_KEY_BYTES} bytes")

    def append(
        self,
        connection: Connection,
        *,
        tenant: str,
        actor: str,
        action: str,
        subject: str,
        now: datetime,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
        reason: str = "",
        source: str = "",
    ) -> int:
        """Write one event behind the tenant's last one and return its sequence.

        Events of a tenant are serialised until the transaction ends, and their times never go back, whatever the clocks
        of several machines say. Whoever cannot write the event cannot make the change: the exception takes the
        transaction with it.
        """
        if connection.dialect.name == "postgresql":
            lock = sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:tenant, 7305))")
            connection.execute(lock, {"tenant": tenant})
        last = connection.execute(
            sa.select(audit.c.sequence, audit.c.hash, audit.c.at)
            .where(audit.c.tenant_id == tenant)
            .order_by(audit.c.sequence.desc())
            .limit(1)
        ).one_or_none()
        sequence, previous = (last.sequence + 1, last.hash) if last else (1, GENESIS)
        row = {
            "tenant_id": tenant,
            "sequence": sequence,
            "at": max(now, last.at) if last else now,
            "actor": actor,
            "action": action,
            "subject": subject,
            "before": _plain(before),
            "after": _plain(after),
            "reason": reason,
            "source": source,
        }
        connection.execute(
            sa.insert(audit).values(**row, previous_hash=previous, hash=self.hash_of(previous, row))
        )
        return sequence

    def hash_of(self, previous: str, row: Mapping[str, Any]) -> str:
        """HMAC-SHA-256 over the hash before and the canonical form of an event."""
        return hmac.digest(self.key, previous.encode() + b"\n" + canonical(row), "sha256").hex()

    def verify(
        self, connection: Connection, *, tenant: str, marks: Mapping[int, str] | None = None
    ) -> AuditVerdict:
        """Walk the tenant's chain and name the first event that is not as it was written.

        Parameters
        ----------
        marks
            Hashes that events had when a checkpoint was made, by sequence.
        """
        marks = marks or {}
        keys, done, previous = (*self.older, self.key), 0, GENESIS
        for row in _rows(connection, tenant):
            fault, keys = _fault(row, keys, previous, done + 1)
            if fault:
                # An event that stands before its place was put in; else the one whose place it is.
                bad = (
                    done + 1
                    if row is None or type(row["sequence"]) is not int
                    else min(done + 1, row["sequence"])
                )
                return AuditVerdict(done, bad, fault, previous)
            previous, done = row["hash"], done + 1
            if marks.get(done, previous) != previous:
                return AuditVerdict(done - 1, done, _REWRITTEN.format(done), previous)
        if max(marks, default=0) > done:
            lost = f"events {done + 1} to {max(marks)} were cut off: a checkpoint has seen them"
            return AuditVerdict(done, done + 1, lost, previous)
        return AuditVerdict(done, head=previous)

    def holds_key(self, connection: Connection, *, tenant: str) -> bool:
        """Whether the tenant's last event was written with a key of ours, so that a further one continues the chain."""
        query = sa.select(audit).where(audit.c.tenant_id == tenant).order_by(audit.c.sequence.desc()).limit(1)
        row: Any = connection.execute(query).mappings().one_or_none()
        return row is None or _signing_key(row, (*self.older, self.key), row["previous_hash"]) is not None


_REWRITTEN = "event {} is not the one that a checkpoint has seen: the chain up to it was written anew by somebody with the key"


def _fault(
    row: Mapping[str, Any] | None, keys: tuple[bytes, ...], previous: str, expected: int
) -> tuple[str, tuple[bytes, ...]]:
    """Return what is wrong with an event, and the keys that those after it may have."""
    if row is None:
        return f"event {expected} cannot be read: it was changed after it was written", keys
    sequence = row["sequence"]
    if type(sequence) is not int:  # SQLite keeps whatever is written past us
        return f"an event that has no number stands in the place of event {expected}", keys
    if sequence != expected:
        inserted = f"event {sequence} was inserted"
        missing = f"event {expected} is missing; event {sequence} stands in its place"
        return inserted if sequence < expected else missing, keys
    if row["previous_hash"] != previous:
        return f"event {expected} does not follow the one before it: an event was replaced or moved", keys
    position = _signing_key(row, keys, previous)
    if position is None:
        return f"event {expected} was changed after it was written", keys
    return "", keys[position:]


def _signing_key(row: Mapping[str, Any], keys: tuple[bytes, ...], previous: str) -> int | None:
    try:
        message = previous.encode() + b"\n" + canonical(row)
        written = row["hash"].encode()
    except (TypeError, ValueError, AttributeError):
        # A document or a time that this hub would not have written.
        return None
    for position, key in enumerate(keys):
        if hmac.compare_digest(hmac.digest(key, message, "sha256").hex().encode(), written):
            return position
    return None


def _rows(connection: Connection, tenant: str) -> Iterator[Any]:
    """Events of a tenant in order; None for one that cannot even be read."""
    query = sa.select(*_COLUMNS).where(audit.c.tenant_id == tenant).order_by(audit.c.sequence)
    after: int | None = None
    while True:
        rest = query if after is None else query.where(audit.c.sequence > after)
        try:
            rows = connection.execute(rest.limit(_CHUNK)).all()
        except _UNREADABLE as error:
            _check_readable(error)
            yield from _one_by_one(connection, rest)
            return
        # Plain dictionaries: a million events are read here, and SQLAlchemy's mappings take three times as long.
        yield from (dict(zip(_NAMES, row, strict=True)) for row in rows)
        if len(rows) < _CHUNK:
            return
        after = rows[-1].sequence
        let_writers_in(connection)


def _one_by_one(connection: Connection, query: sa.Select[Any]) -> Iterator[Any]:
    """Events up to the first that cannot be read; the database's text is not always what was written into it."""
    for offset in range(_CHUNK):
        try:
            yield connection.execute(query.limit(1).offset(offset)).mappings().one()
        except _UNREADABLE as error:
            _check_readable(error)
            yield None
            return


def _check_readable(error: Exception) -> None:
    """Raise `error` again where it is the database's and says nothing of what stands in the row."""
    if isinstance(error, sa.exc.OperationalError) and "Could not decode to UTF-8" not in str(error.orig):
        raise error


def canonical(row: Mapping[str, Any]) -> bytes:
    """Bytes of an event that do not depend on the database it was read from."""
    at: datetime = row["at"]
    document = {name: row[name] for name in _SIGNED}
    document["at"] = at.astimezone(UTC).isoformat(timespec="microseconds")
    return _CANONICAL.encode(document).encode()


def _plain(value: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the document as JSON reads it back, so that its canonical form is the same before and after storing."""
    if value is None:
        return None
    plain: dict[str, Any] = json.loads(json.dumps(dict(value), allow_nan=False, default=str))
    return plain
