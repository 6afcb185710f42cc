"""The client against the real application: every address it calls is there and answers what the client reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aihub import Client
from aihub.errors import ConflictError, ForbiddenError, InputError, NotFoundError, UnauthorizedError
from aihub.types import OPERATOR_TENANT, Role
from hubs import Api, give_key, register

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from aihub.hub import Hub

JOB = {"model_type": "forecast", "config": {"target": "load"}}


@pytest.fixture
def client(api: Api) -> Iterator[Client]:
    with Client(str(api.http.base_url), api_key=api.token, tenant="") as client:
        yield client


def test_jobs_and_schedules(client: Client) -> None:
    job = client.jobs.submit(config={"target": "load"}, name="load", priority="high", key="once")
    repeated = client.jobs.submit(config={"target": "load"}, name="load", priority="high", key="once")
    assert (repeated.job_id, repeated.replayed, job.replayed) == (job.job_id, True, False)
    assert [(one.job_id, one.model, one.priority) for one in client.jobs.list(status="queued")] == [
        (job.job_id, "load", "high")
    ]
    assert client.jobs.cancel(job.job_id).status == "cancelled"
    assert client.jobs.wait(job.job_id).is_over
    again = client.jobs.get(client.jobs.retry(job.job_id).job_id)
    assert again.retry_of == job.job_id
    assert list(client.jobs.logs(job.job_id)) == []
    assert list(client.jobs.follow(job.job_id)) == []
    made = client.schedules.create("weekly", "0 2 * * 0", JOB, time_zone="Europe/Berlin")
    assert not client.schedules.set_active(made.id, is_active=False).is_active
    assert [one.name for one in client.schedules.list()] == ["weekly"]
    client.schedules.delete(made.id)
    assert list(client.schedules.list()) == []
    with pytest.raises(InputError, match="algorithm"):
        client.jobs.submit(config={"target": "load", "algorithm": "lgbmm"})
    with pytest.raises(NotFoundError):
        client.jobs.get("job_0")


def test_datasets_are_sent_once(client: Client, tmp_path: Path) -> None:
    (tmp_path / "load.csv").write_text("timestamp,load\n2024-01-01,1\n2024-01-02,2\n")
    sent = client.datasets.upload(tmp_path / "load.csv")
    assert (sent.rows, sent.columns, sent.name) == (2, ["timestamp", "load"], "load.csv")
    assert client.datasets.upload(tmp_path / "load.csv").created_at == sent.created_at
    assert [one.dataset_id for one in client.datasets.list()] == [sent.dataset_id]
    (tmp_path / "bad.csv").write_text("timestamp,load\n2024-01-01,1,2\n")
    with pytest.raises(InputError, match=r"bad\.csv"):
        client.datasets.upload(tmp_path / "bad.csv")


def test_models_from_registration_to_rollback(hub: Hub, client: Client, tmp_path: Path) -> None:
    for content in (b"1", b"2"):
        register(hub, content=content, commit="c" * 40)
    first, second = client.models.version("load", 1), client.models.version("load", "v1.0.1")
    assert [version.version for version in client.models.versions("load")] == [2, 1]
    assert client.models.find("load", "c" * 40) == second
    assert client.models.report("load", 1) == {"passed": True}
    assert client.models.lineage("load", 1)["git_commit"] == "c" * 40
    assert client.models.download("load", 1, tmp_path / "model.pkl") == first
    assert client.models.compare("load", 1, 2)["metrics"] == []
    given = {"reason": "test", "override": True}
    for environment in ("staging", "production"):
        for version in (1, 2):
            done = client.models.deploy("load", version, environment=environment, **given)
            assert (done.status, done.deployment and done.deployment.version) == ("deployed", version)
    back = client.models.rollback("load", "v1.0.0", reason="odd")
    assert (back.version, back.environment) == (1, "production")
    assert (
        next(one.action for one in client.models.deployments("load", environment="production")) == "rollback"
    )
    serving = {one["environment"]: one["version"] for one in client.models.get("load").serving}
    assert serving == {"staging": 2, "production": 1}
    assert client.audit.verify()["is_intact"] is True
    assert next(client.audit.list(limit=1)).action == "model.rolled_back"
    assert list(client.approvals.list()) == []
    with pytest.raises(ConflictError):
        client.models.rollback("load", 1)


def test_keys_and_tenants(hub: Hub, api: Api, client: Client) -> None:
    key, token = client.keys.create("ci", Role.TRAINER.value, scopes=["jobs:read"])
    successor, _ = client.keys.rotate(key.id, overlap_s=60)
    assert {one.id for one in client.keys.list()} >= {key.id, successor.id}
    with Client(client.url, api_key=token) as ci:
        assert list(ci.jobs.list()) == []
        with pytest.raises(ForbiddenError):
            ci.jobs.submit(config={"target": "load"})
        client.keys.revoke(key.id)
        with pytest.raises(UnauthorizedError):
            list(ci.jobs.list())
    operator = give_key(hub, "op", tenant=OPERATOR_TENANT)
    with Client(client.url, api_key=operator) as runs_it:
        assert runs_it.tenants.create("north")["id"] == "north"
        assert "north" in [one["id"] for one in runs_it.tenants.list()]
    with Client(client.url, api_key=operator, tenant="north") as in_north:
        assert list(in_north.models.list()) == []
    with pytest.raises(NotFoundError), Client(client.url, api_key=api.token, tenant="north") as stranger:
        list(stranger.models.list())


def test_hub_says_whether_it_is_ready(calls: Callable[..., Api]) -> None:
    with Client(str(calls().http.base_url), api_key="") as anybody:
        assert anybody.ready()["status"] == "degraded"
