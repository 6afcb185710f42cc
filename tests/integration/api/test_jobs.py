from __future__ import annotations

import json
import threading
from contextlib import ExitStack
from datetime import UTC, datetime
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from aihub.store import keys
from aihub.store.access_tables import api_keys
from aihub.store.engine import EVERY_TENANT, write
from aihub.store.job_tables import job_logs, jobs
from aihub.types import Role

if TYPE_CHECKING:
    from collections.abc import Callable

    from aihub.hub import Hub
    from hubs import Api

JOBS = "/ai/training/jobs"
# The body of the guide, letter by letter.
BODY: dict[str, Any] = {
    "tenant_id": "ci-baseline",
    "model_type": "forecast",
    "config": {
        "model_type": "forecast",
        "algorithm": "lgbm",
        "hyperparameters": {"n_estimators": 100, "learning_rate": 0.1, "max_depth": 7},
        "training_start": "2024-01-01T00:00:00",
        "training_end": "2024-12-31T23:59:59",
        "features": ["temperature", "humidity"],
        "target": "load",
        "validation_split": 0.2,
    },
    "priority": "high",
}
OWN = {name: value for name, value in BODY.items() if name != "tenant_id"}


def log(hub: Hub, job_id: str, *messages: str, state: str | None = None) -> None:
    """Write what a worker would write."""
    with write(hub.engine, tenant="default") as connection:
        found = connection.execute(sa.select(jobs).where(jobs.c.uid == job_id)).mappings().one()
        for message in messages:
            row = {"job_id": found["id"], "tenant_id": found["tenant_id"], "at": datetime.now(UTC)}
            connection.execute(sa.insert(job_logs).values(**row, level="info", step="train", message=message))
        if state:
            connection.execute(sa.update(jobs).where(jobs.c.id == found["id"]).values(state=state))


def test_the_guides_body_is_a_job(calls: Callable[..., Api]) -> None:
    operator = calls("root", tenant="*")
    answer = operator.post(JOBS, BODY)
    assert (answer.status_code, answer.json()["status"]) == (201, "queued")
    assert set(answer.json()) == {"job_id", "status"}
    assert answer.headers["location"] == f"{JOBS}/{answer.json()['job_id']}"
    assert operator.get(answer.headers["location"]).status_code == 404
    operator.tenant = "ci-baseline"
    job = operator.get(answer.headers["location"]).json()
    assert (job["model"], job["priority"], job["tenant_id"]) == (
        "forecast_lgbm_baseline",
        "high",
        "ci-baseline",
    )
    assert (job["steps"], job["submitted_by"]) == ([], "root")


def test_the_tenant_of_a_body_must_be_the_credentials(calls: Callable[..., Api]) -> None:
    own = calls("ci", Role.TRAINER, tenant="ci-baseline")
    assert own.post(JOBS, BODY).status_code == 201
    answer = own.post(JOBS, {**BODY, "tenant_id": "north"})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert calls("vera", Role.VIEWER).post(JOBS, OWN).status_code == 403


def test_jobs_come_in_pages_and_by_state_and_model(api: Api) -> None:
    made = [api.post(JOBS, {**OWN, "name": name}).json()["job_id"] for name in ("a", "b", "a")]
    page = api.get(f"{JOBS}?limit=2").json()
    assert [job["job_id"] for job in page["items"]] == made[:0:-1]
    rest = api.get(JOBS, params={"cursor": page["next"]}).json()
    assert [job["job_id"] for job in rest["items"]] == made[:1]
    assert [job["job_id"] for job in api.get(f"{JOBS}?model=a").json()["items"]] == [made[2], made[0]]
    assert api.get(f"{JOBS}?status=running").json()["items"] == []
    assert api.get(f"{JOBS}?status=odd").status_code == 422


def test_cancel_and_ask_again(api: Api) -> None:
    job = api.post(JOBS, OWN).json()["job_id"]
    assert api.post(f"{JOBS}/{job}/retry").status_code == 409
    stopped = api.post(f"{JOBS}/{job}/cancel", {"reason": "typo"}).json()
    assert stopped["status"] == "cancelled"
    assert api.post(f"{JOBS}/{job}/cancel").status_code == 200
    again = api.post(f"{JOBS}/{job}/retry")
    assert again.status_code == 201
    assert api.get(f"{JOBS}/{again.json()['job_id']}").json()["retry_of"] == job
    assert api.post(f"{JOBS}/job_nothing/cancel").status_code == 404
    events = api.get("/audit", params={"subject": f"job:{job}"}).json()["items"]
    assert [event["action"] for event in events] == ["job.retried", "job.cancelled", "job.submitted"]
    assert events[1]["reason"] == "typo"
    assert events[1]["source"].startswith("api 127.0.0.1 req_")


