"""Canary and shadow on both databases."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from aihub.delivery import rollouts
from aihub.delivery.strategy import Promote, StepUp
from aihub.errors import ConflictError
from aihub.store.engine import read, write
from aihub.types import Role
from orders import FREE, MODEL, NOW, actions, decide, order, register, registry_on, roll_back

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.engine import Engine

    from aihub.registry.registry import Registry


@pytest.fixture
def registry(database: Engine, tmp_path: Path) -> Registry:
    return registry_on(database, tmp_path)


CANARY = {
    "environments": {"production": {"approval": {"approvers": 1}}},
    "strategy": {"kind": "canary", "steps": [{"share": 0.1}, {"share": 0.5}]},
}


def start_canary(registry: Registry) -> str:
    register(registry, policy=FREE)
    order(registry, 1, override=True, role=Role.ADMIN)
    register(registry, policy=CANARY)
    asked = order(registry, 2).approval
    assert asked is not None
    _, outcome = decide(registry, asked.uid)
    assert outcome is not None
    assert outcome.state == "rolling_out"
    assert outcome.rollout is not None
    assert outcome.rollout.progress.share == 0.1
    return outcome.rollout.uid


def test_a_canary_goes_up_and_becomes_champion(registry: Registry) -> None:
    uid = start_canary(registry)
    assert order(registry, 2).state == "rolling_out"
    register(registry, policy=FREE)
    asked = order(registry, 3).approval
    assert asked is not None
    with pytest.raises(ConflictError, match="is under way"):
        decide(registry, asked.uid)
    up = StepUp(1, 0.5, "as good", {"error_ratio": 1.0})
    with write(registry.engine, tenant="default") as connection:
        assert rollouts.apply(connection, registry, uid, up, actor="hub", now=NOW).progress.share == 0.5
    with (
        pytest.raises(ConflictError, match="meanwhile"),
        write(registry.engine, tenant="default") as connection,
    ):
        rollouts.apply(connection, registry, uid, up, actor="hub", now=NOW)
    with write(registry.engine, tenant="default") as connection:
        done = rollouts.apply(connection, registry, uid, Promote("as good"), actor="hub", now=NOW)
    assert done.state == "promoted"
    serving = registry.serving(MODEL)
    assert serving is not None
    assert serving.version == 2
    assert serving.evidence["rollout"] == uid
    assert serving.evidence["approved_by"] == ["carol"]
    assert actions(registry)[-3:] == ["rollout.stepped", "rollout.promoted", "model.deployed"]


def test_a_stopped_canary_does_not_come_back_by_the_same_word(registry: Registry) -> None:
    uid = start_canary(registry)
    with write(registry.engine, tenant="default") as connection:
        rollouts.stop(connection, registry, uid, actor="hub", reason="error 1.4 times", now=NOW)
    assert order(registry, 2, now=NOW + timedelta(minutes=1)).state == "waiting"
    serving = registry.champion(MODEL)
    assert serving is not None
    assert serving.number == 1


def test_a_rollback_ends_the_rollout_beside_it(registry: Registry) -> None:
    register(registry, policy=FREE, content=b"zero")
    order(registry, 1, override=True, role=Role.ADMIN)
    register(registry, policy=FREE)
    order(registry, 2, override=True, role=Role.ADMIN)
    register(registry, policy=CANARY)
    asked = order(registry, 3).approval
    assert asked is not None
    decide(registry, asked.uid)
    assert roll_back(registry).version == 1
    with read(registry.engine, tenant="default") as connection:
        assert rollouts.all_active(connection) == []


def test_the_same_rollback_again_leaves_a_rollout_that_began_since(registry: Registry) -> None:
    register(registry, policy=FREE, content=b"zero")
    order(registry, 1, override=True, role=Role.ADMIN)
    register(registry, policy=FREE)
    order(registry, 2, override=True, role=Role.ADMIN)
    first = roll_back(registry, key="incident-7")
    register(registry, policy=CANARY)
    asked = order(registry, 3).approval
    assert asked is not None
    decide(registry, asked.uid)
    assert roll_back(registry, key="incident-7") == first
    with read(registry.engine, tenant="default") as connection:
        assert len(rollouts.all_active(connection)) == 1
