"""Jobs for tests of the engine: who asks, what is asked, and a hub on a database that is there."""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aihub.delivery import jobs
from aihub.hub import opened
from aihub.settings import Settings
from aihub.store.audit import AuditLog
from aihub.store.engine import EVERY_TENANT, read, write
from aihub.types import Identity, Role

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy.engine import Engine

    from aihub.hub import Hub

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


@contextmanager
def hub_on(engine: Engine, home: Path) -> Iterator[Hub]:
    """A hub on a database that a fixture has made."""
    settings = Settings(
        home=home,
        database_url=engine.url.render_as_string(hide_password=False).replace("+psycopg", ""),
        mlflow_tracking_uri="off",
    )
    with opened(settings) as hub:
        yield hub


def wait_for(condition: Callable[[], object], *, within_s: float = 30.0) -> None:
    """Wait until something is so; fail where it does not come about."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s} s: {condition}"
        time.sleep(0.02)


def job(engine: Engine, uid: str, tenant: str = "default") -> jobs.Job:
    with read(engine, tenant=tenant) as connection:
        return jobs.get(connection, uid, tenant=tenant)
