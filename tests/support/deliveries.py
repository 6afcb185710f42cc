"""Jobs for tests of the engine: who asks, what is asked, and a hub on a database that is there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aihub.delivery import jobs
from aihub.store.audit import AuditLog
from aihub.store.engine import EVERY_TENANT, write
from aihub.types import Identity, Role

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

NOW = datetime(2026, 1, 1, tzinfo=UTC)
AUDIT = AuditLog(b"k" * 32)
GUIDE_CONFIG = {
    "model_type": "forecast",
    "algorithm": "lgbm",
    "hyperparameters": {"n_estimators": 100, "learning_rate": 0.1, "max_depth": 7},
    "training_start": "2024-01-01T00:00:00",
    "training_end": "2024-12-31T23:59:59",
    "features": ["temperature", "humidity"],
    "target": "load",
    "validation_split": 0.2,
}


def identity(tenant: str = "default", principal: str = "ann") -> Identity:
    return Identity(tenant=tenant, principal=principal, role=Role.TRAINER, scopes=frozenset({"jobs:write"}))


def request(**fields: Any) -> jobs.JobRequest:
    body = {"tenant_id": "ci-baseline", "model_type": "forecast", "config": GUIDE_CONFIG, "priority": "high"}
    return jobs.JobRequest.model_validate({**body, **fields})


def enqueue(database: Engine, tenant: str, count: int = 1, **fields: Any) -> list[jobs.Job]:
    with write(database, tenant=EVERY_TENANT) as connection:
        return [
            jobs.enqueue(
                connection,
                **{
                    "tenant": tenant,
                    "kind": "noop",
                    "payload": {},
                    "submitted_by": "ann",
                    "now": NOW,
                    **fields,
                },
            )
            for _ in range(count)
        ]
