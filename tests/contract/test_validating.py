"""A verdict on a version that is there already, on every database: what it changes, once, whatever dies in between."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from aihub.delivery import approvals, jobs
from aihub.delivery import validation_requests as requests
from aihub.delivery.jobs import JobState
from aihub.delivery.queue import Queue
from aihub.delivery.rollouts import active
from aihub.delivery.runs import Run
from aihub.delivery.validating import validate
from aihub.errors import ForbiddenError
from aihub.registry.records import Status
from aihub.registry.signing import load_signing, new_key
from aihub.registry.validations import list_page
from aihub.registry.versioning import digest_of
from aihub.store import models as model_rows
from aihub.store.engine import EVERY_TENANT, read, write
from aihub.store.job_tables import datasets
from aihub.store.tables import deployments, outbox, reports
from aihub.store.validation_tables import validations
from aihub.types import Identity, Role
from deliveries import hub_on, job
from hubs import beside
from orders import MODEL, NOW, actions, decide, into_production, order, register, somebody

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy.engine import Engine

    from aihub.hub import Hub
    from aihub.registry.records import Version

DATASET = "d" * 64


@pytest.fixture
def hub(database: Engine, tmp_path: Path) -> Iterator[Hub]:
    with hub_on(database, tmp_path / "home") as opened:
        yield opened


def ask(hub: Hub, version: Version, *, by: Identity | None = None, **fields: Any) -> jobs.Job:
    """Ask for a validation; the dataset's row is all that is looked at before a worker has it."""
    row = {"digest": DATASET, "name": "holdout.csv", "format": "csv", "size_bytes": 1, "rows": 1}
    row |= {"columns": ["t", "load"], "created_by": "ann", "created_at": NOW, "tenant_id": "default"}
    with write(hub.engine, tenant="default") as connection:
        model_rows.insert_unless_there(connection, datasets, row)
        return requests.submit(
            connection,
            requests.ValidationRequest.model_validate({"dataset_id": DATASET, **fields}),
            version,
            identity=by or somebody("ann", Role.TRAINER),
            now=NOW,
            audit=hub.audit,
        )


class Died(BaseException):
    """What `kill -9` is to a process; no `except` of ours is to see it."""


class Mortal(Run):
    """Dies within the transaction of a step, before its commit, or right behind that."""

    point = ""
    last = ""

    def finish(self, connection: sa.Connection, name: str, **fields: Any) -> None:
        super().finish(connection, name, **fields)
        self.last = name
        if self.point == f"{name}:in":
            raise Died

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        with super().transaction() as connection:
            yield connection
        if self.point == f"{self.last}:after":
            raise Died


def run(hub: Hub, asked: jobs.Job, *, passed: bool, dies: str = "", sequence: int = 0) -> jobs.Job:
    """Carry a job on behind its validate step, of which a child would have left this."""
    report = {"passed": passed, "results": [], "about": asked.uid}
    with write(hub.engine, tenant=EVERY_TENANT) as connection:
        (lease,) = Queue("w", ("default",)).claim(connection, 1)
    assert lease.uid == asked.uid
    mortal = Mortal(hub, lease)
    if "validate" not in mortal.outputs():
        judged = {"passed": passed, "metrics": {"mae": 2.0}, "sequence": sequence, "dataset": DATASET}
        judged |= {"dataset_name": "holdout.csv", "report_digest": digest_of(report)}
        with mortal.transaction() as connection:
            model_rows.save_report(
                connection, tenant="default", digest=digest_of(report), passed=passed, body=report, now=NOW
            )
            mortal.finish(connection, "validate", output=judged)
    mortal.point = dies
    if dies:
        with pytest.raises(Died):
            validate(mortal)
        with write(hub.engine, tenant=EVERY_TENANT) as connection:
            connection.execute(
                sa.text(
                    "UPDATE jobs SET state = 'queued', lease_until = NULL, worker = NULL WHERE state = 'running'"
                )
            )
    else:
        validate(mortal)
    return job(hub.engine, asked.uid)


def count(hub: Hub, table: sa.Table, *where: Any) -> int:
    with read(hub.engine, tenant=EVERY_TENANT) as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table).where(*where)) or 0


@pytest.mark.parametrize(
    "points",
    [("verdict:in", "verdict:after", "stage:in", "stage:after", "policy:in"), ()],
    ids=["dying", "at once"],
)
def test_a_first_report_lets_a_version_through_once(hub: Hub, points: tuple[str, ...]) -> None:
    version = register(hub.registry, passed=None)
    assert order(hub.registry, version.number, "staging").state == "refused"
    asked = ask(hub, version, environment="production")
    for point in points:
        run(hub, asked, passed=True, dies=point)
    waiting = run(hub, asked, passed=True)
    assert (waiting.state, waiting.gate_passed) == (JobState.WAITING, True)
    with read(hub.engine, tenant="default") as connection:
        (extent,) = jobs.extents(connection, [waiting])
    # Nobody has to guess from a job that waits how far it is, and what it took.
    shown = waiting.to_dict(extent)
    assert (shown["steps_done"], shown["steps_total"], shown["attempts"]) == (4, 7, len(points) + 1)
    decide(hub.registry, waiting.result["approval_id"])  # type: ignore[index]
    if points:
        run(hub, asked, passed=True, dies="deploy:in")
        run(hub, asked, passed=True, dies="deploy:after")
    done = run(hub, asked, passed=True)
    assert (done.state, done.result["delivery"]) == (JobState.COMPLETED, "deployed")  # type: ignore[index]
    judged = hub.registry.version(MODEL, version.number)
    assert (judged.status, judged.metrics) == (Status.CANDIDATE, {"mae": 2.0})
    assert judged.report_digest == done.result["report_digest"]  # type: ignore[index]
    assert count(hub, validations) == count(hub, reports) == 1
    assert count(hub, deployments, deployments.c.environment == "production") == 1
    assert [one for one in actions(hub.registry) if one == "version.validated"] == ["version.validated"]
    assert count(hub, outbox, outbox.c.topic == "notify.job.completed") == 1


