"""What a validation of a version that is there already does to it: the rule, and writing it down.

The report of a version is always the one that decided its state. Another validation adds its report beside it; it takes the
version's place only where it decides something new.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from aihub.registry.queries import Queries
from aihub.registry.records import PRODUCTION, Status, Version
from aihub.registry.registry import VERSION_TOPIC
from aihub.registry.signatures import Signatures
from aihub.registry.versioning import digest_of
from aihub.store import models as model_rows
from aihub.store import outbox
from aihub.store import validations as rows
from aihub.store.tables import versions
from aihub.store.validation_tables import validations
from aihub.types import iso

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from aihub.registry.registry import Registry

NOT_VALIDATED = "registered through the API, not validated here"
"""Note of a version that came without a report; a validation replaces it."""


class Effect(StrEnum):
    """What a validation did to the version."""

    ACCEPTED = "accepted"
    """Its first report, and it passed: it may be deployed."""
    REJECTED = "rejected"
    """The gate stopped it."""
    LIFTED = "lifted"
    """An admin asked for it to be judged anew, and it passed: it is a candidate again."""
    NONE = "none"
    """The report is kept beside the version's own; its state stays."""


@dataclass(frozen=True, kw_only=True)
class Validation:
    """What the gate said of a version on a dataset.

    Attributes
    ----------
    id
        Order of the validations, for pages; never shown. `job` is what clients call it.
    reason
        Why an earlier rejection was to be lifted.
    """

    id: int
    job: str
    artifact_digest: str
    dataset_digest: str
    report_digest: str
    passed: bool
    effect: Effect
    actor: str
    reason: str
    created_at: datetime

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Validation:
        """Read a row of `aihub.store.validations.select`."""
        return cls(
            **{name: row[name] for name in cls.__dataclass_fields__} | {"effect": Effect(row["effect"])}
        )

    def to_dict(self) -> dict[str, Any]:
        """Return what clients see."""
        return {
            "job_id": self.job,
            "artifact_digest": self.artifact_digest,
            "dataset_id": self.dataset_digest,
            "report_digest": self.report_digest,
            "passed": self.passed,
            "effect": self.effect.value,
            "validated_by": self.actor,
            "reason": self.reason,
            "created_at": iso(self.created_at),
        }


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A report of the gate on a version, and what it is bound to.

    Attributes
    ----------
    lift_reason
        Why an earlier rejection is to be lifted where the gate passes; empty: it stays.
    """

    report: Mapping[str, Any]
    dataset_digest: str
    job: str
    actor: str
    metrics: Mapping[str, float]
    note: str
    lift_reason: str = ""

    @property
    def passed(self) -> bool:
        """Whether the gate is open; anything but an explicit yes is no."""
        return self.report.get("passed") is True


def effect_of(
    *, passed: bool, status: Status, has_report: bool, was_in_production: bool, lifts: bool
) -> Effect:
    """Decide what a validation does to a version. Pure.

    A first report decides. After it a failure rejects, unless production has had the version: what served is judged by
    the watch, and a table that somebody uploads must not take away what there is to roll back to. A rejection is lifted
    only where that was asked for.

    >>> effect_of(passed=True, status=Status.REJECTED, has_report=True, was_in_production=False, lifts=False)
    <Effect.NONE: 'none'>
    """
    if status is Status.REJECTED:
        return Effect.LIFTED if passed and lifts else Effect.NONE
    if not has_report:
        return Effect.ACCEPTED if passed else Effect.REJECTED
    return Effect.NONE if passed or was_in_production else Effect.REJECTED


def effect_on(connection: Connection, tenant: str, version: Version, finding: Finding) -> Effect:
    """Return what a finding does to a version; the caller holds the model's lock and has read the version under it."""
    return effect_of(
        passed=finding.passed,
        status=version.status,
        has_report=version.report_digest is not None,
        was_in_production=_was_in_production(connection, tenant, version),
        lifts=bool(finding.lift_reason),
    )


