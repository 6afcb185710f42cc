"""A registry with small versions that can be deployed, and people with roles."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from aihub.delivery import deployments
from aihub.delivery.deployments import DeployOrder, Outcome, RollbackOrder, deploy
from aihub.registry.artifacts import ArtifactStore, Manifest, pack
from aihub.registry.lineage import collect
from aihub.registry.registry import Registry
from aihub.store.access_tables import audit
from aihub.store.audit import AuditLog
from aihub.store.engine import read, write
from aihub.types import Identity, Role

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.engine import Engine

    from aihub.delivery.approval_records import Approval
    from aihub.registry.records import Deployment, Version

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)  # a Wednesday
MODEL = "load"
FREE = {"environments": {"production": {}}}
"""A policy without staging; with `AUTO` nobody is asked."""
_CONTENTS = itertools.count()


def registry_on(engine: Engine, folder: Path, tenant: str = "default") -> Registry:
    return Registry(engine, ArtifactStore(folder / "artifacts"), AuditLog(b"k" * 32), tenant, "test")


def register(registry: Registry, *, passed: bool | None = True, policy: Any = None, **given: Any) -> Version:
    """Register a version; `passed` None: without a report."""
    config = {"model_type": "forecast", "features": ["t"], "target": "load", "algorithm": "lgbm"}
    content = given.pop("content", f"{next(_CONTENTS)}".encode())
    commit = given.pop("git_commit", None)
    digest = registry.artifacts.put(pack({"model.json": content}, Manifest(kind="forecast/1", name=MODEL)))
    arguments: dict[str, Any] = {
        "status": "rejected" if passed is False else "candidate",
        "actor": "ann",
        "now": NOW,
        "report": None if passed is None else {"passed": passed},
        "spec": None if policy is None else {"policy": policy},
        **given,
    }
    data = {"sha256": "0" * 64, "rows": 10}
    lineage = collect(config, data, requested_by="ann", now=NOW, git=(commit, None))
    return registry.register_version(arguments.pop("model", MODEL), digest, lineage, **arguments)


def somebody(name: str, role: Role = Role.APPROVER, tenant: str = "default") -> Identity:
    return Identity(tenant=tenant, principal=name, role=role, scopes=frozenset(), source="test")


def order(registry: Registry, version: str | int, environment: str = "production", **given: Any) -> Outcome:
    """Order a deployment, by bob where nobody else is named, in a transaction of its own."""
    now = given.pop("now", NOW)
    arguments: dict[str, Any] = {"model": MODEL, "actor": "bob", "reason": "better", **given}
    wanted = DeployOrder(version=version, environment=environment, **arguments)
    with write(registry.engine, tenant=registry.tenant) as connection:
        return deploy(connection, registry, wanted, now)


def decide(
    registry: Registry, uid: str, who: str = "carol", word: str = "approve", **given: Any
) -> tuple[Approval, Outcome | None]:
    role = given.pop("role", Role.APPROVER)
    arguments: dict[str, Any] = {"reason": "looked at it", "now": NOW, **given}
    with write(registry.engine, tenant=registry.tenant) as connection:
        return deployments.decide(
            connection,
            registry,
            uid,
            identity=somebody(who, role, registry.tenant),
            decision=word,
            **arguments,
        )


def roll_back(registry: Registry, target: str | int | None = None, **given: Any) -> Deployment:
    arguments: dict[str, Any] = {"model": MODEL, "actor": "bob", "reason": "worse", **given}
    now = arguments.pop("now", NOW)
    with write(registry.engine, tenant=registry.tenant) as connection:
        return deployments.rollback(connection, registry, RollbackOrder(target=target, **arguments), now)


def into_production(registry: Registry, version: int, **given: Any) -> Deployment:
    """Staging, request, approval, deployment."""
    order(registry, version, "staging", **given)
    asked = order(registry, version, **given).approval
    assert asked is not None
    _, outcome = decide(registry, asked.uid, now=given.get("now", NOW))
    assert outcome is not None
    assert outcome.deployment is not None
    return outcome.deployment


def actions(registry: Registry) -> list[str]:
    with read(registry.engine, tenant=registry.tenant) as connection:
        return list(connection.scalars(sa.select(audit.c.action).order_by(audit.c.id)))