def test_what_was_told_elsewhere_does_not_stand_beside_what_was_measured(hub: Hub) -> None:
    version = register(hub.registry, passed=None, metrics={"mae": 0.01, "auc_roc": 0.999})
    run(hub, ask(hub, version), passed=True)
    assert hub.registry.version(MODEL, version.number).metrics == {"mae": 2.0}
    trained = register(hub.registry, metrics={"mae": 3.0, "rmse": 4.0})
    run(hub, ask(hub, trained), passed=False)
    assert hub.registry.version(MODEL, trained.number).metrics == {"mae": 2.0, "rmse": 4.0}


def test_a_first_report_that_failed_stops_it(hub: Hub) -> None:
    version = register(hub.registry, passed=None)
    done = run(hub, ask(hub, version, environment="production"), passed=False)
    assert (done.state, done.gate_passed) == (JobState.COMPLETED, False)
    assert hub.registry.version(MODEL, version.number).status is Status.REJECTED
    assert count(hub, deployments) == 0
    assert order(hub.registry, version.number, "staging").state == "refused"
    assert count(hub, outbox, outbox.c.topic == "notify.version.rejected") == 1


def test_a_rejection_stands_unless_an_admin_lifts_it(hub: Hub) -> None:
    version = register(hub.registry, passed=False)
    done = run(hub, ask(hub, version, environment="staging"), passed=True)
    assert (done.gate_passed, done.result["status"]) == (False, "rejected")  # type: ignore[index]
    assert hub.registry.version(MODEL, version.number) == version
    assert count(hub, deployments) == 0
    lifting = {"lift_rejection": "the first table was in kW"}
    with pytest.raises(ForbiddenError, match="no admin"):
        ask(hub, version, **lifting)
    boss = somebody("boss", Role.ADMIN)
    asked = ask(hub, version, by=boss, **lifting)
    assert run(hub, asked, passed=False).gate_passed is False
    with write(hub.engine, tenant="default") as connection:
        # Somebody else asks for the same again: what only an admin may is not given on.
        trainer = somebody("tom", Role.TRAINER)
        again = jobs.retry(connection, asked.uid, identity=trainer, now=NOW, audit=hub.audit)
    assert run(hub, again, passed=True).gate_passed is False
    lifted = run(hub, ask(hub, version, by=boss, **lifting), passed=True)
    assert (lifted.gate_passed, lifted.result["effect"]) == (True, "lifted")  # type: ignore[index]
    assert hub.registry.version(MODEL, version.number).status is Status.CANDIDATE
    with read(hub.engine, tenant="default") as connection:
        found = list_page(connection, version, tenant="default")
        assert list_page(connection, version, tenant="default", before=found[0].id, limit=1) == [found[1]]
    assert [(one.passed, one.effect.value, one.reason) for one in found] == [
        (True, "lifted", lifting["lift_rejection"]),
        (True, "none", ""),
        (False, "none", ""),
        (True, "none", ""),
    ]


def test_a_later_failure_takes_back_what_is_under_way(hub: Hub) -> None:
    first, second = register(hub.registry), register(hub.registry)
    into_production(hub.registry, first.number)
    order(hub.registry, second.number, "staging")
    asked = order(hub.registry, second.number).approval
    assert asked is not None
    beside(hub, second, "canary", since=NOW, champion_sequence=1)
    done = run(hub, ask(hub, second), passed=False)
    assert (done.gate_passed, done.result["effect"]) == (False, "rejected")  # type: ignore[index]
    with read(hub.engine, tenant="default") as connection:
        assert active(connection, MODEL, "production", tenant="default") is None
        assert approvals.get(connection, asked.uid, tenant="default").state == "withdrawn"
    # What production has had stays what there is to go back to; the failure is kept beside its report.
    kept = run(hub, ask(hub, first), passed=False)
    assert (kept.gate_passed, kept.result["effect"]) == (False, "none")  # type: ignore[index]
    assert hub.registry.version(MODEL, first.number) == first


def test_a_signature_is_made_anew_for_what_the_version_is_now(hub: Hub, tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(new_key()[0])
    signed = replace(hub, signing=load_signing(file, None, frozenset({"production"})))
    version = register(signed.registry, passed=None)
    run(signed, ask(signed, version), passed=True)
    judged = signed.registry.version(MODEL, version.number)
    assert judged.report_digest is not None
    assert len(signed.registry.check_signature(judged)) == 1
