"""A version that was trained elsewhere is judged on an uploaded table by a real worker, and goes on as a trained one does."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from aihub import Client
from aihub.cli import main
from aihub.delivery.worker import Worker
from aihub.errors import NotFoundError
from aihub.types import Role
from deliveries import job as job_of
from deliveries import wait_for
from outside import SECTION, booster, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from aihub.hub import Hub
    from hubs import Api

VERSIONS = "/models/outside/versions"
PATH = f"{VERSIONS}/1/validations"


def upload(api: Api, content: bytes) -> str:
    answer = api.post("/ai/datasets?name=holdout.csv", content=content, headers={"Content-Type": "text/csv"})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["dataset_id"])


def register(api: Api, content: bytes, **query: Any) -> dict[str, Any]:
    answer = api.post(VERSIONS, content=content, params={"target": "load", **query})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


@contextmanager
def working(hub: Hub) -> Iterator[None]:
    worker = Worker(hub, periodics=(), grace_s=0.2)
    worker.start()
    try:
        yield
    finally:
        worker.stop()


def settled(api: Api, uid: str) -> dict[str, Any]:
    """Look at a job once nothing happens to it by itself any more."""
    wait_for(lambda: job_of(api.hub.engine, uid).state not in ("queued", "running"), within_s=200)
    return dict(api.get(f"/ai/training/jobs/{uid}").json())


@pytest.mark.slow
def test_a_model_from_elsewhere_is_judged_approved_and_deployed(
    api: Api,
    calls: Callable[..., Api],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = register(api, booster(), metrics='{"mae": 0.01}')
    dataset = upload(api, table())
    with working(api.hub):
        body = {"dataset_id": dataset, "validation": SECTION, "environment": "production"}
        job = settled(api, api.post(PATH, body).json()["job_id"])
        assert (job["kind"], job["status"], job["gate_passed"]) == ("validate", "waiting", True), job
        assert (job["steps_done"], job["steps_total"], job["progress"], job["attempts"]) == (5, 8, 0.625, 1)
        carol = calls("carol", Role.APPROVER)
        decision = {"decision": "approve", "reason": "looked at the report"}
        granted = carol.post(f"/approvals/{job['result']['approval_id']}/decision", decision)
        assert granted.status_code == 200, granted.text
        done = settled(api, job["job_id"])
        steps = [(step["name"], step["status"]) for step in done["steps"]]
        expected = ("data", "validate", "verdict", "stage", "policy", "approval", "deploy", "notify")
        assert steps == [(name, "done") for name in expected]
        assert (done["progress"], done["attempts"]) == (1.0, 2)
        version = api.get(f"{VERSIONS}/1").json()
        assert (version["status"], version["report_digest"]) == ("candidate", done["result"]["report_digest"])
        assert 0.5 < version["metrics"]["mae"] < 5
        report = api.get(f"{VERSIONS}/1/report").json()
        bound = report["context"]["model"]["sha256"], report["context"]["data"]["dataset_sha256"]
        assert bound == (made["digest"], dataset)
        # The next one is poor beside it, on the same rows.
        register(api, booster(rounds=20))
        (tmp_path / "holdout.csv").write_bytes(table())
        monkeypatch.setenv("AIHUB_URL", str(api.http.base_url))
        monkeypatch.setenv("AIHUB_API_KEY", api.token)
        words = [
            "outside",
            "2",
            "--data",
            str(tmp_path / "holdout.csv"),
            "--report",
            str(tmp_path / "report"),
        ]
        assert main.run(["jobs", "validate", *words]) == 1
    assert "Gate failed: outside v1.0.1 is rejected" in capsys.readouterr().out
    assert (tmp_path / "report" / "report.html").is_file()
    with Client(str(api.http.base_url), api_key=api.token) as client:
        (found,) = client.models.validations("outside", 2)
        assert (found.passed, found.effect, found.dataset_id) == (False, "rejected", dataset)
        judged = client.models.report("outside", 2, digest=found.report_digest)
        assert judged["passed"] is False
        assert judged["context"]["has_champion"] is True
        with pytest.raises(NotFoundError):
            # A report of another version is none of this one.
            client.models.report("outside", 1, digest=found.report_digest)


def test_what_cannot_be_judged_is_not_taken(api: Api, calls: Callable[..., Api]) -> None:
    register(api, booster(rounds=2))
    body = {"dataset_id": upload(api, table(count=10))}
    key = {"Idempotency-Key": "judge-it"}
    first = api.post(PATH, body, headers=key)
    assert (first.status_code, api.post(PATH, body, headers=key).json()) == (201, first.json())
    assert first.headers["location"] == f"/ai/training/jobs/{first.json()['job_id']}"
    for changes, words in (
        ({"validation": {"thresholds": {"mea": {"max": 1}}}}, "validation.thresholds"),
        ({"validation": {"thresholds": {"mae": {"max": "NaN"}}}}, "validation.thresholds.mae.max"),
        ({"target": "price"}, "not 'price'"),
        ({"timestamp": "when"}, "when"),
        ({"environment": "moon"}, "environment"),
        ({"enviroment": "none"}, "environment"),
    ):
        answer = api.post(PATH, {**body, **changes})
        assert (answer.status_code, words in answer.text) == (422, True), answer.text
    assert api.post(PATH, {"dataset_id": "0" * 64}).status_code == 404
    assert api.post(f"{VERSIONS}/9/validations", body).status_code == 404
    assert calls("eve", tenant="north").post(PATH, body).status_code == 404
    assert calls("eve", tenant="north").get(PATH).status_code == 404
    assert calls("vera", Role.VIEWER).post(PATH, body).status_code == 403
    tom = calls("tom", Role.TRAINER)
    assert tom.post(PATH, body).status_code == 201
    assert tom.post(PATH, {**body, "lift_rejection": "oops"}).status_code == 403
    other = api.post("/models/nameless/versions", content=booster(rounds=2))
    assert other.status_code == 201
    answer = api.post("/models/nameless/versions/1/validations", body)
    assert (answer.status_code, "'target'" in answer.text) == (422, True)
