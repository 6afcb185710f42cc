"""The lean route through the whole application, as a server runs it."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import orjson
import polars as pl
import pyarrow as pa
import pytest

from aihub.api.predict_route import PredictRoute
from aihub.asgi import build
from aihub.auth import Authenticator
from aihub.serving import compiled, protocol
from aihub.store import keys
from aihub.store.engine import write
from aihub.types import Role
from hubs import give_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from aihub.hub import Hub
    from aihub.serving.pool import ServingPool

ROW = {"a": 0.5, "b": 0.1}


class Caller:
    """Sends requests into the application."""

    def __init__(self, app: Any, token: str) -> None:
        self.app = app
        self.token = token

    def __call__(self, method: str, path: str, *, token: str | None = None, **given: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {token or self.token}", **given.pop("headers", {})}

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.request(method, path, headers=headers, **given)

        return asyncio.run(send())

    def predict(self, body: Any, name: str = "load", **given: Any) -> httpx.Response:
        return self("POST", f"/models/{name}/predict", json=body, **given)


def token_of(hub: Hub, role: Role, now: datetime, tenant: str = "default") -> str:
    from aihub.store import tenants  # noqa: PLC0415 - beside its only use

    with write(hub.engine, tenant="*") as connection:
        tenants.ensure(connection, tenant, actor="hub", now=now, audit=hub.audit, source="test")
        return keys.issue(
            connection, tenant=tenant, principal="ann", role=role, actor="hub", now=now, audit=hub.audit
        ).token


@pytest.fixture
def call(
    hub: Hub, pool: ServingPool, register: Callable[..., Any], deploy: Callable[..., Any], now: datetime
) -> Caller:
    deploy(register(1.0))
    pool.start()
    return Caller(build(hub, pool=pool), token_of(hub, Role.TRAINER, now))


def test_a_row_is_answered_with_version_and_id(call: Caller) -> None:
    answer = call.predict({"records": [ROW]})
    assert answer.status_code == 200
    found = answer.json()
    assert found["prediction"] == pytest.approx([0.5], abs=0.1)
    assert (found["model"], found["version"], found["semantic"]) == ("load", 1, "v1.0.0")
    assert found["ids"][0].startswith("p_")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_schema_says_what_is_taken(call: Caller) -> None:
    found = call("GET", "/models/load/schema").json()
    assert [column["name"] for column in found["columns"]] == ["a", "b"]
    assert found["unseen_categories"] == "missing"


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({"records": [ROW, {"a": 1}]}, 422, "bad_data", "b"),
        ({"records": [{**ROW, "c": 1}]}, 422, "bad_data", "c"),
        ({"records": [{**ROW, "a": "x"}]}, 422, "bad_data", "a"),
        ({"horizon": 3}, 422, "bad_input", None),
        ({"records": [ROW], "level": 0.9}, 422, "bad_input", None),
        ({"records": [ROW], "timestamp": ["yesterday"]}, 422, "bad_data", "timestamp"),
        ({"records": [ROW], "timestamp": ["0001-01-01T00:00:00+14:00"]}, 422, "bad_data", "timestamp"),
        ({"records": [ROW], "timestamp": ["9999-12-31T23:59:59-12:00"]}, 422, "bad_data", "timestamp"),
        ({"records": [ROW], "series": ["a", "b"]}, 422, "bad_data", "series"),
    ],
)
def test_what_does_not_fit_is_a_problem(
    call: Caller, body: Any, status: int, code: str, field: str | None
) -> None:
    answer = call.predict(body)
    found = answer.json()
    assert (answer.status_code, found["code"], found.get("field")) == (status, code, field)
    assert answer.headers["content-type"] == "application/problem+json"
    assert found["request_id"].startswith("req_")


def test_what_is_deployed_and_not_loaded_is_loaded_once_for_all_who_ask(
    hub: Hub,
    pool: ServingPool,
    register: Callable[..., Any],
    deploy: Callable[..., Any],
    now: datetime,
    *,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deploy(register(1.0))
    may_load = threading.Event()
    loads: list[Path] = []

    def compile_version(path: Path, **given: Any) -> Any:
        loads.append(path)
        assert may_load.wait(10)
        return compiled.compile_version(path, **given)

    monkeypatch.setattr("aihub.serving.pool.compile_version", compile_version)
    pool.start(on_loaded=lambda: None)
    call = Caller(build(hub, pool=pool), token_of(hub, Role.TRAINER, now))
    models = next(one for one in call("GET", "/ready").json()["checks"] if one["name"] == "models")
    assert models == {
        "name": "models",
        "is_ok": True,
        "detail": "1 of 1 still load; what is asked for comes first",
    }
    with monkeypatch.context() as patch:
        patch.setattr("aihub.api.predict_route.LOAD_WAIT_S", 0.02)
        late = call.predict({"records": [ROW]})
    assert (late.status_code, late.json()["code"]) == (503, "unavailable")
    assert late.headers["retry-after"] == "1"
    with ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(call.predict, {"records": [ROW]}) for _ in range(4)]
        may_load.set()
        assert [one.result().status_code for one in asked] == [200] * 4
    assert len(loads) == 1


def test_a_first_deployment_is_unavailable_until_it_is_loaded_and_what_is_not_deployed_is_not_there(
    hub: Hub,
    pool: ServingPool,
    register: Callable[..., Any],
    deploy: Callable[..., Any],
    now: datetime,
    *,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool.start()
    call = Caller(build(hub, pool=pool), token_of(hub, Role.TRAINER, now))
    monkeypatch.setattr("aihub.api.predict_route.LOAD_WAIT_S", 0.02)
    with pool._lock:  # nothing is looked at or loaded meanwhile
        deploy(register(1.0))
        early = call.predict({"records": [ROW]})
        assert call("GET", "/models/load/schema").status_code == 503
        assert call.predict({"records": [ROW]}, name="lode").status_code == 404
        assert call.predict({"records": [ROW]}, name="lo%00ad").status_code == 404
        staging = call("POST", "/models/load/predict?environment=staging", json={"records": [ROW]})
        other = token_of(hub, Role.TRAINER, now, tenant="other")
        assert staging.status_code == 404
        assert call.predict({"records": [ROW]}, token=other).status_code == 404
    assert (early.status_code, early.headers["retry-after"]) == (503, "1")
    monkeypatch.setattr("aihub.api.predict_route.LOAD_WAIT_S", 30.0)
    assert call.predict({"records": [ROW]}).status_code == 200


def test_credentials_scopes_names_and_hosts_are_checked(call: Caller, hub: Hub, now: datetime) -> None:
    body = {"records": [ROW]}
    assert call.predict(body, token="hub_0123456789abcdef_" + "x" * 43).status_code == 401
    viewer = token_of(hub, Role.VIEWER, now)
    assert call.predict(body, token=viewer).status_code == 403
    assert call("GET", "/models/load/schema", token=viewer).status_code == 200
    assert call.predict(body, name="laod").status_code == 404
    assert "Did you mean 'load'" in call.predict(body, name="laod").json()["detail"]
    stranger = token_of(hub, Role.TRAINER, now, tenant="other")
    assert call.predict(body, token=stranger).status_code == 404
    for method, what in (("GET", "schema"), ("GET", "performance"), ("POST", "actuals")):
        assert call(method, f"/models/load/{what}", token=stranger, json=[]).status_code == 404
    assert call.predict(body, headers={"host": "evil.example"}).status_code == 421
    # No port is that long; that it is let in is harmless, that it was kept for the life of the process was not.
    assert call.predict(body, headers={"host": f"localhost:{'0' * 60_000}1"}).status_code == 200
    assert all(len(host) < 1000 for host in call.app._known_hosts)
    assert call("POST", "/models/load/predict?environment=staging", json=body).status_code == 404


def test_what_ends_a_credential_ends_it_here_too(
    hub: Hub, pool: ServingPool, register: Callable[..., Any], deploy: Callable[..., Any], now: datetime
) -> None:
    clock = Clock()
    access = Authenticator(hub.engine, hub.audit, clock=clock)
    deploy(register(1.0))
    pool.start()
    route = build(hub, pool=pool, access=access)
    assert isinstance(route, PredictRoute)
    body = orjson.dumps([ROW])

    def ask(token: str) -> tuple[int, bool]:
        """The status on the usual way, and whether the short way answers then."""
        given = [(b"host", b"localhost"), (b"authorization", b"Bearer " + token.encode())]
        status = Caller(route, token).predict([ROW]).status_code
        asked = route.asked(b"/models/load/predict", given)
        return status, asked is not None and route.at_once(asked, body) is not None

    token = token_of(hub, Role.TRAINER, now)
    assert ask(token) == (200, True)
    clock.now += 4.9
    assert ask(token) == (200, True)
    with write(hub.engine, tenant="*") as connection:
        keys.revoke(connection, token.split("_")[1], tenant=None, actor="hub", now=now, audit=hub.audit)
    assert ask(token) == (200, True)
    clock.now += 0.2
    assert ask(token) == (401, False)
    other = token_of(hub, Role.TRAINER, now)
    assert ask(other) == (200, True)
    with write(hub.engine, tenant="*") as connection:
        keys.revoke(connection, other.split("_")[1], tenant=None, actor="hub", now=now, audit=hub.audit)
    access.forget()
    assert ask(other) == (401, False)


class Clock:
    """Seconds that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_another_sites_page_gets_nothing_where_no_credential_is_asked_for(
    hub: Hub, pool: ServingPool, register: Callable[..., Any], deploy: Callable[..., Any]
) -> None:
    deploy(register(1.0))
    pool.start()
    access = Authenticator(hub.engine, hub.audit, anonymous_role=Role.TRAINER)
    route = build(hub, pool=pool, access=access)
    assert isinstance(route, PredictRoute)

    def ask(method: str, path: str, **headers: str) -> int:
        async def send() -> int:
            transport = httpx.ASGITransport(route)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                content = orjson.dumps([ROW]) if method == "POST" else None
                answer = await client.request(method, path, headers=headers, content=content)
                return answer.status_code

        return asyncio.run(send())

    for method, path in (("POST", "/models/load/predict"), ("GET", "/models/load/schema")):
        assert ask(method, path) == 200
        assert ask(method, path, origin="http://localhost") == 200
        assert ask(method, path, origin="https://evil.example") == 403
        assert ask(method, path, **{"sec-fetch-site": "cross-site"}) == 403
    given = [(b"host", b"localhost"), (b"origin", b"https://evil.example")]
    assert route.asked(b"/models/load/predict", given) is None


