from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa

from aihub.monitoring.predictions import PredictionBatch, PredictionIds
from aihub.serving.retention import forget_old
from aihub.store.engine import write
from aihub.store.tables import models, versions

if TYPE_CHECKING:
    from collections.abc import Callable

    from aihub.hub import Hub
    from aihub.registry.records import Version


def test_predictions_go_after_the_days_of_the_spec(
    hub: Hub, register: Callable[..., Version], deploy: Callable[..., Any]
) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    deploy(register(spec={"serving": {"log": {"keep_days": 10}}}))
    deploy(register(name="for-ever"))
    for name in ("load", "for-ever"):
        for days in (20, 5):
            made = now - timedelta(days=days)
            ids = PredictionIds().take(3, now_ms=int(made.timestamp() * 1000))
            batch = PredictionBatch(
                tenant="default", model=name, version=1, ids=ids, prediction=np.ones(3), features={}
            )
            hub.observations.ingest_predictions([batch])
    assert forget_old(hub.engine, hub.observations, now) == 1
    assert forget_old(hub.engine, hub.observations, now) == 0
    assert forget_old(hub.engine, hub.observations, now + timedelta(days=30)) == 1


def test_a_spec_that_cannot_be_read_keeps_no_other_from_being_tidied(
    hub: Hub, register: Callable[..., Version], deploy: Callable[..., Any]
) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    broken = {
        "a-first": {"serving": {"log": {"keep_days": "ten"}}},
        "b-second": {"serving": {"unknown": 7}},
        "c-third": [],
    }
    for name, spec in broken.items():
        deploy(register(name=name, spec={}))
        with write(hub.engine, tenant="default") as connection:
            made = sa.select(models.c.id).where(models.c.name == name).scalar_subquery()
            connection.execute(sa.update(versions).where(versions.c.model_id == made).values(spec=spec))
    deploy(register(name="d-last", spec={"serving": {"log": {"keep_days": 10}}}))
    ids = PredictionIds().take(3, now_ms=int((now - timedelta(days=20)).timestamp() * 1000))
    for name in (*broken, "d-last"):
        batch = PredictionBatch(
            tenant="default", model=name, version=1, ids=ids, prediction=np.ones(3), features={}
        )
        hub.observations.ingest_predictions([batch])
    assert forget_old(hub.engine, hub.observations, now) == 1
