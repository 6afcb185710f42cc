from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from aihub.types import Role
from hubs import register

if TYPE_CHECKING:
    from collections.abc import Callable

    from aihub.hub import Hub
    from hubs import Api


@pytest.fixture
def versions(hub: Hub) -> list[Any]:
    return [register(hub, content=str(n).encode(), config={"seed": n}) for n in range(3)]


def put(api: Api, version: Any, **given: Any) -> Any:
    body = {"version": version, "reason": "better", "override": True, **given}
    return api.post("/models/load/deployments", body)


@pytest.mark.usefixtures("versions")
def test_deploy_roll_back_and_read_the_history(api: Api) -> None:
    assert put(api, 1).status_code == 201
    assert put(api, "v1.1.0").json()["deployment"]["sequence"] == 2
    back = api.post("/models/load/rollback", {"target_version": "v1.0.0", "reason": "worse"})
    assert (back.status_code, back.json()["version"], back.json()["action"]) == (200, 1, "rollback")
    history = api.get("/models/load/deployments?limit=2").json()
    assert [(d["version"], d["ended_by"]) for d in history["items"]] == [(1, None), (2, "rollback")]
    assert history["items"][0]["actor"] == "ann"
    rest = api.get("/models/load/deployments", params={"cursor": history["next"]}).json()
    assert [d["version"] for d in rest["items"]] == [1]
    assert rest["items"][0]["served_s"] >= 0
    shown = api.get("/models/load").json()
    assert [(s["environment"], s["version"]) for s in shown["serving"]] == [("production", 1)]
    assert api.get("/models").json()["items"] == [shown]


@pytest.mark.usefixtures("versions")
@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "application/json", None])
def test_the_guides_curl_rolls_back(api: Api, kind: str | None) -> None:
    put(api, 1)
    put(api, 2)
    body = b'{"target_version": "v1.0.0"}'
    headers = {} if kind is None else {"Content-Type": kind}
    answer = api.post("/models/load/rollback", content=body, headers=headers)
    assert (answer.status_code, answer.json()["semantic"]) == (200, "v1.0.0")


@pytest.mark.usefixtures("versions")
def test_a_rollback_without_a_target_goes_to_the_last_good_one(api: Api) -> None:
    for version in (1, 2, 3):
        put(api, version)
    assert [api.post("/models/load/rollback").json()["version"] for _ in range(2)] == [2, 1]
    answer = api.post("/models/load/rollback")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


def test_what_cannot_be_gone_back_to_is_refused_with_the_reason(
    hub: Hub, api: Api, versions: list[Any]
) -> None:
    assert len(versions) == 3
    register(hub, content=b"bad", status="rejected", report={"passed": False})
    put(api, 1)
    for target, status, word in (("1", 409, "champion already"), ("3", 409, "never deployed"), ("4", 409, "rejected"), ("99", 404, "99")):  # fmt: skip
        answer = api.post("/models/load/rollback", {"target_version": target})
        assert answer.status_code == status
        assert word in answer.json()["detail"]
    assert put(api, 4, override=False).status_code == 409
    assert api.post("/models/nothing/rollback").status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"version": 1}, "reason"), ({"version": 1, "reason": ""}, "reason"), ({"reason": "x"}, "version"),
        ({"version": True, "reason": "x"}, "version"), ({"version": 2**31, "reason": "x"}, "version"), ({"version": "../1", "reason": "x"}, "version"),
        ({"version": 0, "reason": "x"}, "version"), ({"version": 1.5, "reason": "x"}, "version"),
        ({"version": 1, "reason": "x", "extra": 1}, "extra"), ({"version": 1, "reason": "x", "environment": "A B"}, "environment"),
        ({"version": 1, "reason": "x", "expected_sequence": -1}, "expected_sequence"), ([], ""), ("text", ""), (None, ""),
    ],
)  # fmt: skip
def test_a_wrong_body_names_its_field(api: Api, body: Any, field: str) -> None:
    answer = api("POST", "/models/load/deployments", json=body)
    assert answer.status_code == 422
    assert answer.json().get("field", "") == field