@pytest.mark.parametrize(
    "body",
    [
        '[{"a": 1, "b": NaN}]',
        '{"records": [{"a": 1, "b": 1e999}]}',
        '{"columns": {"a": [1, 2], "b": [0.5, -Infinity]}}',
    ],
)
def test_a_number_that_json_does_not_know_is_told_as_its_column(call: Caller, body: str) -> None:
    found = call("POST", "/models/load/predict", content=body).json()
    assert (found["status"], found["code"], found["field"]) == (422, "bad_data", "b")
    other = call("POST", "/models/load/predict", content='[{"a": 1, "b": oops}]').json()
    assert "is not JSON" in other["detail"]


@pytest.mark.parametrize("body", [[], {"records": []}, {"columns": {"a": [], "b": []}}])
def test_a_question_without_rows_is_refused(call: Caller, body: Any) -> None:
    answer = call.predict(body)
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_input")


@pytest.mark.parametrize("query", ["environment=PRODUCTION", "environment=", "environment=a&environment=b"])
def test_an_environment_that_cannot_be_is_not_taken_for_production(call: Caller, query: str) -> None:
    answer = call("POST", f"/models/load/predict?{query}", json=[ROW])
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_input")


def test_bodies_have_a_limit(call: Caller) -> None:
    answer = call("POST", "/models/load/predict", content=b" " * (1 << 20) + b"{}")
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_tables_are_taken_and_given(call: Caller) -> None:
    table = pl.DataFrame([ROW] * 700).to_arrow()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    headers = {"content-type": protocol.ARROW, "accept": protocol.ARROW}
    answer = call("POST", "/models/load/predict", content=bytes(sink.getvalue()), headers=headers)
    found = pl.from_arrow(pa.ipc.open_stream(answer.content).read_all())
    assert isinstance(found, pl.DataFrame)
    assert found.height == found.get_column("id").n_unique() == 700
    many = call.predict({"records": [ROW] * 700})
    assert many.json()["prediction"] == found.get_column("prediction").to_list()


