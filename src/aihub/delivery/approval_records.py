"""Requests for approval and the votes on them as values, and how they are found. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa

from aihub.delivery.policy import ApprovalRule
from aihub.errors import NotFoundError
from aihub.registry.versioning import SemanticVersion
from aihub.store import approvals as rows
from aihub.store.job_tables import approvals as table
from aihub.store.tables import models, versions
from aihub.types import iso

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from aihub.registry.records import Version

State = Literal["pending", "approved", "rejected", "expired", "withdrawn"]
Word = Literal["approve", "reject"]
_PLAIN = (
    "id", "uid", "job", "job_id", "model", "version_uid", "environment", "artifact_digest", "report_digest",
    "expected_sequence", "state", "requested_by", "reason", "created_at", "expires_at", "decided_at",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Vote:
    """What one person decided."""

    principal: str
    role: str
    decision: Word
    reason: str
    decided_at: datetime
    evidence: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what clients see."""
        evidence = None if self.evidence is None else dict(self.evidence)
        return {**vars(self), "decided_at": iso(self.decided_at), "evidence": evidence}


@dataclass(frozen=True, kw_only=True)
class Approval:
    """A request for approval.

    Attributes
    ----------
    artifact_digest, report_digest
        What was looked at; a decision about something else is refused.
    expected_sequence
        Deployment that served when it was asked: granted for what follows that one only.
    authors
        Who made or asked for the version and so may not decide.
    """

    id: int
    uid: str
    tenant: str
    job: str | None
    job_id: int | None
    model: str
    version: int
    semantic: SemanticVersion
    version_uid: str
    environment: str
    artifact_digest: str
    report_digest: str | None
    expected_sequence: int
    rule: ApprovalRule
    state: State
    requested_by: str
    authors: frozenset[str]
    reason: str
    created_at: datetime
    expires_at: datetime
    decided_at: datetime | None
    votes: tuple[Vote, ...] = ()

    def __str__(self) -> str:
        return f"approval {self.uid} of {self.model} {self.semantic} for {self.environment}"

    @property
    def granted_by(self) -> list[str]:
        """Who agreed so far."""
        return [vote.principal for vote in self.votes if vote.decision == "approve"]

    def to_dict(self) -> dict[str, Any]:
        """Return what clients see."""
        return {
            "approval_id": self.uid,
            "state": self.state,
            "job_id": self.job,
            "model": self.model,
            "version": self.version,
            "semantic": str(self.semantic),
            "environment": self.environment,
            "artifact_digest": self.artifact_digest,
            "report_digest": self.report_digest,
            "role": self.rule.role,
            "approvers": self.rule.approvers,
            "requested_by": self.requested_by,
            "reason": self.reason,
            "created_at": iso(self.created_at),
            "expires_at": iso(self.expires_at),
            "decided_at": None if self.decided_at is None else iso(self.decided_at),
            "decisions": [vote.to_dict() for vote in self.votes],
        }


def get(connection: Connection, uid: str, *, tenant: str, lock: bool = False) -> Approval:
    """Return a request with its votes.

    Raises
    ------
    NotFoundError
        The tenant has none of this name.
    """
    found = read(connection, rows.select(connection, table.c.uid == uid, tenant=tenant, lock=lock))
    if not found:
        raise NotFoundError("approval", uid)
    return found[0]


def list_page(
    connection: Connection,
    *,
    tenant: str,
    state: str | None = None,
    model: str | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[Approval]:
    """Return requests of a tenant, newest first, from the one below `before` (an `Approval.id`)."""
    where = [] if before is None else [table.c.id < before]
    if state is not None:
        where.append(table.c.state == state)
    if model is not None:
        # Its number first: the page is then read along an index, however many others have asked.
        number = connection.scalar(
            sa.select(models.c.id).where(models.c.tenant_id == tenant, models.c.name == model)
        )
        where.append(table.c.model_id == number)
    return read(connection, rows.select(connection, *where, tenant=tenant, limit=limit))


def latest_of_job(connection: Connection, job_id: int, environment: str, *, tenant: str) -> Approval | None:
    """Return the newest request of a job for an environment."""
    where = (table.c.job_id == job_id, table.c.environment == environment)
    return next(iter(read(connection, rows.select(connection, *where, tenant=tenant, limit=1))), None)


def granted(
    connection: Connection, version: Version, environment: str, *, tenant: str, sequence: int
) -> Approval | None:
    """Return the newest request that was granted for this artefact and report on top of deployment `sequence`."""
    where = (
        table.c.state == "approved",
        table.c.environment == environment,
        table.c.artifact_digest == version.digest,
        table.c.expected_sequence == sequence,
    )
    found = read(connection, rows.select(connection, *where, tenant=tenant))
    return next(
        (a for a in found if a.version_uid == version.uid and a.report_digest == version.report_digest), None
    )


def pending(connection: Connection, version_uid: str, environment: str, *, tenant: str) -> Approval | None:
    """Return the request that waits for decisions about a version and an environment."""
    where = (
        table.c.state == "pending",
        table.c.environment == environment,
        versions.c.uid == version_uid,
    )
    return next(iter(read(connection, rows.select(connection, *where, tenant=tenant, lock=True))), None)


def same_person(principal: str) -> str:
    """Return the form in which two names of one person are equal."""
    return principal.strip().casefold()


def read(connection: Connection, found: Sequence[Mapping[str, Any]]) -> list[Approval]:
    """Turn rows of `aihub.store.approvals.select` into requests with their votes."""
    if not found:
        return []
    votes = rows.decisions_on(connection, approval_ids=[row["id"] for row in found])
    return [_from_row(row, votes[row["id"]]) for row in found]


def _from_row(row: Mapping[str, Any], votes: Sequence[Mapping[str, Any]]) -> Approval:
    authors = (row["requested_by"], row["created_by"], row["submitted_by"])
    return Approval(
        tenant=row["tenant_id"],
        version=row["number"],
        semantic=SemanticVersion(row["major"], row["minor"], row["patch"]),
        rule=ApprovalRule.model_validate(row["rule"]),
        authors=frozenset(same_person(who) for who in authors if who),
        votes=tuple(
            Vote(**{name: vote[name] for name in Vote.__dataclass_fields__ if name in vote}) for vote in votes
        ),
        **{name: row[name] for name in _PLAIN},
    )
