"""Who did what, when, why and from where: one chain of events per tenant, written in the transaction of the change.

Each event's hash is an HMAC over the hash before it and the event itself, so that an edit, a deletion, an insertion or
a change of order breaks the chain for everybody who has not the key. A tail that was cut off is only seen by comparing
with a checkpoint kept elsewhere. Functions never commit.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from aihub.store.access_tables import audit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.engine import Connection

GENESIS = "0" * 64
"""What the first event of a tenant follows."""
MIN_KEY_BYTES = 32
_SIGNED = ("tenant_id", "sequence", "at", "actor", "action", "subject", "before", "after", "reason", "source")


@dataclass(frozen=True)
class AuditVerdict:
    """What a verification found; `first_bad` is None where every event is as it was written."""

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
    """Appends to the chains and verifies them with the key, which the database does not hold."""

    key: bytes

    def __post_init__(self) -> None:
        if len(self.key) < MIN_KEY_BYTES:
            raise ValueError(f"an audit key has at least {MIN_KEY_BYTES} bytes")

    def __repr__(self) -> str:
        return "AuditLog(key=...)"

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

        Events of a tenant are serialised until the transaction ends. Whoever cannot write the event cannot make the
        change: the exception takes the transaction with it.
        """
        if connection.dialect.name == "postgresql":
            lock = sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:tenant, 7305))")
            connection.execute(lock, {"tenant": tenant})
        last = connection.execute(
            sa.select(audit.c.sequence, audit.c.hash)
            .where(audit.c.tenant_id == tenant)
            .order_by(audit.c.sequence.desc())
            .limit(1)
        ).one_or_none()
        sequence, previous = (last.sequence + 1, last.hash) if last else (1, GENESIS)
        row = {
            "tenant_id": tenant,
            "sequence": sequence,
            "at": now,
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
        message = previous.encode() + b"\n" + canonical(row)
        return hmac.new(self.key, message, hashlib.sha256).hexdigest()

    def verify(self, connection: Connection, *, tenant: str) -> AuditVerdict:
        """Walk the tenant's chain and name the first event that is not as it was written."""
        query = (
            sa.select(audit).where(audit.c.tenant_id == tenant).order_by(audit.c.sequence, audit.c.id)
        ).execution_options(yield_per=2000)
        previous, expected = GENESIS, 1
        with connection.execute(query) as rows:
            for row in rows.mappings():
                fault = self._fault(row, previous, expected)
                if fault:
                    return AuditVerdict(expected - 1, expected, fault, previous)
                previous, expected = row["hash"], expected + 1
        return AuditVerdict(expected - 1, head=previous)

    def _fault(self, row: Any, previous: str, expected: int) -> str:
        if row["sequence"] != expected:
            return f"event {expected} is missing; event {row['sequence']} stands in its place"
        if row["previous_hash"] != previous:
            return f"event {expected} does not follow the one before it: an event was replaced or moved"
        if not hmac.compare_digest(row["hash"], self.hash_of(previous, row)):
            return f"event {expected} was changed after it was written"
        return ""


def canonical(row: Mapping[str, Any]) -> bytes:
    """Bytes of an event that do not depend on the database it was read from."""
    at: datetime = row["at"]
    document = {
        **{name: row[name] for name in _SIGNED},
        "at": at.astimezone(UTC).isoformat(timespec="microseconds"),
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _plain(value: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the document as JSON reads it back, so that its canonical form is the same before and after storing."""
    if value is None:
        return None
    plain: dict[str, Any] = json.loads(json.dumps(dict(value), allow_nan=False, default=str))
    return plain