def record(
    connection: Connection,
    registry: Registry,
    version: Version,
    finding: Finding,
    *,
    effect: Effect,
    now: datetime,
) -> Version:
    """Write a validation and its effect down; returns the version as it is then.

    Writes report, validation, perhaps the version with its signature, and an audit event. Once per job: the table refuses a
    second time. The caller holds the model's lock.
    """
    body = dict(finding.report)
    report_id = model_rows.save_report(
        connection,
        tenant=registry.tenant,
        digest=digest_of(body),
        passed=finding.passed,
        body=body,
        now=now,
    )
    reason = finding.lift_reason if effect is Effect.LIFTED else ""
    rows.insert(
        connection,
        version_uid=version.uid,
        row={
            "tenant_id": registry.tenant,
            "report_id": report_id,
            "artifact_digest": version.digest,
            "dataset_digest": finding.dataset_digest,
            "job": finding.job,
            "passed": finding.passed,
            "effect": effect.value,
            "actor": finding.actor,
            "reason": reason,
            "created_at": now,
        },
    )
    judged = version
    if effect is not Effect.NONE:
        judged = _changed(connection, registry, version, finding, report_id=report_id, now=now)
    after = {**_said(judged), "passed": finding.passed, "effect": effect.value, "job": finding.job}
    registry.audit.append(
        connection,
        tenant=registry.tenant,
        actor=finding.actor,
        action="version.validated",
        subject=f"model:{version.model}",
        now=now,
        before=_said(version),
        after={**after, "validation_report_digest": digest_of(body), "dataset": finding.dataset_digest},
        reason=reason,
        source=registry.source,
    )
    return judged


def list_page(
    connection: Connection, version: Version, *, tenant: str, before: int | None = None, limit: int = 100
) -> list[Validation]:
    """Return the validations of a version, newest first, from the one below `before` (a `Validation.id`)."""
    found = rows.select(
        connection,
        versions.c.uid == version.uid,
        tenant=tenant,
        model=version.model,
        before=before,
        limit=limit,
    )
    return [Validation.from_row(row) for row in found]


def has_report(connection: Connection, version: Version, digest: str, *, tenant: str) -> bool:
    """Whether a report is the version's own, or that of one of its validations."""
    if digest == version.report_digest:
        return True
    same = (versions.c.uid == version.uid, validations.c.artifact_digest == version.digest)
    found = rows.select(connection, *same, tenant=tenant, model=version.model)
    return any(row["report_digest"] == digest for row in found)


def _changed(
    connection: Connection,
    registry: Registry,
    version: Version,
    finding: Finding,
    *,
    report_id: int,
    now: datetime,
) -> Version:
    """Put the verdict into the version's row and sign it anew: the signature is over state and report."""
    measured = {name: float(value) for name, value in finding.metrics.items() if math.isfinite(value)}
    values = {
        "status": (Status.CANDIDATE if finding.passed else Status.REJECTED).value,
        "report_id": report_id,
        # What was told at registration is not shown to approvers beside what was measured here.
        "metrics": {**(version.metrics if version.report_digest else {}), **measured},
        "notes": [*(note for note in version.notes if note != NOT_VALIDATED), finding.note],
    }
    rows.change_version(connection, uid=version.uid, values=values)
    judged = Queries(connection, registry.tenant).version_by_uid(version.model, version.uid)
    if registry.signing.signer is not None:
        artifact = registry.artifacts.get(judged.digest)
        Signatures(registry.artifacts, registry.tenant, registry.signing).put(
            connection, judged, artifact, actor=finding.actor, now=now
        )
    outbox.put(
        connection,
        tenant=registry.tenant,
        topic=VERSION_TOPIC,
        key=f"{judged.uid}:{finding.job}",
        payload={"model": judged.model, "uid": judged.uid},
        now=now,
    )
    return judged


def _was_in_production(connection: Connection, tenant: str, version: Version) -> bool:
    known = Queries(connection, tenant)
    return any(one.version_uid == version.uid for one in known.walk(version.model, PRODUCTION))


def _said(version: Version) -> dict[str, Any]:
    return {
        "version": version.number,
        "semantic": str(version.semantic),
        "status": version.status.value,
        "digest": version.digest,
        "report_digest": version.report_digest,
    }
