from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from aihub import asgi
from aihub.api import operations
from aihub.api.app import create_app
from aihub.api.context import declared
from aihub.auth import Authenticator
from aihub.store import models
from hubs import made_hub, register, served

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy.engine import Engine

    from aihub.hub import Hub
    from hubs import Api

PUBLIC = {"/health", "/ready", "/docs", "/openapi.json"}
# Nothing happens by a repetition of these: they ask, or their rows carry keys of their own.
REPEATABLE = {
    "/models/{name}/compare",
    "/models/{name}/predict",
    "/models/{name}/actuals",
    "/models/{name}/watch",
}
# These carry a proof of their own.
SIGNED = {"/auth/github", "/github/webhooks", "/links/{token}"}


def test_every_route_declares_its_scope(hub: Hub) -> None:
    routes = list(declared(create_app(hub, access=Authenticator.of(hub))))
    assert len(routes) > 10
    assert [route for route in routes if route[2] is None] == []
    assert {path for _, path, scope in routes if scope == ""} - SIGNED == PUBLIC


def test_every_post_takes_an_idempotency_key(api: Api) -> None:
    document = api.get("/openapi.json").json()
    without = [
        path
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if method == "post" and "Idempotency-Key" not in {p["name"] for p in operation.get("parameters", [])}
    ]
    assert set(without) - SIGNED <= REPEATABLE


def test_every_answer_has_the_security_headers_and_its_name_in_the_logs(api: Api) -> None:
    for path in ("/health", "/models", "/nowhere", "/docs"):
        found = api.get(path, headers={"X-Request-ID": "mine-1"}).headers
        assert found["x-content-type-options"] == "nosniff"
        assert found["x-frame-options"] == "DENY"
        assert "default-src 'none'" in found["content-security-policy"]
        assert found["x-request-id"] == "mine-1"
    assert (
        api.get("/health", headers={"X-Request-ID": "no\tname" * 30})
        .headers["x-request-id"]
        .startswith("req_")
    )
    assert "http" not in api.get("/docs").text.replace("http-equiv", "")


def test_a_host_name_that_is_not_ours_is_refused(api: Api) -> None:
    assert api.get("/health", headers={"Host": "evil.example"}).status_code == 421
    assert api.get("/health", headers={"Host": "localhost:8000"}).status_code == 200
    assert api.get("/health", headers={"Host": "127.0.0.1:1"}).status_code == 200


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer x", "Basic YTpi", "Bearer hub_0123456789abcdef_" + "x" * 43]
)
def test_without_a_credential_that_counts_there_is_nothing(api: Api, header: str | None) -> None:
    api.token = ""
    answer = api.get("/models", headers={} if header is None else {"Authorization": header})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_body_beyond_the_limit_is_refused_before_it_is_read(api: Api) -> None:
    for body in (b"x" * (1 << 20) + b"y", iter([b"x" * (1 << 19)] * 3)):
        answer = api("POST", "/models/load/rollback", content=body)
        assert answer.status_code == 413
        assert answer.json()["code"] == "too_large"


def test_a_fault_of_ours_is_a_500_that_tells_nothing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr(models, "page_of_models", broken)
    answer = api.get("/models")
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal"
    assert "hunter2" not in answer.text
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    "path",
    ["/models/%00", "/models/a%00b/versions", "/models?cursor=%00", "/audit?subject=%00", "/audit?subject=%0a", "/models/%ff",
     "/models/load/versions/%ED%A0%80", "/models?limit=NaN", "/models?limit=1e9", "/models?cursor=bnVsbA", "/models?cursor=W10"],
)  # fmt: skip
def test_odd_addresses_are_the_callers_fault(api: Api, path: str) -> None:
    answer = api.get(path)
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_ready_says_what_is_missing(api: Api) -> None:
    answer = api.get("/ready")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert {check["name"]: check["is_ok"] for check in answer.json()["checks"]} == {
        "database": True,
        "tables": True,
        "workers": False,
        "disk": True,
    }


def test_a_disk_that_is_nearly_full_is_told(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "MIN_FREE_BYTES", 1 << 62)
    answer = api.get("/ready")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    (disk,) = (check for check in answer.json()["checks"] if check["name"] == "disk")
    assert (disk["is_ok"], "free space" in disk["detail"]) == (False, True)


