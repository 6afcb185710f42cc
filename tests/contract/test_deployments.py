"""Deploying and rolling back on both databases."""

from __future__ import annotations

import threading
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from aihub.delivery import approvals, deployments
from aihub.delivery import jobs as job_actions
from aihub.delivery.orders import DeployOrder
from aihub.errors import ConflictError, ForbiddenError, InputError, NotFoundError
from aihub.store.access_tables import audit
from aihub.store.approvals import attach_job
from aihub.store.engine import read, write
from aihub.store.job_tables import jobs
from aihub.store.tables import outbox
from aihub.types import Role
from orders import (
    FREE,
    MODEL,
    NOW,
    actions,
    decide,
    into_production,
    order,
    register,
    registry_on,
    roll_back,
    somebody,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy.engine import Engine

    from aihub.registry.registry import Registry


@pytest.fixture
def registry(database: Engine, tmp_path: Path) -> Registry:
    return registry_on(database, tmp_path)


def notices(registry: Registry) -> list[str]:
    with read(registry.engine, tenant=registry.tenant) as connection:
        found = sa.select(outbox.c.topic).where(outbox.c.topic.startswith("notify.")).order_by(outbox.c.id)
        return [topic.removeprefix("notify.") for topic in connection.scalars(found)]


def test_the_usual_way_is_staging_then_a_word_then_production(registry: Registry) -> None:
    version = register(registry)
    assert order(registry, 1).state == "held"
    assert order(registry, 1, "staging").state == "deployed"
    waiting = order(registry, 1)
    assert waiting.state == "waiting"
    assert waiting.approval is not None
    assert (waiting.approval.artifact_digest, waiting.approval.report_digest) == (
        version.digest,
        version.report_digest,
    )
    again = order(registry, 1)
    assert again.approval is not None
    assert again.approval.uid == waiting.approval.uid
    approval, outcome = decide(registry, waiting.approval.uid)
    assert approval.state == "approved"
    assert outcome is not None
    assert outcome.deployment is not None
    assert outcome.deployment.evidence == {"approval": approval.uid, "approved_by": ["carol"]}
    assert outcome.deployment.actor == "bob"
    serving = registry.champion(MODEL)
    assert serving is not None
    assert serving.uid == version.uid
    assert actions(registry) == [
        "version.registered",
        "model.deployed",
        "approval.requested",
        "approval.decided",
        "model.deployed",
    ]
    assert notices(registry) == [
        "model.deployed",
        "approval.requested",
        "approval.approved",
        "model.deployed",
    ]


@pytest.mark.parametrize("passed", [False, None])
def test_without_a_gate_that_passed_only_an_admin_deploys_and_that_is_written_down(
    registry: Registry, *, passed: bool | None
) -> None:
    register(registry, passed=passed)
    refused = order(registry, 1, "staging")
    assert refused.state == "refused"
    with pytest.raises(ConflictError, match="gate"):
        refused.require()
    with pytest.raises(ForbiddenError, match="no admin"):
        order(registry, 1, override=True, role=Role.DEPLOYER)
    done = order(registry, 1, override=True, role=Role.ADMIN, actor="root", reason="the demo wants it")
    assert done.deployment is not None
    assert done.deployment.evidence["override"] is True
    assert "gate" in done.deployment.evidence["passed_over"]
    with read(registry.engine, tenant="default") as connection:
        event = connection.execute(sa.select(audit).order_by(audit.c.id.desc()).limit(1)).mappings().one()
    assert (event["action"], event["actor"], event["after"]["override"]) == ("model.deployed", "root", True)


def test_what_was_taken_back_from_staging_does_not_go_to_production(registry: Registry) -> None:
    register(registry)
    register(registry)
    order(registry, 1, "staging")
    order(registry, 2, "staging")
    roll_back(registry, environment="staging")
    assert order(registry, 2).state == "held"
    assert order(registry, 1).state == "waiting"


@pytest.mark.parametrize("who", ["ann", "bob", "BOB "])
def test_who_made_or_asked_for_it_does_not_decide(registry: Registry, who: str) -> None:
    register(registry)
    order(registry, 1, "staging")
    asked = order(registry, 1).approval
    assert asked is not None
    for word in ("approve", "reject"):
        with pytest.raises(ForbiddenError, match="two people"):
            decide(registry, asked.uid, who, word, role=Role.ADMIN)
    for role in (Role.VIEWER, Role.TRAINER, Role.DEPLOYER):
        with pytest.raises(ForbiddenError, match="role approver"):
            decide(registry, asked.uid, role=role)


def test_two_approvers_are_two_people(registry: Registry) -> None:
    register(registry, policy={"environments": {"production": {"approval": {"approvers": 2}}}})
    asked = order(registry, 1).approval
    assert asked is not None
    first, outcome = decide(registry, asked.uid)
    assert (first.state, outcome) == ("pending", None)
    with pytest.raises(ConflictError, match="decided on"):
        decide(registry, asked.uid, "Carol")
    second, outcome = decide(registry, asked.uid, "dave", role=Role.ADMIN)
    assert second.state == "approved"
    assert outcome is not None
    assert outcome.state == "deployed"
    with pytest.raises(ConflictError, match="approved already"):
        decide(registry, asked.uid, "erin")


def test_one_no_is_enough_and_late_or_other_decisions_are_refused(registry: Registry) -> None:
    register(registry)
    order(registry, 1, "staging")
    asked = order(registry, 1).approval
    assert asked is not None
    with pytest.raises(ConflictError, match="is about artefact"):
        decide(registry, asked.uid, digest="0" * 64)
    with pytest.raises(InputError, match="reason"):
        decide(registry, asked.uid, reason=" ")
    with pytest.raises(InputError, match="'approve' or 'reject'"):
        decide(registry, asked.uid, word="maybe")
    with pytest.raises(ConflictError, match="expired"):
        decide(registry, asked.uid, now=NOW + timedelta(hours=72))
    with pytest.raises(NotFoundError):
        decide(registry, "apr_unknown")
    done, outcome = decide(registry, asked.uid, word="reject", digest=asked.artifact_digest)
    assert (done.state, outcome, registry.champion(MODEL)) == ("rejected", None, None)
    with pytest.raises(ConflictError, match="rejected already by 'carol'"):
        decide(registry, asked.uid, "dave")


def test_a_word_holds_for_the_champion_that_it_was_given_on(registry: Registry) -> None:
    register(registry)
    register(registry)
    into_production(registry, 1)
    order(registry, 2, "staging")
    asked = order(registry, 2).approval
    assert asked is not None
    register(registry)
    order(registry, 3, override=True, role=Role.ADMIN)
    with pytest.raises(ConflictError, match="look again"):
        decide(registry, asked.uid)
    anew = order(registry, 2).approval
    assert anew is not None
    assert anew.uid != asked.uid
    decide(registry, anew.uid)
    serving = registry.champion(MODEL)
    assert serving is not None
    assert serving.number == 2


def test_requests_lapse_and_their_jobs_are_woken(registry: Registry) -> None:
    register(registry)
    order(registry, 1, "staging")
    job_id = waiting_job(registry)
    asked = order(registry, 1, job_id=job_id, key="job:production").approval
    assert asked is not None
    late = NOW + timedelta(hours=72)
    with write(registry.engine, tenant="default") as connection:
        assert approvals.expire_due(connection, tenant="default", now=NOW, audit=registry.audit) == []
        (done,) = approvals.expire_due(connection, tenant="default", now=late, audit=registry.audit)
        assert (done.uid, done.state) == (asked.uid, "expired")
        state = connection.execute(sa.select(jobs.c.state, jobs.c.step)).one()
        assert tuple(state) == ("queued", "deploy")
    refused = order(registry, 1, job_id=job_id, key="job:production", now=late)
    assert refused.state == "refused"
    assert "expired" in refused.reason


def waiting_job(registry: Registry) -> int:
    row = {
        "tenant_id": registry.tenant, "uid": "job_1", "kind": "train", "queue": "default", "priority": 5,
        "state": "waiting", "payload": {}, "submitted_by": "trainer", "created_at": NOW, "run_after": NOW,
    }  # fmt: skip
    with write(registry.engine, tenant=registry.tenant) as connection:
        connection.execute(sa.insert(jobs).values(**row))
        found: int = connection.execute(sa.select(jobs.c.id)).scalar_one()
        return found


def test_the_submitter_of_a_job_does_not_decide_and_the_word_puts_the_job_back_into_its_queue(
    registry: Registry,
) -> None:
    register(registry)
    order(registry, 1, "staging")
    job_id = waiting_job(registry)
    again: dict[str, Any] = {"job_id": job_id, "key": "job_1:production", "actor": "hub"}
    asked = order(registry, 1, **again).approval
    assert asked is not None
    assert asked.job == "job_1"
    with pytest.raises(ForbiddenError, match="two people"):
        decide(registry, asked.uid, "trainer")
    evidence = {"github": {"environment": "production", "run_id": 1}}
    done, outcome = decide(registry, asked.uid, evidence=evidence)
    assert (done.state, outcome, registry.champion(MODEL)) == ("approved", None, None)
    assert done.votes[0].evidence == evidence
    with read(registry.engine, tenant="default") as connection:
        assert connection.scalar(sa.select(jobs.c.state)) == "queued"
    first = order(registry, 1, **again)
    assert first.state == "deployed"
    assert order(registry, 1, **again).deployment == first.deployment
    assert actions(registry).count("model.deployed") == 2


def test_a_job_that_was_turned_down_is_told_so_and_asks_no_more(registry: Registry) -> None:
    register(registry)
    order(registry, 1, "staging")
    again: dict[str, Any] = {"job_id": waiting_job(registry), "key": "job_1:production"}
    asked = order(registry, 1, **again).approval
    assert asked is not None
    decide(registry, asked.uid, word="reject", reason="holidays are wrong")
    refused = order(registry, 1, **again)
    assert refused.state == "refused"
    assert "holidays are wrong (carol)" in refused.reason
    stale = order(registry, 1, **again, expected_sequence=7)
    assert stale.state == "refused"
    assert "look again" in stale.reason


def cancel(registry: Registry) -> job_actions.Job:
    with write(registry.engine, tenant=registry.tenant) as connection:
        return job_actions.cancel(
            connection, "job_1", identity=somebody("trainer"), now=NOW, audit=registry.audit
        )


def test_a_cancelled_job_asks_for_nothing_any_more(registry: Registry) -> None:
    register(registry)
    order(registry, 1, "staging")
    asked = order(registry, 1, job_id=waiting_job(registry), key="job_1:production").approval
    assert asked is not None
    assert [cancel(registry).state for _ in range(2)] == ["cancelled", "cancelled"]
    with pytest.raises(ConflictError, match="withdrawn already"):
        decide(registry, asked.uid)
    assert actions(registry)[-2:] == ["approval.withdrawn", "job.cancelled"]


def test_of_a_decision_and_a_cancellation_at_once_neither_waits_for_the_other(registry: Registry) -> None:
    register(registry)
    order(registry, 1, "staging")
    job_id = waiting_job(registry)
    for number in range(8):
        with write(registry.engine, tenant="default") as connection:
            connection.execute(sa.update(jobs).values(state="waiting", cancel_requested_at=None))
        # A new key a round: the last round's word was about another request.
        asked = order(registry, 1, job_id=None, key=f"round {number}").approval
        assert asked is not None
        with write(registry.engine, tenant="default") as connection:
            attach_job(connection, approval_id=asked.id, job_id=job_id)
        uid, faults, start = asked.uid, [], threading.Barrier(3)

        def run(what: Callable[[], object], start: threading.Barrier, faults: list[Exception]) -> None:
            start.wait()
            try:
                what()
            except ConflictError:
                pass
            except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
                faults.append(error)

        calls = (partial(decide, registry, uid, word="reject"), *[partial(cancel, registry)] * 2)
        threads = [threading.Thread(target=run, args=(call, start, faults)) for call in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert faults == []
        with read(registry.engine, tenant="default") as connection:
            state = connection.scalar(sa.select(jobs.c.state))
            assert approvals.get(connection, uid, tenant="default").state in ("rejected", "withdrawn")
        assert state == "cancelled"


def test_a_rollback_goes_to_the_last_good_one_and_says_why_not(registry: Registry) -> None:
    for number in (1, 2):
        register(registry)
        into_production(registry, number)
    bad = register(registry, passed=False)
    order(registry, 3, override=True, role=Role.ADMIN)
    done = roll_back(registry, key="k1", evidence={"rule": "mae"})
    assert (done.version, done.evidence) == (2, {"rule": "mae"})
    assert roll_back(registry, key="k1") == done
    for target, reason in ((2, "is the champion"), (bad.number, "rejected"), ("v9.9.9", "no version")):
        with pytest.raises((ConflictError, NotFoundError), match=reason):
            roll_back(registry, target)
    register(registry)
    with pytest.raises(ConflictError, match="never deployed"):
        roll_back(registry, 4)
    assert roll_back(registry).version == 1
    with pytest.raises(ConflictError, match="no earlier good version"):
        roll_back(registry)


def test_a_freeze_holds_deployments_and_no_rollback(registry: Registry) -> None:
    freeze = {"freeze": [{"weekdays": ["wed"], "reason": "billing"}]}
    register(registry)
    into_production(registry, 1)
    register(registry)
    into_production(registry, 2)
    register(registry, policy=freeze)
    held = order(registry, 3, "staging")
    assert held.state == "held"
    assert held.until == NOW + timedelta(hours=12)
    assert roll_back(registry).version == 1


def test_in_a_freeze_a_word_is_kept_until_its_end(registry: Registry) -> None:
    freeze = [{"weekdays": ["wed"], "from": "12:00", "reason": "billing"}]
    register(
        registry, policy={"environments": {"production": {"approval": {"approvers": 1}, "freeze": freeze}}}
    )
    asked = order(registry, 1).approval
    assert asked is not None
    approval, outcome = decide(registry, asked.uid)
    assert approval.state == "approved"
    assert outcome is not None
    assert outcome.state == "held"
    with write(registry.engine, tenant="default") as connection:
        later = deployments.carry_out(connection, registry, approval, NOW + timedelta(hours=12))
    assert later.state == "deployed"


@pytest.mark.parametrize("what", ["deploy", "rollback", "decide"])
def test_of_two_that_race_one_wins(registry: Registry, what: str) -> None:
    for number in (1, 2, 3):
        register(registry, policy=FREE)
        order(registry, number, override=True, role=Role.ADMIN)
    register(registry, policy=FREE)
    register(registry, policy=FREE)
    with read(registry.engine, tenant="default") as connection:
        before = deployments.seen(connection, registry, MODEL)
    asked = [order(registry, number).approval for number in (4, 5)]
    barrier = threading.Barrier(2)
    results: list[object] = []

    def run(index: int) -> None:
        barrier.wait()
        try:
            if what == "deploy":
                outcome: object = order(
                    registry, 4 + index, override=True, role=Role.ADMIN, expected_sequence=before
                )
            elif what == "rollback":
                outcome = roll_back(registry, expected_sequence=before)
            else:
                found = asked[index]
                assert found is not None
                outcome = decide(registry, found.uid)
            results.append(outcome)
        except ConflictError as error:
            results.append(error)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = [result for result in results if isinstance(result, ConflictError)]
    assert len(results) == 2
    assert len(refused) == 1
    assert "look again and decide anew" in str(refused[0])
    serving = registry.serving(MODEL)
    assert serving is not None
    assert serving.sequence == before + 1


def test_another_tenant_sees_and_changes_nothing(registry: Registry, tmp_path: Path) -> None:
    register(registry)
    order(registry, 1, "staging")
    asked = order(registry, 1).approval
    assert asked is not None
    other = registry_on(registry.engine, tmp_path, "other")
    with pytest.raises(NotFoundError):
        decide(other, asked.uid)
    with pytest.raises(NotFoundError):
        order(other, 1)
    with read(registry.engine, tenant="other") as connection:
        assert approvals.list_page(connection, tenant="other") == []


def test_requests_come_in_pages(registry: Registry) -> None:
    for number in (1, 2, 3):
        register(registry)
        order(registry, number, "staging")
        order(registry, number)
    with read(registry.engine, tenant="default") as connection:
        first = approvals.list_page(connection, tenant="default", limit=2)
        rest = approvals.list_page(connection, tenant="default", limit=2, before=first[-1].id)
        assert [found.version for found in (*first, *rest)] == [3, 2, 1]
        assert approvals.list_page(connection, tenant="default", state="approved") == []
        assert len(approvals.list_page(connection, tenant="default", model=MODEL)) == 3
        assert approvals.list_page(connection, tenant="default", model="other") == []


def test_an_order_needs_a_reason_an_environment_and_a_model(registry: Registry) -> None:
    register(registry)
    with pytest.raises(InputError, match="reason"):
        order(registry, 1, reason=" ")
    with pytest.raises(InputError, match="Did you mean 'staging'"):
        order(registry, 1, "stagin")
    with (
        pytest.raises(NotFoundError, match="Did you mean 'load'"),
        write(registry.engine, tenant="default") as connection,
    ):
        deployments.deploy(
            connection, registry, DeployOrder(model="lod", version=1, actor="bob", reason="x"), NOW
        )


def test_the_same_key_is_the_same_order(registry: Registry) -> None:
    register(registry)
    register(registry)
    done = order(registry, 1, "staging", key="k")
    order(registry, 2, "staging")
    assert order(registry, 1, "staging", key="k").deployment is not None
    assert actions(registry).count("model.deployed") == 2
    assert done.state == "deployed"
    with pytest.raises(ConflictError, match="'k'"):
        order(registry, 2, "staging", key="k")
