"""`kill -9` of the worker at every step of one delivery: it goes on, and every effect is there exactly once."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
import sqlalchemy as sa

from aihub.delivery import deployments, jobs
from aihub.delivery.jobs import JobState
from aihub.hub import opened
from aihub.settings import Settings
from aihub.store import schema
from aihub.store.access_tables import audit
from aihub.store.engine import EVERY_TENANT, create, read, write
from aihub.store.tables import deployments as deployment_rows
from aihub.store.tables import outbox, versions
from aihub.types import Identity, Role
from databases import mortal_server
from deliveries import identity, job, wait_for
from pace import assert_within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy.engine import Engine

    from aihub.hub import Hub

pytestmark = pytest.mark.slow
SUPPORT = Path(__file__).parents[1] / "support"
LEASE_S = "1.0"
BEFORE_APPROVAL = [
    "child",
    "validate:in",
    "validate:after",
    "register:in",
    "register:after",
    "stage:in",
    "stage:after",
    "policy:in",
]
AFTER_APPROVAL = ["policy:in", "deploy:in", "deploy:after", "notify:in"]
BOSS = Identity(tenant="default", principal="boss", role=Role.APPROVER, scopes=frozenset())


@pytest.fixture
def hub(database: Engine, tmp_path: Path) -> Iterator[Hub]:
    """A hub on either database."""
    with opened(settings_of(database, tmp_path)) as made:
        yield made


@pytest.fixture
def fleet(postgresql: Engine, tmp_path: Path) -> Iterator[Hub]:
    """A hub on PostgreSQL: a process that is stopped within a transaction keeps a SQLite file from everybody."""
    with opened(settings_of(postgresql, tmp_path)) as made:
        yield made


def settings_of(database: Engine, tmp_path: Path) -> Settings:
    (tmp_path / "data").mkdir()
    start, hours = datetime(2024, 1, 1, tzinfo=UTC), 60 * 24
    noise = np.random.default_rng(0).normal(size=hours)
    values = 100 + 20 * np.sin(np.arange(hours) * 2 * np.pi / 24) + noise
    stamps = [start + timedelta(hours=hour) for hour in range(hours)]
    pl.DataFrame({"timestamp": stamps, "value": values}).write_csv(tmp_path / "data" / "meter.csv")
    url = database.url.render_as_string(hide_password=False).replace("+psycopg", "")
    return Settings(
        home=tmp_path / "home",
        database_url=url,
        mlflow_tracking_uri="off",
        data_roots=(str(tmp_path / "data"),),
    )


@contextmanager
def worker(hub: Hub, *arguments: str, lease_s: str = LEASE_S) -> Iterator[subprocess.Popen[str]]:
    """A worker process of its own; killed at the end if it lives."""
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("AIHUB_", "MLFLOW_"))
    }
    environ |= {
        "AIHUB_HOME": str(hub.settings.home),
        "AIHUB_DATABASE_URL": hub.settings.database_url,
        "AIHUB_MLFLOW_TRACKING_URI": "off",
        "AIHUB_DATA_ROOTS": ",".join(hub.settings.data_roots),
    }
    with subprocess.Popen(
        [sys.executable, str(SUPPORT / "mortal_worker.py"), lease_s, *arguments],
        env=environ,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def submitted(hub: Hub) -> jobs.Job:
    config = {"target": "value", "hyperparameters": {"n_estimators": 10}, "backtest_folds": 0}
    request = jobs.JobRequest.model_validate(
        {
            "model_type": "forecast",
            "name": "meter",
            "config": config,
            "data": str(Path(hub.settings.data_roots[0]) / "meter.csv"),
        }
    )
    with write(hub.engine, tenant="default") as connection:
        return jobs.submit(connection, request, identity=identity(), now=datetime.now(UTC), audit=hub.audit)


def killed_at(hub: Hub, point: str) -> str:
    """Let a worker go on with the job until it dies at `point`; returns what it printed."""
    with worker(hub, point) as process:
        out, _ = process.communicate(timeout=90)
        assert process.returncode == -signal.SIGKILL, f"it did not come to {point}"
    return out


def approve(hub: Hub, uid: str) -> None:
    approval = str((job(hub.engine, uid).result or {})["approval_id"])
    with write(hub.engine, tenant="default") as connection:
        deployments.decide(
            connection,
            hub.registry_of("default"),
            approval,
            identity=BOSS,
            decision="approve",
            reason="looks good",
            now=datetime.now(UTC),
        )


def counts(hub: Hub) -> dict[str, Any]:
    with read(hub.engine, tenant=EVERY_TENANT) as connection:
        return {
            "versions": connection.scalar(sa.select(sa.func.count()).select_from(versions)),
            "deployments": Counter(connection.scalars(sa.select(deployment_rows.c.environment))),
            "audit": Counter(connection.scalars(sa.select(audit.c.action))),
            "outbox": Counter(connection.scalars(sa.select(outbox.c.topic))),
        }


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


def test_a_delivery_survives_the_death_of_its_worker_at_every_step(hub: Hub) -> None:
    asked = submitted(hub)
    for point in BEFORE_APPROVAL:
        said = killed_at(hub, point)
        if point == "child":
            child = int(said.split()[1])
            wait_for(lambda pid=child: not is_alive(pid))  # type: ignore[misc]
    with worker(hub):
        wait_for(lambda: job(hub.engine, asked.uid).state is JobState.WAITING, within_s=60)
    assert job(hub.engine, asked.uid).worker is None
    approve(hub, asked.uid)
    for point in AFTER_APPROVAL:
        killed_at(hub, point)
    with worker(hub):
        wait_for(lambda: job(hub.engine, asked.uid).state is JobState.COMPLETED, within_s=60)
    found = counts(hub)
    assert found["versions"] == 1
    assert found["deployments"] == {"staging": 1, "production": 1}
    assert found["audit"] == {
        "job.submitted": 1,
        "version.registered": 1,
        "model.deployed": 2,
        "approval.requested": 1,
        "approval.decided": 1,
    }
    assert found["outbox"] == {
        "mlflow.version": 1,
        "mlflow.alias": 2,
        "notify.approval.requested": 1,
        "notify.approval.approved": 1,
        "notify.model.deployed": 2,
        "notify.job.completed": 1,
    }
    with read(hub.engine, tenant="default") as connection:
        assert hub.audit.verify(connection, tenant="default").is_intact
        done = [(step.name, step.state) for step in jobs.steps(connection, job(hub.engine, asked.uid))]
    names = ("data", "train", "validate", "register", "stage", "policy", "approval", "deploy", "notify")
    assert done == [(name, "done") for name in names]


def test_a_worker_that_was_paused_changes_nothing_when_it_wakes_and_goes_on_with_other_work(
    fleet: Hub,
) -> None:
    asked = submitted(fleet)
    with worker(fleet) as paused:
        assert paused.stdout is not None
        child = int(paused.stdout.readline().split()[1])
        paused.send_signal(signal.SIGSTOP)
        with worker(fleet):
            # The server ends a session that was stopped within a transaction after a minute.
            wait_for(lambda: job(fleet.engine, asked.uid).state is JobState.WAITING, within_s=150)
        before = counts(fleet)
        paused.send_signal(signal.SIGCONT)
        wait_for(lambda: not is_alive(child))
        assert counts(fleet) == before
        again = submitted(fleet)
        wait_for(lambda: job(fleet.engine, again.uid).state is JobState.WAITING, within_s=60)
        assert counts(fleet)["versions"] == 2


def test_a_running_training_is_dead_two_seconds_after_it_was_cancelled(hub: Hub) -> None:
    with worker(hub) as process:

        def attempt() -> Callable[[], None]:
            asked = submitted(hub)
            assert process.stdout is not None
            child = int(process.stdout.readline().split()[1])
            with write(hub.engine, tenant="default") as connection:
                jobs.cancel(
                    connection, asked.uid, identity=identity(), now=datetime.now(UTC), audit=hub.audit
                )

            def ended() -> None:
                wait_for(lambda: not is_alive(child))
                wait_for(lambda: job(hub.engine, asked.uid).state is JobState.CANCELLED)

            return ended

        assert_within(2.0, attempt)


def test_a_worker_that_is_told_to_go_gives_its_training_to_another(hub: Hub) -> None:
    asked = submitted(hub)
    with worker(hub) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        assert process.wait(20) == 0
    assert job(hub.engine, asked.uid).state is JobState.QUEUED
    with worker(hub):
        wait_for(lambda: job(hub.engine, asked.uid).state is JobState.WAITING, within_s=60)


# A pool now and then forgets a connection whose server died without closing it.
@pytest.mark.filterwarnings("ignore:.*was deleted while still open:ResourceWarning")
def test_a_delivery_survives_the_death_of_the_database(tmp_path: Path) -> None:
    with mortal_server() as server:
        database = create(server.url)
        schema.upgrade(database)
        with (
            opened(settings_of(database, tmp_path)) as hub,
            worker(hub, lease_s="4.0") as one,
            worker(hub, lease_s="4.0") as other,
        ):
            asked = submitted(hub)
            # The steps of the child are written together: a short one may never be seen.
            wait_for(lambda: job(hub.engine, asked.uid).step in ("data", "train"), within_s=90)
            server.kill()
            # Longer than the lease: whoever goes on with the job, its effects are there once.
            time.sleep(5)
            server.start()
            wait_for(lambda: job(hub.engine, asked.uid).state is JobState.WAITING, within_s=90)
            found = counts(hub)
            assert (found["versions"], found["deployments"]) == (1, {"staging": 1})
            # Both go on: one was at work, the other was listening.
            assert [process.poll() for process in (one, other)] == [None, None]
            late = submitted(hub)
            wait_for(lambda: job(hub.engine, late.uid).state is JobState.WAITING, within_s=90)
            with read(hub.engine, tenant="default") as connection:
                assert hub.audit.verify(connection, tenant="default").is_intact
        database.dispose()
    gc.collect()