def test_a_submission_with_a_key_happens_once(api: Api) -> None:
    key = {"Idempotency-Key": "run-17"}
    first, again = (api.post(JOBS, OWN, headers=key) for _ in range(2))
    assert first.json() == again.json()
    assert len(api.get(JOBS).json()["items"]) == 1
    assert api.post(JOBS, {**OWN, "priority": "low"}, headers=key).status_code == 409


def test_a_key_is_of_one_body_whatever_its_type_is_called(api: Api) -> None:
    headers = {"Idempotency-Key": "run-18", "Content-Type": "Application/merge-patch+JSON"}
    bodies = [json.dumps(OWN).encode(), json.dumps({**OWN, "priority": "low"}).encode()]
    answers = [api.post(JOBS, content=body, headers=headers) for body in bodies]
    assert [answer.status_code for answer in answers] == [201, 409]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"model_type": "x"}, "model_type"), ({"priority": "urgent"}, "priority"), ({"config": {}}, "config.target"),
        ({"config": {**BODY["config"], "hyperparameters": {"learning_rate": 5000}}}, ""), ({"surprise": 1}, "surprise"),
        ({"config": {**BODY["config"], "hyperparameters": {"forcedsplits_filename": "/etc/passwd"}}}, ""),
        ({"config": {**BODY["config"], "targt": "x"}}, "config.targt"), ({"tenant_id": "UPPER"}, "tenant_id"), ({"config": None}, "config"), ({"config": []}, "config"),
        ({"data": {"path": "a", "url": "b"}}, "data"), ({"data": {"dataset_id": "x"}}, ""), ({"data": 7}, "data"), ({"queue": ""}, "queue"),
        ({"policy": 3}, "policy"), ({"validation": []}, "validation"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_wrong_request_names_its_field(api: Api, change: dict[str, Any], field: str) -> None:
    answer = api.post(JOBS, {**OWN, **change})
    assert answer.status_code in (404, 422), answer.text
    assert answer.json().get("field", "").startswith(field)
    assert api.get(JOBS).json()["items"] == []


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_data_that_is_not_allowed_is_refused_at_once(api: Api) -> None:
    for data in ({"path": "/etc/passwd"}, {"url": "https://example.com/x.csv"}, {"url": "s3://bucket/key"}):
        answer = api.post(JOBS, {**OWN, "data": data})
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert api.post(JOBS, {**OWN, "data": {"dataset_id": "0" * 64}}).status_code == 404
    assert "hunter2" not in api.post(JOBS, {**OWN, "data": {"url": "https://me:hunter2@example.com/x"}}).text


def test_a_log_is_read_in_pages(hub: Hub, api: Api) -> None:
    job = api.post(JOBS, OWN).json()["job_id"]
    assert api.get(f"{JOBS}/{job}/logs").json() == {"items": [], "next": None}
    log(hub, job, "one", "two", "three")
    page = api.get(f"{JOBS}/{job}/logs?limit=2").json()
    assert [line["message"] for line in page["items"]] == ["one", "two"]
    page = api.get(f"{JOBS}/{job}/logs", params={"cursor": page["next"]}).json()
    assert [line["message"] for line in page["items"]] == ["three"]
    # More may come while the job is not over.
    assert page["next"] is not None
    log(hub, job, "four", state="completed")
    page = api.get(f"{JOBS}/{job}/logs", params={"cursor": page["next"]}).json()
    assert ([line["message"] for line in page["items"]], page["next"]) == (["four"], None)


def test_a_live_log_is_followed_and_taken_up_again(hub: Hub, api: Api) -> None:
    job = api.post(JOBS, OWN).json()["job_id"]
    log(hub, job, "one")
    path, live = f"{JOBS}/{job}/logs", {"Accept": "text/event-stream"}
    with api.http.stream("GET", path, headers=api.headers(live)) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.iter_lines()
        ident = next(line for line in lines if line.startswith("id: ")).removeprefix("id: ")
        later = threading.Timer(0.2, log, (hub, job, "two"))
        later.start()
        assert "two" in next(line for line in lines if "two" in line)
        later.join()
    log(hub, job, "three", state="completed")
    with api.http.stream("GET", path, headers=api.headers({**live, "Last-Event-ID": ident})) as stream:
        text = stream.read().decode()
    events = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]
    assert [event.get("message") for event in events] == ["two", "three", None]
    assert text.endswith('event: end\ndata: {"status":"completed","gate_passed":null}\n\n')
    assert api.get(path, headers={**live, "Last-Event-ID": "x"}).status_code == 422


