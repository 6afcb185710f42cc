"""What the watch does where something of it is refused, on both databases."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from aihub.delivery import watch
from aihub.delivery.watch_actions import Actions
from aihub.monitoring.rules import Decision
from aihub.monitoring.watch_policy import Action
from aihub.registry.artifacts import Manifest, pack
from aihub.registry.lineage import Lineage
from aihub.store import tenants
from aihub.store.engine import write
from aihub.types import Role
from deliveries import AUDIT, enqueue, hub_on
from orders import MODEL, NOW, order, register

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy.engine import Engine

    from aihub.hub import Hub


@pytest.fixture
def hub(database: Engine, tmp_path: Path) -> Iterator[Hub]:
    with hub_on(database, tmp_path / "home") as opened:
        for number in (1, 2):
            register(opened.registry_of("default"))
            order(opened.registry_of("default"), number, override=True, role=Role.ADMIN)
        yield opened


def decision(action: Action, target: int | None = None) -> Decision:
    return Decision(
        action=action,
        rule=f"rule {action}",
        version=2,
        reason="mae 9",
        evidence={"value": 9.0},
        target=target,
    )


def carried_out(hub: Hub, *decisions: Decision) -> tuple[list[Action], list[str]]:
    champion = hub.registry_of("default").serving(MODEL)
    assert champion is not None
    with write(hub.engine, tenant="default") as connection:
        actions = Actions(connection=connection, hub=hub, tenant="default", champion=champion, now=NOW)
        done, notes = actions.carry_out(decisions)
    return [one.action for one in done], notes


def test_a_rollback_whose_target_is_damaged_calls_a_person_and_the_rest_is_done(hub: Hub) -> None:
    target = hub.registry_of("default").version(MODEL, 1)
    hub.artifacts.path(target.digest).unlink()
    done, notes = carried_out(hub, decision(Action.ROLLBACK, 1), decision(Action.ALERT))
    assert done == [Action.PAGE, Action.ALERT]
    assert "not done" in notes[0]
    serving = hub.registry_of("default").serving(MODEL)
    assert serving is not None
    assert serving.version == 2


def test_a_retraining_beyond_the_quota_does_not_take_the_rollback_back(hub: Hub) -> None:
    enqueue(hub.engine, "default", now=NOW - timedelta(hours=1))
    with write(hub.engine, tenant="*") as connection:
        tenants.ensure(connection, "default", actor="test", now=NOW, audit=AUDIT)
        tenants.change(
            connection, "default", actor="test", now=NOW, audit=AUDIT, rules={"max_jobs_per_day": 1}
        )
    done, notes = carried_out(hub, decision(Action.ROLLBACK, 1), decision(Action.RETRAIN))
    assert done == [Action.ROLLBACK]
    assert "may not submit more" in notes[0]
    serving = hub.registry_of("default").serving(MODEL)
    assert serving is not None
    assert serving.version == 1


def test_a_model_that_does_not_say_how_it_was_trained_is_not_trained_again(hub: Hub) -> None:
    registry = hub.registry_of("default")
    outside = Lineage(config={"target": "load"}, data={}, seed=None, requested_by="ann", created_at=NOW)
    digest = hub.artifacts.put(pack({"model.json": b"3"}, Manifest(kind="forecast/1", name=MODEL)))
    given = {"status": "candidate", "actor": "ann", "now": NOW, "report": {"passed": True}}
    registry.register_version(MODEL, digest, outside, **given)
    order(registry, 3, override=True, role=Role.ADMIN)
    done, notes = carried_out(hub, decision(Action.RETRAIN), decision(Action.ALERT))
    assert done == [Action.ALERT]
    assert "not done" in notes[0]


def test_a_fault_of_one_model_leaves_no_other_unwatched(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The models of all tenants are looked at one after the other."""
    for name in ("another", "zeta"):
        register(hub.registry_of("default"), model=name)
        order(hub.registry_of("default"), 1, model=name, override=True, role=Role.ADMIN)
    looked: list[str] = []

    def look(_: Hub, __: str, model: str, *___: Any, **____: Any) -> None:
        looked.append(model)
        if model == "another":
            raise KeyError("something that nobody has thought of")

    monkeypatch.setattr(watch, "evaluate_model", look)
    with pytest.raises(KeyError):
        watch.evaluate(hub, NOW)
    assert looked == sorted(["another", MODEL, "zeta"])