def test_metrics_count_by_route_and_never_by_name(api: Api) -> None:
    api.get("/models/some-model")
    api("BREW", "/models")
    text = api.get("/metrics").text
    assert 'route="/models/{name}"' in text
    assert "some-model" not in text
    assert "BREW" not in text
    assert "aihub_outbox_pending" in text


def test_a_database_that_is_away_is_a_503(tmp_path: Path, database: Engine) -> None:
    if database.dialect.name != "sqlite":
        pytest.skip("a file is easily moved away")
    with (
        made_hub(database, tmp_path / "home") as hub,
        served(asgi.build(hub)) as url,
        httpx.Client(base_url=url) as http,
    ):
        for engine in (hub.engine, database):
            engine.dispose()
        for path in tmp_path.glob("hub.db-*"):
            path.unlink()
        (tmp_path / "hub.db").write_bytes(b"nothing of a database" * 1000)
        answer = http.get("/ready")
        assert (answer.status_code, answer.json()["status"]) == (503, "unready")
        assert str(tmp_path) not in answer.text
        assert http.get("/health").status_code == 200


def test_versions_come_in_pages_and_by_any_of_their_names(hub: Hub, api: Api) -> None:
    made = [
        register(hub, content=str(n).encode(), config={"seed": n}, commit=f"{n:040x}") for n in range(1, 6)
    ]
    first = api.get("/models/load/versions?limit=2").json()
    assert [item["version"] for item in first["items"]] == [5, 4]
    rest = api.get("/models/load/versions", params={"limit": 3, "cursor": first["next"]}).json()
    assert [item["version"] for item in rest["items"]] == [3, 2, 1]
    assert rest["next"] is None
    for reference in (3, str(made[2].semantic), f"{3:040x}"):
        answer = api.get(f"/models/load/versions/{reference}")
        assert answer.json()["version"] == 3
    again = api.get("/models/load/versions/3", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert api.get("/models/load/versions/9").status_code == 404
    assert api.get("/models/load/versions/x").status_code == 422


def test_report_lineage_and_artefact_of_a_version(hub: Hub, api: Api) -> None:
    version = register(hub)
    assert api.get("/models/load/versions/1/report").json() == {"passed": True}
    assert api.get("/models/load/versions/1/lineage").json()["config"]["target"] == "load"
    artefact = api.get("/models/load/versions/1/artifact")
    assert artefact.content == hub.registry.artifact_path(version).read_bytes()
    assert artefact.headers["etag"] == f'"{version.digest}"'
    for part in ("report", "lineage", "artifact"):
        etag = api.get(f"/models/load/versions/1/{part}").headers["etag"]
        path = f"/models/load/versions/1/{part}"
        assert api.get(path, headers={"If-None-Match": f'"other", W/{etag}'}).status_code == 304
    register(hub, content=b"2", report=None)
    assert api.get("/models/load/versions/2/report").status_code == 404
    hub.registry.artifact_path(version).write_bytes(b"changed")
    assert api.get("/models/load/versions/1/artifact").json()["code"] == "bad_artifact"


def test_a_tenant_sees_nothing_of_another(hub: Hub, calls: Callable[..., Api]) -> None:
    register(hub, tenant="default")
    other, operator = calls("bob", tenant="north"), calls("root", tenant="*")
    paths = [
        "",
        "/versions",
        "/versions/1",
        "/versions/1/report",
        "/versions/1/lineage",
        "/versions/1/artifact",
    ]
    for path in paths:
        assert other.get(f"/models/load{path}").status_code == 404, path
        assert operator.get(f"/models/load{path}").status_code == 200, path
    assert other.get("/models").json()["items"] == []
    assert "load" not in json.dumps(other.get("/audit").json())
    other.tenant = "default"
    assert other.get("/models").status_code == 404
    operator.tenant = "north"
    assert operator.get("/models").json()["items"] == []
    operator.tenant = "nowhere"
    assert operator.get("/models").status_code == 404


def test_the_audit_log_is_read_in_pages_and_verified(hub: Hub, api: Api) -> None:
    for n in range(3):
        register(hub, content=str(n).encode())
    page = api.get("/audit", params={"subject": "model:load", "limit": 2}).json()
    assert [event["action"] for event in page["items"]] == ["version.registered"] * 2
    last = api.get("/audit", params={"subject": "model:load", "cursor": page["next"]}).json()
    assert [event["after"]["version"] for event in last["items"]] == [1]
    assert api.get("/audit", params={"action": "model.deployed"}).json()["items"] == []
    assert api.get("/audit/verify").json()["is_intact"] is True


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_slip_in_a_parameters_name_does_not_let_everything_through(api: Api) -> None:
    answer = api.get("/ai/training/jobs", params={"state": "queued"})
    assert answer.status_code == 422
    assert "Did you mean 'status'?" in answer.json()["detail"]
    assert api.get("/ai/training/jobs", params={"status": "queued", "limit": 1}).status_code == 200
    assert "takes none" in api.get("/models/load?tenant=x").json()["detail"]
    assert api.post("/ai/training/jobs?dry=1", {}).status_code == 422
    assert api.get("/ai/training/jobs?%ff=1").status_code == 422


def test_a_body_that_calls_itself_a_form_is_told_how_to_be_sent(api: Api) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = api.post("/ai/training/jobs", content=b'{"model_type": "forecast"}', headers=form)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    assert "-H 'Content-Type: application/json'" in answer.json()["detail"]
    assert api.post("/ai/training/jobs/job_0/cancel", headers=form).status_code == 404


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b'{"config":\n {"a": NaN}}', "at line 2, column 8"),
        (b'{"name": "a\\u0000"}', "zero character"),
        (b"[" * 101 + b"]" * 101, "deeper than 100"),
    ],
)
def test_a_body_that_is_no_json_is_told_where(api: Api, body: bytes, where: str) -> None:
    answer = api.post("/ai/training/jobs", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_input")
    assert answer.json().get("field") is None
    assert where in answer.json()["detail"]
    assert "correct it" in answer.json()["detail"]


def test_where_something_is_read_its_head_is_too(hub: Hub, api: Api) -> None:
    register(hub)
    made = api.post("/ai/training/jobs", JOB).json()["job_id"]
    logs = f"/ai/training/jobs/{made}/logs"
    for path in ("/health", "/ready", "/models", "/models/load", "/openapi.json", logs):
        live = {"Accept": "text/event-stream"} if path == logs else None
        head, get = api("HEAD", path, headers=live), api.get(path)
        assert (head.status_code, head.content) == (get.status_code, b""), path
        assert head.headers["content-length"] == get.headers["content-length"]
        assert head.headers["content-type"] == get.headers["content-type"]
    assert api("HEAD", "/models/none").status_code == 404
    assert api("HEAD", "/auth/github").status_code == 405
    stranger = api.http.head("/models")
    assert (stranger.status_code, stranger.content) == (401, b"")
    assert 'method="HEAD",route="/health"' in api.get("/metrics").text


JOB: dict[str, Any] = {"model_type": "forecast", "config": {"target": "load", "features": ["t"]}}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (
            {"config": {"target": "load", "hyperparameters": {"max_depth": -5}}},
            "config.hyperparameters.max_depth",
        ),
        (
            {"config": {"target": "load", "hyperparameters": {"max_dept": 5}}},
            "config.hyperparameters.max_dept",
        ),
        ({"config": {"target": "load", "horizn": 5}}, "config.horizn"),
        ({"config": {}}, "config.target"),
        (
            {"policy": {"environments": {"production": {"approval": {"approvers": 0}}}}},
            "policy.environments.production.approval.approvers",
        ),
        ({"data": {"path": "a", "url": "b"}}, "data"),
        ({"priority": "urgent"}, "priority"),
    ],
)
def test_an_error_names_the_whole_path_of_its_field(api: Api, change: dict[str, Any], field: str) -> None:
    answer = api.post("/ai/training/jobs", {**JOB, **change})
    assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text
    schedule = {"name": "n", "cron": "0 2 * * *", "job": {**JOB, **change}}
    answer = api.post("/schedules", schedule)
    assert (answer.status_code, answer.json()["field"]) == (422, f"job.{field}"), answer.text


@pytest.mark.parametrize(
    "cron", ["*/99999999999 * * * *", "*/60 * * * *", "0 */24 * * *", "0 0 */0 * *", "0 0 1 1/13 *"]
)
def test_a_step_beyond_its_field_is_refused(api: Api, cron: str) -> None:
    answer = api.post("/schedules", {"name": "n", "cron": cron, "job": JOB})
    assert (answer.status_code, answer.json()["field"]) == (422, "cron"), answer.text
    assert "the step" in answer.json()["detail"]
