"""Asking for work, looking at it and stopping it, on every database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from aihub.delivery import jobs
from aihub.delivery.jobs import JobState
from aihub.delivery.queue import Queue
from aihub.errors import ConfigError, ConflictError, NotFoundError, TooManyError
from aihub.store.access_tables import audit, tenants
from aihub.store.engine import EVERY_TENANT, read, write
from deliveries import AUDIT, GUIDE_CONFIG, NOW, enqueue, identity, request

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

ANN = identity()


def _actions(database: Engine, tenant: str = "default") -> list[str]:
    with read(database, tenant=EVERY_TENANT) as connection:
        query = sa.select(audit.c.action).where(audit.c.tenant_id == tenant).order_by(audit.c.sequence)
        return list(connection.scalars(query))


def test_the_body_of_the_guide_is_a_job(database: Engine) -> None:
    with write(database, tenant="default") as connection:
        job = jobs.submit(connection, request(), identity=ANN, now=NOW, audit=AUDIT)
    shown = job.to_dict(jobs.extent_of(job, {}))
    assert (shown["status"], shown["model"], shown["priority"]) == (
        "queued",
        "forecast_lgbm_baseline",
        "high",
    )
    assert jobs.JobRequest.model_validate(dict(job.payload)).config == request().config
    assert _actions(database) == ["job.submitted"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ({"config": {**GUIDE_CONFIG, "data": "/data/load.csv"}}, {"path": "/data/load.csv"}),
        ({"config": {**GUIDE_CONFIG, "dataset": "d1"}}, {"dataset_id": "d1"}),
        ({"data": "https://x.example/load.csv"}, {"url": "https://x.example/load.csv"}),
        ({"data": {"dataset_id": "d1"}}, {"dataset_id": "d1"}),
    ],
)
def test_data_is_found_wherever_it_is_written(written: dict[str, object], meant: dict[str, str]) -> None:
    found = request(**written).data
    assert found is not None
    assert found.model_dump(exclude_none=True) == meant


@pytest.mark.parametrize(
    ("written", "field"),
    [
        ({"priority": "urgent"}, "priority"),
        ({"data": {"dataset_id": "d", "path": "/x"}}, "data"),
        ({"config": {**GUIDE_CONFIG, "model_type": "anomaly"}}, "config.model_type"),
        ({"config": {**GUIDE_CONFIG, "targt": 1}}, "config.targt"),
        ({"config": {**GUIDE_CONFIG, "data": "x"}, "data": "y"}, "data"),
        ({"name": "Not A Name"}, "name"),
    ],
)
def test_what_is_wrong_is_named(written: dict[str, object], field: str) -> None:
    with pytest.raises(ConfigError) as raised:
        request(**written)
    assert (raised.value.field or "").endswith(field.rpartition(".")[2])


def test_a_hyperparameter_that_training_would_refuse_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="n_estimators"):
        request(config={**GUIDE_CONFIG, "hyperparameters": {"n_estimators": 10**9}})


def test_the_same_key_is_the_same_job_and_another_request_is_refused(database: Engine) -> None:
    with write(database, tenant="default") as connection:
        first = jobs.submit(connection, request(), identity=ANN, now=NOW, audit=AUDIT, key="k")
    with write(database, tenant="default") as connection:
        again = jobs.submit(connection, request(), identity=ANN, now=NOW, audit=AUDIT, key="k")
        assert again.uid == first.uid
        with pytest.raises(ConflictError, match="new key"):
            jobs.submit(connection, request(name="other"), identity=ANN, now=NOW, audit=AUDIT, key="k")
    with write(database, tenant="default") as connection:
        bob = identity(principal="bob")
        assert (
            jobs.submit(connection, request(), identity=bob, now=NOW, audit=AUDIT, key="k").uid != first.uid
        )
    assert _actions(database) == ["job.submitted", "job.submitted"]


def test_a_tenant_sees_its_own_jobs_only(database: Engine) -> None:
    (job,) = enqueue(database, "acme")
    with write(database, tenant="default") as connection:
        for look in (
            lambda: jobs.get(connection, job.uid, tenant="default"),
            lambda: jobs.cancel(connection, job.uid, identity=ANN, now=NOW, audit=AUDIT),
            lambda: jobs.retry(connection, job.uid, identity=ANN, now=NOW, audit=AUDIT),
        ):
            with pytest.raises(NotFoundError):
                look()
        assert jobs.list_page(connection, tenant="default") == []


def test_a_quota_of_queued_jobs_holds(database: Engine) -> None:
    row = {"tenant_id": "default", "created_by": "ann", "created_at": NOW, "is_active": True}
    with write(database, tenant=EVERY_TENANT) as connection:
        connection.execute(sa.insert(tenants).values(**row, rules={"max_queued_jobs": 2}))
    enqueue(database, "default", 2)
    with pytest.raises(TooManyError, match="may have 2"), write(database, tenant="default") as connection:
        jobs.submit(connection, request(), identity=ANN, now=NOW, audit=AUDIT)
    assert _actions(database) == []


def test_pages_are_newest_first_and_do_not_shift(database: Engine) -> None:
    made = enqueue(database, "default", 5, model="m")
    with read(database, tenant="default") as connection:
        first = jobs.list_page(connection, tenant="default", limit=2)
        rest = jobs.list_page(connection, tenant="default", before=first[-1].id, model="m", state="queued")
    assert [job.uid for job in first + rest] == [job.uid for job in reversed(made)]


def test_a_queued_job_is_cancelled_at_once_and_a_running_one_is_asked(database: Engine) -> None:
    queued, running = enqueue(database, "default", 2)
    with write(database, tenant=EVERY_TENANT) as connection:
        (lease,) = Queue("w", ("default",)).claim(connection, 1)
    assert lease.uid == queued.uid
    with write(database, tenant="default") as connection:
        done = jobs.cancel(connection, running.uid, identity=ANN, now=NOW, audit=AUDIT, reason="enough")
        asked = jobs.cancel(connection, queued.uid, identity=ANN, now=NOW, audit=AUDIT)
        again = jobs.cancel(connection, queued.uid, identity=ANN, now=NOW, audit=AUDIT)
    assert done.state is JobState.CANCELLED
    assert (asked.state, asked.cancel_requested_at) == (JobState.RUNNING, NOW)
    assert again == asked
    assert _actions(database) == ["job.cancelled", "job.cancelled"]


def test_a_job_that_has_ended_can_be_asked_for_again(database: Engine) -> None:
    (job,) = enqueue(database, "default", payload={"x": 1}, model="m")
    with write(database, tenant="default") as connection:
        with pytest.raises(ConflictError, match="cancel it first"):
            jobs.retry(connection, job.uid, identity=ANN, now=NOW, audit=AUDIT)
        jobs.cancel(connection, job.uid, identity=ANN, now=NOW, audit=AUDIT)
        again = jobs.retry(connection, job.uid, identity=ANN, now=NOW, audit=AUDIT, key="r")
        assert jobs.retry(connection, job.uid, identity=ANN, now=NOW, audit=AUDIT, key="r").uid == again.uid
    assert (again.state, again.retry_of, again.payload, again.model) == ("queued", job.uid, {"x": 1}, "m")