@pytest.mark.parametrize(
    "body",
    [b'{"version": NaN, "reason": "x"}', b'{"version": 1, "reason": "\\ud800"}', b'{"version": 1, "reason": "\\u0000"}',
     b'{"version": 1e400, "reason": "x"}', b"\xff", b"{", b"[" * 50_000, b'{"version": 99999999999999999999999, "reason": "x"}'],
)  # fmt: skip
def test_what_json_cannot_hold_is_the_callers_fault_and_not_repeated(api: Api, body: bytes) -> None:
    for path in ("/models/load/deployments", "/models/load/rollback"):
        answer = api.post(path, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422
        assert "99999" not in answer.text


def test_a_secret_in_the_wrong_place_is_not_repeated(api: Api) -> None:
    for body in ({"version": ["hunter2"], "reason": "x"}, {"version": 1, "reason": {"p": "hunter2"}}, {"version": "hunter2 !", "reason": "x"}):  # fmt: skip
        answer = api.post("/models/load/deployments", body)
        assert answer.status_code == 422
        assert "hunter2" not in answer.text


@pytest.mark.usefixtures("versions")
def test_the_same_key_happens_once(hub: Hub, api: Api) -> None:
    body, key = {"version": 1, "reason": "better", "override": True}, {"Idempotency-Key": "k-1"}
    first, again = (api.post("/models/load/deployments", body, headers=key) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    other = api.post("/models/load/deployments", {**body, "version": 2}, headers=key)
    assert (other.status_code, other.json()["code"]) == (409, "conflict")
    assert api.post("/models/load/rollback", headers=key).status_code == 409
    assert len(hub.registry.history("load")) == 1


@pytest.mark.usefixtures("versions")
def test_a_key_whose_request_failed_may_be_used_again(api: Api) -> None:
    key = {"Idempotency-Key": "k-2"}
    assert api.post("/models/load/rollback", {"target_version": "1"}, headers=key).status_code == 409
    put(api, 1)
    put(api, 2)
    assert api.post("/models/load/rollback", {"target_version": "1"}, headers=key).status_code == 200


@pytest.mark.usefixtures("versions")
@pytest.mark.parametrize("key", ["", "x" * 129, "with blank", "tab\there"])
def test_a_key_of_another_form_is_refused(api: Api, key: str) -> None:
    assert api.post("/models/load/rollback", headers={"Idempotency-Key": key}).status_code == 422


@pytest.mark.usefixtures("versions")
def test_of_two_racing_rollbacks_one_wins(hub: Hub, api: Api) -> None:
    for version in (1, 2, 3):
        put(api, version)
    body = {"target_version": "2", "expected_sequence": 3}
    answers = race(6, lambda n: api.post("/models/load/rollback", {**body, "target_version": str(1 + n % 2)}))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409, 409]
    assert len(hub.registry.history("load")) == 4
    loser = next(answer for answer in answers if answer.status_code == 409).json()
    assert "look again" in loser["detail"]


@pytest.mark.usefixtures("versions")
def test_a_request_sent_twice_at_once_with_one_key_happens_once(hub: Hub, api: Api) -> None:
    key = {"Idempotency-Key": "both"}
    body = {"version": 1, "reason": "better", "override": True}
    answers = race(6, lambda _: api.post("/models/load/deployments", body, headers=key))
    assert {answer.status_code for answer in answers} == {201}
    assert sum("idempotency-replayed" in answer.headers for answer in answers) == 5
    assert len(hub.registry.history("load")) == 1


def race(count: int, call: Callable[[int], Any]) -> list[Any]:
    answers: list[Any] = []
    start = threading.Barrier(count)

    def run(number: int) -> None:
        start.wait()
        answers.append(call(number))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return answers


def test_who_may_not_deploy_is_told_so(hub: Hub, calls: Callable[..., Api]) -> None:
    register(hub)
    for number, role in enumerate((Role.VIEWER, Role.TRAINER, Role.APPROVER)):
        answer = put(calls(f"user{number}", role), 1)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        assert "deployments:write" in answer.json()["detail"]
    assert put(calls("dora", Role.DEPLOYER), 1).status_code == 403
    dirk = calls("dirk", Role.DEPLOYER)
    assert put(dirk, 1, override=False, environment="staging").status_code == 201
    answer = put(dirk, 1, override=False)
    assert (answer.status_code, answer.json()["status"]) == (202, "waiting")
    assert put(calls("eve", Role.ADMIN, tenant="north"), 1).status_code == 404