def test_a_word_that_is_known_ahead_is_asked_for_as_a_number_is(
    call: Caller,
    pool: ServingPool,
    register: Callable[..., Any],
    deploy: Callable[..., Any],
    train_forecast: Callable[..., Any],
) -> None:
    deploy(register(model=train_forecast(features=["temperature", "sky"]), name="hours"))
    pool.refresh()
    future = [{"timestamp": f"2024-04-23T{hour:02}:00:00Z", "temperature": 12.0} for hour in range(24)]
    answer = call.predict({"horizon": 24, "future": future}, name="hours")
    assert (answer.status_code, answer.json()["field"]) == (422, "sky")
    said = [{**row, "sky": "fog"} for row in future]
    assert call.predict({"horizon": 24, "future": said}, name="hours").status_code == 200


def test_a_horizon_is_answered_for_the_series_that_are_asked_for(
    call: Caller,
    pool: ServingPool,
    register: Callable[..., Any],
    deploy: Callable[..., Any],
    train_forecast: Callable[..., Any],
) -> None:
    deploy(register(model=train_forecast(features=["temperature"], series=("m1", "m2")), name="hours"))
    deploy(register(model=train_forecast(features=[]), name="alone"))
    pool.refresh()
    future = [
        {"timestamp": f"2024-04-23T{hour:02}:00:00Z", "meter": meter, "temperature": 12.0}
        for meter in ("m1", "m2")
        for hour in range(24)
    ]
    whole = call.predict({"horizon": 24, "future": future}, name="hours").json()
    for series in ("m2", ["m2"]):
        found = call.predict({"horizon": 24, "future": future[24:], "series": series}, name="hours").json()
        assert found["series"] == ["m2"] * 24
        assert found["prediction"] == pytest.approx(whole["prediction"][24:])
    for name, wrong in (("hours", "m3"), ("hours", []), ("alone", "m1")):
        answer = call.predict({"horizon": 24, "series": wrong}, name=name)
        assert (answer.status_code, answer.json()["field"]) == (422, "series")
    assert "'m3'" in call.predict({"horizon": 24, "series": "m3"}, name="hours").json()["detail"]


