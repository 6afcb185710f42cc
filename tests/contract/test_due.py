"""What time brings, and whole operations, on both databases."""

from __future__ import annotations

from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from aihub.delivery import deployments, due, operations, rollouts
from aihub.delivery.orders import DeployOrder, RollbackOrder
from aihub.delivery.strategy import Live, Promote, Stay, StepUp, Stop
from aihub.errors import ArtifactError, ConflictError, NotFoundError
from aihub.store.engine import read, write
from aihub.types import Role
from orders import MODEL, NOW, actions, decide, order, register, registry_on, somebody

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.engine import Engine

    from aihub.delivery.rollouts import RolloutRecord
    from aihub.registry.registry import Registry

GOOD = Live(requests=1000, observations=100, error=1.0)
WORSE = Live(requests=1000, observations=100, error=1.5)
ONE_WORD = {"production": {"approval": {"approvers": 1}}}


@pytest.fixture
def registry(database: Engine, tmp_path: Path) -> Registry:
    return registry_on(database, tmp_path)


def champion(registry: Registry) -> int:
    found = registry.champion(MODEL)
    return 0 if found is None else found.number


def granted(registry: Registry, version: int, **given: Any) -> None:
    asked = order(registry, version, **given).approval
    assert asked is not None
    decide(registry, asked.uid)


def in_one(registry: Registry, work: Any, *given: Any, **named: Any) -> Any:
    """Do something in a transaction of its own."""
    with write(registry.engine, tenant=registry.tenant) as connection:
        return work(connection, registry, *given, **named)


def roll_back(registry: Registry, back: RollbackOrder, now: datetime, **given: Any) -> Any:
    """Roll back as the API does: the target is tried out before the transaction."""
    return in_one(registry, deployments.rollback, operations.pinned(registry, back, **given), now)


def run(registry: Registry, now: datetime) -> None:
    hub: Any = SimpleNamespace(engine=registry.engine, registry_of=lambda _tenant, _source: registry)
    due.run_due(hub, now)


def test_a_granted_request_is_carried_out_once_when_its_freeze_is_over(registry: Registry) -> None:
    freeze = [{"weekdays": ["wed", "thu"], "reason": "billing"}]
    register(registry, policy={"environments": ONE_WORD, "freeze": freeze})
    granted(registry, 1)
    run(registry, NOW + timedelta(hours=12))
    assert champion(registry) == 0
    for _ in range(2):
        run(registry, NOW + timedelta(hours=36))
    assert champion(registry) == 1
    assert actions(registry).count("model.deployed") == 1


def test_a_word_that_was_given_too_long_ago_does_not_count_and_nobody_is_asked_by_itself(
    registry: Registry,
) -> None:
    freeze = [{"start": "2026-11-25", "end": "2026-12-24"}]
    register(registry, policy={"environments": ONE_WORD, "freeze": freeze})
    granted(registry, 1)
    run(registry, NOW + timedelta(days=30))
    assert champion(registry) == 0
    assert actions(registry).count("approval.requested") == 1
    (outcome,) = due.carry_out_due(registry, NOW + timedelta(days=30))
    assert "does not hold any more" in outcome.reason


def test_requests_that_nobody_decided_on_lapse(registry: Registry) -> None:
    register(registry, policy={"environments": ONE_WORD})
    order(registry, 1)
    for _ in range(2):
        run(registry, NOW + timedelta(hours=73))
    assert actions(registry)[-2:] == ["approval.requested", "approval.expired"]


def canary(registry: Registry, **policy: Any) -> None:
    register(registry)
    order(registry, 1, override=True, role=Role.ADMIN)
    register(
        registry,
        policy={
            "environments": ONE_WORD,
            "strategy": {"kind": "canary", "steps": [{"share": 0.2}]},
            **policy,
        },
    )
    granted(registry, 2)


@pytest.mark.parametrize(
    ("newcomer", "kind", "serving"), [(GOOD, Promote, 2), (WORSE, Stop, 1), (Live(), Stay, 1)]
)
def test_a_rollout_goes_on_as_its_numbers_say(
    registry: Registry, newcomer: Live, kind: type, serving: int
) -> None:
    canary(registry)
    later = NOW + timedelta(hours=2)
    ((rollout, decision),) = due.advance_due(registry, later, lambda _rollout, _now: (GOOD, newcomer))
    assert (rollout.version, type(decision)) == (2, kind)
    assert champion(registry) == serving
    assert len(due.advance_due(registry, later, lambda _rollout, _now: (GOOD, GOOD))) == (kind is Stay)


def test_in_a_freeze_a_rollout_stays_but_may_be_stopped(registry: Registry) -> None:
    canary(registry, freeze=[{"weekdays": ["thu"]}])
    frozen = NOW + timedelta(hours=13)
    with read(registry.engine, tenant="default") as connection:
        (running,) = rollouts.all_active(connection)
    ((_, decision),) = due.advance_due(registry, frozen, lambda _rollout, _now: (GOOD, GOOD))
    assert isinstance(decision, Stay)
    with pytest.raises(ConflictError, match="frozen until"):
        in_one(registry, rollouts.promote, running.uid, actor="dora", reason="looks good", now=frozen)
    ((_, decision),) = due.advance_due(registry, frozen, lambda _rollout, _now: (GOOD, WORSE))
    assert isinstance(decision, Stop)


