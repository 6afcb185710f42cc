from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.monitoring.predictions import PredictionBatch, PredictionIds
from aihub.serving.retention import forget_old

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