def test_a_forecast_is_asked_for_hours_and_an_unknown_route_goes_on(
    call: Caller,
    pool: ServingPool,
    register: Callable[..., Any],
    deploy: Callable[..., Any],
    train_forecast: Callable[..., Any],
) -> None:
    model = train_forecast(features=["temperature"])
    deploy(register(model=model, name="hours"))
    pool.refresh()
    stamps = [f"2024-04-23T{hour:02}:00:00Z" for hour in range(24)]
    future = [{"timestamp": stamp, "temperature": 12.0} for stamp in stamps]
    answer = call.predict({"horizon": 24, "future": future}, name="hours")
    found = answer.json()
    assert found["timestamp"] == stamps
    assert all(
        low <= mid <= high
        for low, mid, high in zip(found["lower"], found["prediction"], found["upper"], strict=True)
    )
    one = call.predict({"records": future[:1]}, name="hours").json()
    assert one["level"] == 0.9
    assert call.predict({"horizon": 24}, name="hours").status_code == 422
    assert call("GET", "/health").status_code == 200


def test_what_was_answered_is_in_the_log_and_in_the_metrics(
    call: Caller, pool: ServingPool, hub: Hub, now: datetime
) -> None:
    for _ in range(3):
        call.predict({"records": [ROW], "series": "s1", "timestamp": "2026-01-01T00:00:00Z"})
    call.predict({"records": [{}]})
    pool.log.stop()
    assert pool.log.counts.written == 3
    assert hub.observations.models("default") == ["load"]
    text = call("GET", "/metrics", token=token_of(hub, Role.VIEWER, now)).text
    labels = '{environment="production",model="load",tenant="default"}'
    assert f"aihub_predictions_total{labels} 3.0" in text
    assert f"aihub_predict_refused_total{labels} 1.0" in text
    other = call("GET", "/metrics", token=token_of(hub, Role.VIEWER, now, tenant="acme")).text
    assert 'tenant="' not in other
    assert "aihub_jobs" in other
    everything = call("GET", "/metrics", token=give_key(hub, "operator", tenant="*")).text
    assert f"aihub_predictions_total{labels} 3.0" in everything


def test_a_full_log_is_seen(call: Caller, pool: ServingPool) -> None:
    pool.log.pending += 10_000_000
    answer = call.predict({"records": [ROW]})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    pool.log.pending -= 10_000_000
    assert orjson.loads(call.predict({"records": [ROW]}).content)["version"] == 1
