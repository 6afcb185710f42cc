"""The worker in this process, on every database: runs, stops, gives back, takes over, is fenced."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
import structlog

from aihub.delivery import jobs
from aihub.delivery.jobs import JobState
from aihub.delivery.kinds import KINDS, Kind
from aihub.delivery.periodic import Periodic, run_if_due
from aihub.delivery.queue import Queue
from aihub.delivery.worker import Worker
from aihub.errors import InputError, UnavailableError
from aihub.store.engine import EVERY_TENANT, read, write
from aihub.store.engine_tables import periodics
from aihub.store.job_tables import jobs as rows
from aihub.store.job_tables import workers
from deliveries import AUDIT, NOW, enqueue, hub_on, identity, job, wait_for
from pace import assert_within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy.engine import Engine

    from aihub.delivery.runs import Run
    from aihub.hub import Hub

ANN = identity()


@pytest.fixture
def hub(database: Engine, tmp_path: Path) -> Iterator[Hub]:
    with hub_on(database, tmp_path / "home") as opened:
        yield opened


@contextmanager
def working(hub: Hub, *kinds: Kind, **options: object) -> Iterator[Worker]:
    worker = Worker(
        hub, kinds=[*KINDS, *kinds], **{"concurrency": 2, "grace_s": 0.2, "periodics": (), **options}
    )  # type: ignore[arg-type]
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()


def _until_stopped(run: Run) -> None:
    """Work that goes on until somebody stops it."""
    stopped = threading.Event()
    with run.transaction() as connection:
        run.finish(connection, "first", output={"n": 1})
    with run.killing(stopped.set):
        stopped.wait(60)
        run.check()


LONG = Kind("long", run=_until_stopped)


def test_jobs_are_run_and_their_steps_are_kept(hub: Hub) -> None:
    made = enqueue(hub.engine, "default", 20)
    with working(hub):
        wait_for(lambda: all(job(hub.engine, one.uid).state is JobState.COMPLETED for one in made))
    with read(hub.engine, tenant="default") as connection:
        (step,) = jobs.steps(connection, made[0])
        assert connection.scalar(sa.select(sa.func.count()).select_from(workers)) == 0
    assert (step.name, step.state) == ("noop", "done")
    assert job(hub.engine, made[0].uid).duration_s is not None


def test_a_jobs_lines_in_the_log_are_found_by_its_id_and_its_request(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[dict[str, object]] = []

    def work(run: Run) -> None:
        seen.append(structlog.contextvars.get_contextvars())
        with run.transaction() as connection:
            run.finish(connection, "work", note="3 rows")
            run.end(connection, JobState.COMPLETED)

    with caplog.at_level(logging.INFO, logger="aihub.delivery"), working(hub, Kind("logged", run=work)):
        with write(hub.engine, tenant="default") as connection:
            one = jobs.enqueue(
                connection, tenant="default", kind="logged", payload={}, submitted_by="ann", now=NOW,
                source="api 127.0.0.1 req_0123",
            )  # fmt: skip
        wait_for(lambda: job(hub.engine, one.uid).state is JobState.COMPLETED)
    assert seen == [{"job_id": one.uid, "tenant": "default", "request_id": "req_0123"}]
    lines = [(record.message, getattr(record, "state", None)) for record in caplog.records]
    assert lines == [("job.taken", None), ("job.step", None), ("job.ended", "completed")]


def test_an_idle_worker_begins_within_a_moment(hub: Hub) -> None:
    with working(hub):

        def attempt() -> Callable[[], None]:
            time.sleep(0.5)
            (one,) = enqueue(hub.engine, "default")
            return lambda: wait_for(lambda: job(hub.engine, one.uid).state is JobState.COMPLETED)

        assert_within(1.0, attempt)


@pytest.mark.parametrize(
    ("raised", "code", "state"),
    [
        (InputError("no"), "bad_input", JobState.FAILED),
        (RuntimeError("oh"), "internal", JobState.FAILED),
        (UnavailableError("away"), "", JobState.QUEUED),
    ],
)
def test_what_a_job_raises_becomes_its_state(
    hub: Hub, raised: Exception, code: str, state: JobState, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(run: Run) -> None:
        run.begin("work")
        raise raised

    (one,) = enqueue(hub.engine, "default", kind="failing")
    with working(hub, Kind("failing", run=fail)):
        wait_for(lambda: job(hub.engine, one.uid).attempts and job(hub.engine, one.uid).state is state)
    found = job(hub.engine, one.uid)
    assert ((found.error or {}).get("code", "")) == code
    assert found.run_after > NOW or state is JobState.FAILED
    with read(hub.engine, tenant="default") as connection:
        assert [step.state for step in jobs.steps(connection, one)] == ["failed"]
        assert str(raised) in jobs.logs(connection, one)[-1].message
    caplog.clear()


def test_a_running_job_is_cancelled_within_two_seconds(hub: Hub) -> None:
    def attempt() -> Callable[[], None]:
        (one,) = enqueue(hub.engine, "default", kind="long")
        wait_for(lambda: job(hub.engine, one.uid).state is JobState.RUNNING)
        with write(hub.engine, tenant="default") as connection:
            jobs.cancel(connection, one.uid, identity=ANN, now=NOW, audit=AUDIT)
        return lambda: wait_for(lambda: job(hub.engine, one.uid).state is JobState.CANCELLED)

    with working(hub, LONG):
        assert_within(2.0, attempt)


def test_a_worker_that_goes_gives_its_jobs_back(hub: Hub) -> None:
    (one,) = enqueue(hub.engine, "default", kind="long")
    with working(hub, LONG):
        wait_for(lambda: job(hub.engine, one.uid).state is JobState.RUNNING)
    found = job(hub.engine, one.uid)
    assert (found.state, found.worker) == (JobState.QUEUED, None)


def test_a_job_whose_lease_was_taken_is_stopped_and_writes_nothing_more(hub: Hub) -> None:
    ended: list[BaseException] = []

    def watch(run: Run) -> None:
        try:
            _until_stopped(run)
        except BaseException as error:
            ended.append(error)
            raise

    (one,) = enqueue(hub.engine, "default", kind="watched")
    with working(hub, Kind("watched", run=watch)):
        wait_for(lambda: job(hub.engine, one.uid).state is JobState.RUNNING)
        with write(hub.engine, tenant=EVERY_TENANT) as connection:
            taken = {"lease_token": rows.c.lease_token + 1, "worker": "other"}
            connection.execute(sa.update(rows).where(rows.c.uid == one.uid).values(**taken))
        wait_for(lambda: ended)
    assert "has lost job" in str(ended[0])
    found = job(hub.engine, one.uid)
    assert (found.state, found.worker) == (JobState.RUNNING, "other")


def test_a_kind_that_a_worker_does_not_know_fails(hub: Hub) -> None:
    (one,) = enqueue(hub.engine, "default", kind="of-the-future")
    with working(hub):
        wait_for(lambda: job(hub.engine, one.uid).state is JobState.FAILED)
    assert "upgrade" in str(job(hub.engine, one.uid).error)


def test_a_periodic_task_is_run_by_one_at_a_time_and_not_before_its_time(hub: Hub) -> None:
    at_work: list[datetime] = []

    def work(_: Hub, now: datetime) -> None:
        at_work.append(now)
        assert not run_if_due(hub, task, runner="other")

    task = Periodic("watch", 3600.0, work)
    assert run_if_due(hub, task, runner="me")
    assert not run_if_due(hub, task, runner="me")
    with write(hub.engine, tenant=EVERY_TENANT) as connection:
        connection.execute(sa.update(periodics).values(next_at=datetime(2020, 1, 1, tzinfo=UTC)))
    assert run_if_due(hub, task, runner="me")
    assert len(at_work) == 2


def test_a_periodic_task_goes_on_when_the_clock_is_put_back(hub: Hub) -> None:
    task = Periodic("mirror", 60.0, lambda *_: None)
    assert run_if_due(hub, task, runner="me")
    in_an_hour = datetime.now(UTC) + timedelta(hours=1)
    for values in ({"next_at": in_an_hour}, {"next_at": NOW, "lease_until": in_an_hour}):
        with write(hub.engine, tenant=EVERY_TENANT) as connection:
            connection.execute(sa.update(periodics).values(values))
        assert run_if_due(hub, task, runner="me")
        assert not run_if_due(hub, task, runner="me")


def test_a_long_periodic_task_is_kept_from_others_until_it_is_over(hub: Hub) -> None:
    def leased_until() -> datetime:
        with read(hub.engine, tenant=EVERY_TENANT) as connection:
            return connection.execute(sa.select(periodics.c.lease_until)).scalar_one()

    def work(_: Hub, __: datetime) -> None:
        first = leased_until()
        wait_for(lambda: leased_until() > first)
        assert not run_if_due(hub, task, runner="other", lease_s=2.0)

    task = Periodic("long", 0.0, work)
    assert run_if_due(hub, task, runner="me", lease_s=2.0)
    with read(hub.engine, tenant=EVERY_TENANT) as connection:
        assert connection.execute(sa.select(periodics.c.last_error, periodics.c.runner)).one() == ("", None)


def test_a_periodic_task_that_fails_says_so_and_is_tried_again(hub: Hub) -> None:
    def fail(_: Hub, __: datetime) -> None:
        raise InputError("not today")

    with working(hub, periodics=[Periodic("failing", 0.0, fail)]):
        query = sa.select(periodics.c.last_error)

        def error() -> str | None:
            with read(hub.engine, tenant=EVERY_TENANT) as connection:
                return connection.scalar(query)

        wait_for(lambda: error() == "not today")


def test_a_fault_of_the_hub_ends_neither_the_loop_nor_the_pulse(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = iter(["the loop", "the pulse", "the pulse"])

    def once_broken(*_: object) -> None:
        for fault in faults:
            raise RuntimeError(fault)

    claim, beat = Queue.claim, Worker._beat
    monkeypatch.setattr(Queue, "claim", lambda *given: once_broken() or claim(*given))
    monkeypatch.setattr(Worker, "_beat", lambda worker: once_broken() or beat(worker))
    (one,) = enqueue(hub.engine, "default")
    with working(hub):
        wait_for(lambda: job(hub.engine, one.uid).state is JobState.COMPLETED)
        assert {"worker-loop", "worker-pulse"} <= {thread.name for thread in threading.enumerate()}


def test_a_quick_job_that_breaks_takes_none_of_its_turn_along(hub: Hub) -> None:
    def quick(leases: object) -> None:
        raise RuntimeError(str(leases))

    enqueue(hub.engine, "default", kind="shaky")
    (after,) = enqueue(hub.engine, "default")
    with working(hub, Kind("shaky", quick=quick)):
        wait_for(lambda: job(hub.engine, after.uid).state is JobState.COMPLETED)


def test_workers_that_were_killed_are_forgotten_after_a_day_and_come_back_if_they_wake(hub: Hub) -> None:
    row = {"host": "h", "pid": 1, "queues": ["default"], "concurrency": 4, "started_at": NOW, "seen_at": NOW}
    with write(hub.engine, tenant=EVERY_TENANT) as connection:
        connection.execute(sa.insert(workers).values(**row, id="killed"))

    def names() -> set[str]:
        with read(hub.engine, tenant=EVERY_TENANT) as connection:
            return set(connection.scalars(sa.select(workers.c.id)))

    with working(hub, lease_s=0.4) as worker:
        assert names() == {worker.name}
        with write(hub.engine, tenant=EVERY_TENANT) as connection:
            connection.execute(sa.delete(workers))
        wait_for(lambda: names() == {worker.name})
