"""Put a version into service through the registry, and tell those who want to know. Functions never commit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aihub.registry.records import Action
from aihub.store import outbox

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from aihub.registry.promotion import Order
    from aihub.registry.records import Deployment
    from aihub.registry.registry import Registry


def activate(
    connection: Connection, registry: Registry, model: str, reference: str | int | None, order: Order
) -> Deployment:
    """Carry out `order` as `Registry.activate_in` does, and write the notice ``notify.model.deployed`` or its opposite.

    Idempotent: what changes nothing tells nothing again.

    Raises
    ------
    NotFoundError, ConflictError, ArtifactError
        As `Registry.deploy` and `Registry.rollback`.
    """
    done = registry.activate_in(connection, model, reference, order)
    event = "model.deployed" if done.action is Action.DEPLOY else "model.rolled_back"
    payload = {
        "model": done.model,
        "environment": done.environment,
        "version": done.version,
        "semantic": str(done.semantic),
        "digest": done.digest,
        "sequence": done.sequence,
        "by": done.actor,
        "reason": done.reason,
        "evidence": dict(done.evidence),
    }
    tell(connection, registry, event, key=done.uid, payload=payload, now=done.started_at)
    return done


def tell(
    connection: Connection,
    registry: Registry,
    event: str,
    *,
    key: str,
    payload: Mapping[str, Any],
    now: datetime,
) -> None:
    """Ask for a notice; once for the same event and key."""
    outbox.put(connection, tenant=registry.tenant, topic=f"notify.{event}", key=key, payload=payload, now=now)
