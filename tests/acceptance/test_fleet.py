"""One API and two workers as processes of their own on PostgreSQL: submit, watch, approve with another key, deploy, roll back."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from aihub.errors import ConflictError, ForbiddenError
from aihub.training.synthetic import generate_forecast_data
from pace import assert_within
from running_hub import RunningHub, hub_at

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy.engine import Engine

    from aihub import Client
    from aihub.client import Job

    Called = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = [pytest.mark.slow, pytest.mark.postgres, pytest.mark.timeout(600)]
CONFIG = {
    "target": "load",
    "features": ["temperature", "humidity"],
    "hyperparameters": {"n_estimators": 60},
    "backtest_folds": 0,
}
WAIT_S = 120


@pytest.fixture
def fleet(postgresql: Engine, tmp_path: Path) -> Iterator[RunningHub]:
    url = postgresql.url.render_as_string(hide_password=False).replace("+psycopg", "")
    with hub_at(tmp_path / "shared", {"DATABASE_URL": url}) as hub:
        hub.start("serve", name="api")
        hub.wait_until_ready("degraded")
        for number in (1, 2):
            hub.start("worker", name=f"worker-{number}")
        hub.wait_until_ready()
        yield hub


@pytest.fixture
def table(tmp_path: Path) -> Path:
    generate_forecast_data(3000, seed=7).write_csv(tmp_path / "load.csv")
    return tmp_path / "load.csv"


def submit(client: Client, table: Path, *, environment: str = "production", **changes: object) -> Job:
    data = client.datasets.upload(table)
    return client.jobs.submit(
        config={**CONFIG, **changes}, name="load", dataset_id=data.dataset_id, environment=environment
    )


def test_a_team_releases_and_takes_back(fleet: RunningHub, table: Path, call: Called) -> None:
    ci, ann, dora = (
        fleet.client(fleet.key_of(name, role))
        for name, role in (("ci", "trainer"), ("ann", "approver"), ("dora", "deployer"))
    )
    versions = []
    for trees in (20, 120):
        job = submit(ci, table, hyperparameters={"n_estimators": trees})
        waiting = ci.jobs.wait(job.job_id, timeout_s=WAIT_S)
        assert waiting.is_waiting, waiting.raw
        (approval,) = ann.approvals.list(state="pending")
        with pytest.raises(ForbiddenError):
            ci.approvals.decide(approval.id, "approve", reason="mine")
        ann.approvals.decide(
            approval.id, "approve", reason="looks right", artifact_digest=approval.artifact_digest
        )
        with pytest.raises(ConflictError):
            ann.approvals.decide(approval.id, "approve", reason="twice")
        done = ci.jobs.wait(job.job_id, timeout_s=WAIT_S, through_approval=True)
        assert (done.status, done.gate_passed) == ("completed", True)
        versions.append(approval.version)
    assert versions == [1, 2]

    back = dora.models.rollback("load", reason="odd on Sundays")
    assert (back.version, back.action, back.actor) == (1, "rollback", "dora")
    history = [d.action for d in dora.models.deployments("load", environment="production")]
    assert history == ["rollback", "deploy", "deploy"]
    admin = fleet.client()
    assert admin.audit.verify()["is_intact"] is True
    actions = [event.action for event in admin.audit.list(subject="model:load")]
    assert actions.count("version.registered") == 2
    assert "model.rolled_back" in actions
    printed = call("aihub", "models", "load", "--json", environ=fleet.client_environ())
    assert {v["version"]: v["serves"] for v in json.loads(printed.stdout)["versions"]}[1].find(
        "production"
    ) >= 0
    for client in (ci, ann, dora, admin):
        client.close()


def test_log_is_followed_over_the_death_of_worker_and_api(fleet: RunningHub, table: Path) -> None:
    """A reader of the live log sees every line once, although the worker dies and the API is started again."""
    with fleet.client() as client:
        job = submit(client, table, environment="none")
        seen = []
        for line in client.jobs.follow(job.job_id):
            seen.append(int(line.id))
            if len(seen) == 1:
                api, worker = fleet.processes[:2]
                os.killpg(worker.pid, signal.SIGKILL)
                os.killpg(api.pid, signal.SIGKILL)
                api.wait()
                fleet.start("serve", name="api")
        assert client.jobs.get(job.job_id).status == "completed"
        assert seen == [int(line.id) for line in client.jobs.logs(job.job_id)]


def test_running_job_is_stopped_within_two_seconds(fleet: RunningHub, table: Path) -> None:
    with fleet.client() as client:
        job = submit(client, table, hyperparameters={"n_estimators": 5000})

        def attempt() -> Callable[[], None]:
            nonlocal job
            if client.jobs.get(job.job_id).status == "cancelled":
                job = client.jobs.retry(job.job_id)
            while client.jobs.get(job.job_id).status == "queued":
                time.sleep(0.05)
            time.sleep(1.0)
            return stopped

        def stopped() -> None:
            client.jobs.cancel(job.job_id)
            assert client.jobs.wait(job.job_id, timeout_s=30).status == "cancelled"

        assert_within(3.0, attempt)
        again = client.jobs.retry(job.job_id)
        client.jobs.cancel(again.job_id)
