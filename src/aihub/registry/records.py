"""What the registry answers: versions and deployments as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from aihub.registry.lineage import Lineage
from aihub.registry.versioning import SemanticVersion
from aihub.types import iso

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime


PRODUCTION = "production"
"""Environment that is meant where none is named."""


class Status(StrEnum):
    """What the gate said about a version."""

    CANDIDATE = "candidate"
    """The gate let it through; it may be deployed."""
    REJECTED = "rejected"
    """The gate stopped it; it is kept for its report and never deployed."""


class Action(StrEnum):
    """How a deployment came about."""

    DEPLOY = "deploy"
    ROLLBACK = "rollback"


@dataclass(frozen=True, kw_only=True)
class Version:
    """A trained artefact with its lineage.

    Attributes
    ----------
    uid
        Name that no other version has, in any model; what mirrors are keyed by.
    number, semantic, git_commit
        The three ways to refer to it.
    digest, size_bytes, kind
        SHA-256 and size of the artefact, and the kind of model in it.
    report_digest
        SHA-256 of the canonical JSON of the gate's report; None where nothing was validated.
    """

    uid: str
    model: str
    number: int
    semantic: SemanticVersion
    git_commit: str | None
    status: Status
    digest: str
    size_bytes: int
    kind: str
    lineage: Lineage
    metrics: Mapping[str, float]
    notes: Sequence[str]
    report_digest: str | None
    created_by: str
    created_at: datetime

    def __str__(self) -> str:
        return f"{self.model} {self.semantic} (version {self.number})"

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Version:
        """Read a row of `aihub.store.models.select_versions`."""
        return cls(
            uid=row["uid"],
            model=row["model"],
            number=row["number"],
            semantic=SemanticVersion(row["major"], row["minor"], row["patch"]),
            git_commit=row["git_commit"],
            status=Status(row["status"]),
            digest=row["digest"],
            size_bytes=row["size_bytes"],
            kind=row["kind"],
            lineage=Lineage.from_dict(row["lineage"]),
            metrics=row["metrics"],
            notes=tuple(row["notes"]),
            report_digest=row["report_digest"],
            created_by=row["created_by"],
            created_at=row["created_at"],
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form, for machines; `uid` is left out, it is for mirrors."""
        return {
            "model": self.model,
            "version": self.number,
            "semantic": str(self.semantic),
            "git_commit": self.git_commit,
            "status": self.status.value,
            "digest": self.digest,
            "size_bytes": self.size_bytes,
            "kind": self.kind,
            "metrics": dict(self.metrics),
            "notes": list(self.notes),
            "report_digest": self.report_digest,
            "created_by": self.created_by,
            "created_at": iso(self.created_at),
            "lineage": self.lineage.to_dict(),
        }


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """A version put into an environment by somebody for a reason.

    Attributes
    ----------
    sequence
        1, 2, 3 within model and environment; pass it back as `expected_sequence` to decide on what was seen.
    ended_at, ended_by
        When another deployment took over, and how; None for the champion.
    status
        What the gate said about the version: one that it rejected serves by an override only.
    evidence
        What allowed it: the approval, the override, the rollout or the numbers of a watch.
    """

    uid: str
    model: str
    version: int
    semantic: SemanticVersion
    version_uid: str
    digest: str
    environment: str
    sequence: int
    action: Action
    actor: str
    reason: str
    started_at: datetime
    ended_at: datetime | None
    ended_by: Action | None
    status: Status = Status.CANDIDATE
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_champion(self) -> bool:
        """Whether this is the deployment that serves."""
        return self.ended_at is None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Deployment:
        """Read a row of `aihub.store.deployments.select_deployments`."""
        return cls(
            uid=row["uid"],
            model=row["model"],
            version=row["number"],
            semantic=SemanticVersion(row["major"], row["minor"], row["patch"]),
            version_uid=row["version_uid"],
            digest=row["digest"],
            environment=row["environment"],
            sequence=row["sequence"],
            action=Action(row["action"]),
            actor=row["actor"],
            reason=row["reason"],
            started_at=row["started_at"],
            ended_at=row["ended_at"],
            ended_by=None if row["ended_by"] is None else Action(row["ended_by"]),
            status=Status(row["status"]),
            evidence=row["evidence"] or {},
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form, for machines; the uids are left out, they are for mirrors."""
        return {
            "model": self.model,
            "version": self.version,
            "semantic": str(self.semantic),
            "digest": self.digest,
            "environment": self.environment,
            "sequence": self.sequence,
            "action": self.action.value,
            "actor": self.actor,
            "reason": self.reason,
            "started_at": iso(self.started_at),
            "ended_at": None if self.ended_at is None else iso(self.ended_at),
            "ended_by": None if self.ended_by is None else self.ended_by.value,
            "evidence": dict(self.evidence),
        }