def test_a_rollout_whose_champion_has_gone_ends(registry: Registry) -> None:
    canary(registry)
    with read(registry.engine, tenant="default") as connection:
        (running,) = rollouts.all_active(connection)
    # Past the hub's own functions, as somebody with `Registry.deploy` in a script would.
    register(registry)
    registry.deploy(MODEL, 3, actor="eve", reason="script", now=NOW)
    later = NOW + timedelta(hours=2)
    ((_, decision),) = due.advance_due(registry, later, lambda _rollout, _now: (GOOD, GOOD))
    assert isinstance(decision, Stop)
    assert champion(registry) == 3
    with pytest.raises(ConflictError, match="stopped already"):
        in_one(registry, rollouts.stop, running.uid, actor="dora", reason="again", now=later)


def test_a_newcomer_whose_artefact_is_gone_ends_its_rollout_and_holds_up_nobody(registry: Registry) -> None:
    canary(registry)
    found = registry.version(MODEL, 2)
    registry.artifacts.path(found.digest).unlink()
    later = NOW + timedelta(hours=2)
    ((_, decision),) = due.advance_due(registry, later, lambda _rollout, _now: (GOOD, GOOD))
    assert isinstance(decision, Stop)
    assert champion(registry) == 1


@pytest.mark.parametrize("fault", [NotFoundError("version", "7"), KeyError("nobody has thought of it")])
def test_a_fault_of_one_tenant_keeps_no_other_from_its_turn(registry: Registry, fault: Exception) -> None:
    canary(registry)
    theirs = registry_on(registry.engine, registry.artifacts.root.parent, "zeta")
    register(theirs, policy={"environments": ONE_WORD})
    order(theirs, 1)
    hub: Any = SimpleNamespace(
        engine=registry.engine, registry_of=lambda tenant, _source: theirs if tenant == "zeta" else registry
    )

    def live(_rollout: RolloutRecord, _now: datetime) -> tuple[Live, Live]:
        raise fault

    with pytest.raises(type(fault)):
        due.run_due(hub, NOW + timedelta(days=30), live)
    assert "approval.expired" in actions(theirs)


def test_a_step_that_somebody_else_took_is_not_taken_twice(registry: Registry) -> None:
    register(registry)
    order(registry, 1, override=True, role=Role.ADMIN)
    register(registry, policy={"environments": ONE_WORD, "strategy": {"kind": "canary"}})
    granted(registry, 2)
    later = NOW + timedelta(hours=2)

    def live(rollout: RolloutRecord, now: datetime) -> tuple[Live, Live]:
        with registry.engine.connect():
            if rollout.progress.position == 0:
                inner = due.advance_due(registry, now, lambda _rollout, _now: (GOOD, GOOD))
                assert isinstance(inner[0][1], StepUp)
        return GOOD, GOOD

    ((_, decision),) = due.advance_due(registry, later, live)
    assert isinstance(decision, Stay)
    with read(registry.engine, tenant="default") as connection:
        (running,) = rollouts.all_active(connection)
    assert running.progress.share == 0.25


def test_whole_operations_decide_on_what_serves_at_their_start(registry: Registry) -> None:
    for _ in range(2):
        register(registry)
    admin: dict[str, Any] = {
        "model": MODEL, "actor": "root", "role": Role.ADMIN, "reason": "first", "override": True,
    }  # fmt: skip
    for version in (1, 2):
        assert (
            in_one(registry, deployments.deploy, DeployOrder(version=version, **admin), NOW).state
            == "deployed"
        )
    back = RollbackOrder(model=MODEL, actor="bob", reason="worse", key="once")
    done = roll_back(registry, back, NOW)
    assert done.version == 1
    assert roll_back(registry, back, NOW) == done
    with pytest.raises(ConflictError, match="no earlier good version"):
        roll_back(registry, RollbackOrder(model=MODEL, actor="bob", reason="worse"), NOW)
    with pytest.raises(NotFoundError, match="Did you mean 'load'"):
        roll_back(registry, RollbackOrder(model="lod", actor="bob", reason="worse"), NOW)
    register(registry, policy={"environments": ONE_WORD})
    asked = in_one(
        registry, deployments.deploy, DeployOrder(model=MODEL, version=3, actor="bob", reason="better"), NOW
    ).approval
    assert asked is not None
    _, outcome = in_one(
        registry,
        deployments.decide,
        asked.uid,
        identity=somebody("carol"),
        decision="approve",
        reason="good",
        now=NOW,
    )
    assert outcome is not None
    assert outcome.state == "deployed"


def test_a_target_that_does_not_load_is_no_target(registry: Registry) -> None:
    first = register(registry)
    register(registry)
    for version in (1, 2):
        order(registry, version, override=True, role=Role.ADMIN)
    back = RollbackOrder(model=MODEL, actor="bob", reason="worse")
    path = registry.artifacts.path(first.digest)
    path.chmod(0o644)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.raises(ArtifactError):
        roll_back(registry, back, NOW)
    assert champion(registry) == 2
    warm = operations.LoadCheck(is_warm=lambda digest: digest == first.digest)
    with pytest.raises(ArtifactError):
        roll_back(registry, back, NOW, loads=warm)
    path.write_bytes(whole)
    assert roll_back(registry, back, NOW, loads=warm).version == 1