@pytest.mark.parametrize("lost", ["revoked", "expired", "tenant"])
def test_a_live_log_ends_with_the_credential(
    hub: Hub, calls: Callable[..., Api], api: Api, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    monkeypatch.setattr("aihub.auth.REMEMBERED_S", 0.1)
    monkeypatch.setattr("aihub.api.live.RECHECK_S", 0.1)
    root = calls("root", tenant="*")
    job = api.post(JOBS, OWN).json()["job_id"]
    made = api.post("/keys", {"principal": "vera", "role": "viewer"}).json()
    headers = {"Authorization": f"Bearer {made['token']}", "Accept": "text/event-stream"}
    with api.http.stream("GET", f"{JOBS}/{job}/logs", headers=headers) as stream:
        assert stream.status_code == 200
        if lost == "tenant":
            assert root("PATCH", "/tenants/default", json={"is_active": False}).status_code == 200
        else:
            # As another process, or the clock, would: this one is not told.
            with write(hub.engine, tenant=EVERY_TENANT) as connection:
                now = datetime.now(UTC)
                if lost == "revoked":
                    keys.revoke(
                        connection, made["id"], tenant="default", actor="root", now=now, audit=hub.audit
                    )
                else:
                    ended = sa.update(api_keys).where(api_keys.c.id == made["id"]).values(expires_at=now)
                    assert connection.execute(ended).rowcount == 1
        # Ends by itself: the job is never over.
        text = stream.read().decode()
    assert "event: end" not in text
    assert api.http.get(f"{JOBS}/{job}/logs", headers=headers).status_code == 401


def test_live_logs_are_bounded_and_a_place_comes_back(calls: Callable[..., Api], api: Api) -> None:
    job = api.post(JOBS, OWN).json()["job_id"]
    path, live = f"{JOBS}/{job}/logs", {"Accept": "text/event-stream"}
    vera, carl = calls("vera", Role.VIEWER), calls("carl", Role.VIEWER)

    def open_as(stack: ExitStack, who: Api) -> Any:
        return stack.enter_context(api.http.stream("GET", path, headers=who.headers(live)))

    with ExitStack() as stack:
        assert [open_as(stack, vera).status_code for _ in range(2)] == [200, 200]
        refused = open_as(stack, vera)
        assert (refused.status_code, json.loads(refused.read())["code"]) == (429, "too_many")
        assert int(refused.headers["retry-after"]) >= 1
        assert open_as(stack, carl).status_code == 200
        # Three in all.
        assert open_as(stack, api).status_code == 429
        assert vera.get(path).status_code == 200, "pages are no streams"
    deadline = monotonic() + 30
    while (answer := _first(vera, path, live)) == 429 and monotonic() < deadline:
        sleep(0.05)
    assert answer == 200


def _first(who: Api, path: str, headers: dict[str, str]) -> int:
    with who.http.stream("GET", path, headers=who.headers(headers)) as stream:
        status: int = stream.status_code
        return status


def test_times_have_one_form_in_pages_and_streams(hub: Hub, api: Api) -> None:
    job = api.post(JOBS, OWN).json()["job_id"]
    log(hub, job, "one", state="completed")
    (line,) = api.get(f"{JOBS}/{job}/logs").json()["items"]
    text = api.get(f"{JOBS}/{job}/logs", headers={"Accept": "text/event-stream"}).text
    assert json.loads(next(row[6:] for row in text.splitlines() if row.startswith("data: "))) == line
    assert line["at"].endswith("Z")


def test_another_tenant_sees_and_moves_no_job(calls: Callable[..., Api]) -> None:
    job = calls().post(JOBS, OWN).json()["job_id"]
    other = calls("eve", tenant="north")
    for path in (f"{JOBS}/{job}", f"{JOBS}/{job}/logs"):
        assert other.get(path).status_code == 404
    for action in ("cancel", "retry"):
        assert other.post(f"{JOBS}/{job}/{action}").status_code == 404
    assert other.get(JOBS).json()["items"] == []
