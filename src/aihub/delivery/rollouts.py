"""Canary and shadow: a newcomer beside the champion until the live numbers, or a person, decide.

The decision itself is `aihub.delivery.strategy.advance`. Functions take an open transaction, never commit, and write
the audit event and the notice with the change.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aihub.delivery.activation import activate, tell
from aihub.delivery.standing import frozen_now
from aihub.delivery.strategy import Promote, Rollout, Stay, StepUp, Strategy
from aihub.errors import ConflictError, NotFoundError
from aihub.registry.promotion import Order
from aihub.registry.records import Action
from aihub.registry.versioning import SemanticVersion
from aihub.store import models as model_rows
from aihub.store import rollouts as rows
from aihub.store.deployments import announce
from aihub.store.job_tables import rollouts as table
from aihub.types import iso

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from aihub.delivery.strategy import Advance
    from aihub.registry.records import Deployment, Version
    from aihub.registry.registry import Registry


@dataclass(frozen=True, kw_only=True)
class RolloutRecord:
    """A rollout as it is kept.

    Attributes
    ----------
    champion_sequence
        Deployment that it is compared with.
    evidence
        What allowed it, such as the approval; goes with the deployment when it is promoted.
    """

    id: int
    uid: str
    tenant: str
    model: str
    version: int
    semantic: SemanticVersion
    version_uid: str
    digest: str
    environment: str
    state: str
    progress: Rollout
    champion_sequence: int
    evidence: Mapping[str, Any]
    actor: str
    reason: str
    key: str | None
    ended_at: datetime | None
    outcome: str

    def __str__(self) -> str:
        return f"{self.progress.strategy.kind} of {self.model} {self.semantic} in {self.environment}"

    def to_dict(self) -> dict[str, Any]:
        """Return what clients see."""
        return {
            "rollout_id": self.uid,
            "model": self.model,
            "version": self.version,
            "semantic": str(self.semantic),
            "environment": self.environment,
            "strategy": self.progress.strategy.kind,
            "state": self.state,
            "share": self.progress.share,
            "position": self.progress.position,
            "steps": [step.share for step in self.progress.strategy.plan],
            "actor": self.actor,
            "reason": self.reason,
            "started_at": iso(self.progress.started_at),
            "stepped_at": iso(self.progress.stepped_at),
            "ended_at": None if self.ended_at is None else iso(self.ended_at),
            "outcome": self.outcome,
        }


def start(
    connection: Connection,
    registry: Registry,
    version: Version,
    order: Order,
    *,
    strategy: Strategy,
    champion_sequence: int,
) -> RolloutRecord:
    """Let `version` run beside the champion. The caller holds the model's lock and has seen that none is under way.

    Raises
    ------
    ArtifactError
        The artefact is missing or damaged.
    """
    registry.artifacts.verify(version.digest)
    uid = f"rol_{uuid.uuid4().hex}"
    share = 0.0 if strategy.kind == "shadow" else strategy.plan[0].share
    steps = {
        "strategy": strategy.model_dump(mode="json"),
        "position": 0,
        "champion_sequence": champion_sequence,
        "evidence": dict(order.evidence or {}),
    }
    rows.insert(
        connection,
        version_uid=version.uid,
        row={
            "tenant_id": registry.tenant,
            "uid": uid,
            "environment": order.environment,
            "strategy": strategy.kind,
            "share": share,
            "steps": steps,
            "state": rows.ACTIVE,
            "actor": order.actor,
            "reason": order.reason,
            "idempotency_key": order.key,
            "started_at": order.now,
            "stepped_at": order.now,
        },
    )
    made = get(connection, uid, tenant=registry.tenant)
    _changed(connection, registry, made, "started", actor=order.actor, reason=order.reason, now=order.now)
    return made


def get(connection: Connection, uid: str, *, tenant: str) -> RolloutRecord:
    """Return a rollout.

    Raises
    ------
    NotFoundError
        The tenant has none of this name.
    """
    found = rows.select(connection, table.c.uid == uid, tenant=tenant)
    if not found:
        raise NotFoundError("rollout", uid)
    return _from_row(found[0])


def active(connection: Connection, model: str, environment: str, *, tenant: str) -> RolloutRecord | None:
    """Return the rollout under way of a model and environment."""
    found = rows.select_active(connection, tenant=tenant, model=model, environment=environment)
    return _from_row(found[0]) if found else None


def all_active(connection: Connection, *, tenant: str | None = None) -> list[RolloutRecord]:
    """Return every rollout under way; `tenant` None: of all tenants."""
    return [_from_row(row) for row in rows.select_active(connection, tenant=tenant)]


def list_page(
    connection: Connection,
    *,
    tenant: str,
    model: str | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[RolloutRecord]:
    """Return rollouts of a tenant, newest first, from the one below `before` (a `RolloutRecord.id`)."""
    from aihub.store.tables import models

    where = [] if before is None else [table.c.id < before]
    if model is not None:
        where.append(models.c.name == model)
    return [_from_row(row) for row in rows.select(connection, *where, tenant=tenant, limit=limit)]


def by_key(connection: Connection, model: str, key: str | None, *, tenant: str) -> RolloutRecord | None:
    """Return the rollout that was started with an idempotency key."""
    from aihub.store.tables import models

    if key is None:
        return None
    found = rows.select(
        connection, models.c.name == model, table.c.idempotency_key == key, tenant=tenant, limit=1
    )
    return _from_row(found[0]) if found else None


def apply(
    connection: Connection, registry: Registry, uid: str, decision: Advance, *, actor: str, now: datetime
) -> RolloutRecord:
    """Carry out what `advance` decided about the rollout `uid`; staying writes nothing.

    Raises
    ------
    NotFoundError, ConflictError
        There is no such rollout, or it has ended or gone on meanwhile.
    """
    if isinstance(decision, Stay):
        return get(connection, uid, tenant=registry.tenant)
    if isinstance(decision, StepUp):
        return step(connection, registry, uid, decision, actor=actor, now=now)
    end = promote if isinstance(decision, Promote) else stop
    end(connection, registry, uid, actor=actor, reason=decision.reason, now=now, evidence=decision.evidence)
    return get(connection, uid, tenant=registry.tenant)


def step(
    connection: Connection, registry: Registry, uid: str, to: StepUp, *, actor: str, now: datetime
) -> RolloutRecord:
    """Give the newcomer its next share of the traffic.

    Raises
    ------
    NotFoundError, ConflictError
        There is no such rollout, or it has ended or gone on meanwhile.
    """
    found = _locked(connection, registry, uid)
    if to.position != found.progress.position + 1:
        raise ConflictError(f"{found} has gone on meanwhile; look at it again and decide anew")
    steps = {**_steps(found), "position": to.position}
    rows.change(connection, uid=uid, share=to.share, steps=steps, stepped_at=now)
    done = get(connection, uid, tenant=registry.tenant)
    _changed(
        connection, registry, done, "stepped", actor=actor, reason=to.reason, now=now, evidence=to.evidence
    )
    return done


def promote(
    connection: Connection,
    registry: Registry,
    uid: str,
    *,
    actor: str,
    reason: str,
    now: datetime,
    evidence: Mapping[str, Any] | None = None,
) -> Deployment:
    """Make the newcomer champion, not in a freeze: the rollout ends and the deployment begins in one transaction.

    Raises
    ------
    NotFoundError, ConflictError
        There is no such rollout, it has ended, deployments are frozen, or another champion has come than the one it was
        compared with.
    ArtifactError
        The artefact is missing or damaged.
    """
    found = _locked(connection, registry, uid)
    freeze = frozen_now(connection, registry.tenant, found.version_uid, found.environment, now)
    if freeze is not None:
        raise ConflictError(f"{freeze}; promote {found} afterwards")
    _end(connection, registry, found, "promoted", actor=actor, reason=reason, now=now, evidence=evidence)
    order = Order(
        action=Action.DEPLOY,
        environment=found.environment,
        actor=actor,
        reason=f"{found.reason}; promoted: {reason}",
        now=now,
        key=f"rollout:{uid}",
        expected_sequence=found.champion_sequence,
        evidence={
            **found.evidence,
            "rollout": uid,
            "started_by": found.actor,
            **({"live": dict(evidence)} if evidence else {}),
        },
    )
    return activate(connection, registry, found.model, found.version, order)


def stop(
    connection: Connection,
    registry: Registry,
    uid: str,
    *,
    actor: str,
    reason: str,
    now: datetime,
    evidence: Mapping[str, Any] | None = None,
) -> RolloutRecord:
    """End the rollout without the newcomer; the champion answers everything again.

    Raises
    ------
    NotFoundError, ConflictError
        There is no such rollout, or it has ended.
    """
    found = _locked(connection, registry, uid)
    return _end(
        connection, registry, found, "stopped", actor=actor, reason=reason, now=now, evidence=evidence
    )


def _locked(connection: Connection, registry: Registry, uid: str) -> RolloutRecord:
    """Return an active rollout whose model nobody else changes until the transaction ends."""
    model_rows.lock_model(
        connection, tenant=registry.tenant, name=get(connection, uid, tenant=registry.tenant).model
    )
    found = get(connection, uid, tenant=registry.tenant)
    if found.state != rows.ACTIVE:
        raise ConflictError(f"{found} is {found.state} already: {found.outcome or 'no reason was given'}")
    return found


def _end(
    connection: Connection,
    registry: Registry,
    found: RolloutRecord,
    state: str,
    *,
    actor: str,
    reason: str,
    now: datetime,
    evidence: Mapping[str, Any] | None,
) -> RolloutRecord:
    share = found.progress.share if state == "promoted" else 0.0
    rows.change(connection, uid=found.uid, state=state, ended_at=now, outcome=reason, share=share)
    done = get(connection, found.uid, tenant=registry.tenant)
    _changed(connection, registry, done, state, actor=actor, reason=reason, now=now, evidence=evidence)
    return done


def _changed(
    connection: Connection,
    registry: Registry,
    done: RolloutRecord,
    what: str,
    *,
    actor: str,
    reason: str,
    now: datetime,
    evidence: Mapping[str, Any] | None = None,
) -> None:
    event = f"rollout.{what}"
    after = {
        "rollout": done.uid,
        "environment": done.environment,
        "version": done.version,
        "semantic": str(done.semantic),
        "strategy": done.progress.strategy.kind,
        "share": done.progress.share if done.state != "stopped" else 0.0,
        "state": done.state,
        **({"evidence": dict(evidence)} if evidence else {}),
    }
    registry.audit.append(
        connection,
        tenant=registry.tenant,
        actor=actor,
        action=event,
        subject=f"model:{done.model}",
        now=now,
        after=after,
        reason=reason,
        source=registry.source,
    )
    payload = {**after, "model": done.model, "by": actor, "reason": reason}
    key = f"{done.uid}:{done.progress.position}:{what}"
    tell(connection, registry, event, key=key, payload=payload, now=now)
    announce(connection, tenant=registry.tenant, model=done.model)


def _steps(record: RolloutRecord) -> dict[str, Any]:
    return {
        "strategy": record.progress.strategy.model_dump(mode="json"),
        "position": record.progress.position,
        "champion_sequence": record.champion_sequence,
        "evidence": dict(record.evidence),
    }


def _from_row(row: Mapping[str, Any]) -> RolloutRecord:
    steps = row["steps"]
    plain = (
        "id", "uid", "model", "version_uid", "digest", "environment", "state", "actor", "reason", "ended_at", "outcome"
    )  # fmt: skip
    return RolloutRecord(
        tenant=row["tenant_id"],
        version=row["number"],
        semantic=SemanticVersion(row["major"], row["minor"], row["patch"]),
        progress=Rollout(
            strategy=Strategy.model_validate(steps["strategy"]),
            position=steps["position"],
            started_at=row["started_at"],
            stepped_at=row["stepped_at"],
        ),
        champion_sequence=steps["champion_sequence"],
        evidence=steps["evidence"],
        key=row["idempotency_key"],
        **{name: row[name] for name in plain},
    )
