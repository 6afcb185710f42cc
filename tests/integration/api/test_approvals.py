from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from aihub.types import Role
from hubs import register

if TYPE_CHECKING:
    from collections.abc import Callable

    from aihub.hub import Hub
    from hubs import Api


@pytest.fixture
def asked(hub: Hub, calls: Callable[..., Api]) -> dict[str, Any]:
    """A request for approval of a version that runs in staging."""
    register(hub)
    dirk = calls("dirk", Role.DEPLOYER)
    body = {"version": "1", "reason": "better"}
    assert dirk.post("/models/load/deployments", {**body, "environment": "staging"}).status_code == 201
    answer = dirk.post("/models/load/deployments", body)
    assert answer.status_code == 202
    found: dict[str, Any] = answer.json()["approval"]
    return found


def test_another_persons_yes_deploys(calls: Callable[..., Api], asked: dict[str, Any]) -> None:
    paula = calls("paula", Role.APPROVER)
    (shown,) = paula.get("/approvals?state=pending").json()["items"]
    assert shown == asked == paula.get(f"/approvals/{asked['id']}").json()
    body = {"decision": "approve", "reason": "looked at it", "artifact_digest": shown["artifact_digest"]}
    key = {"Idempotency-Key": "yes"}
    done, again = (paula.post(f"/approvals/{asked['id']}/decision", body, headers=key) for _ in range(2))
    assert (done.status_code, done.json()["state"]) == (200, "approved")
    assert again.json() == done.json()
    serving = paula.get("/models/load").json()["serving"]
    assert {one["environment"] for one in serving} == {"staging", "production"}
    assert paula.post(f"/approvals/{asked['id']}/decision", body).status_code == 409
    assert paula.get("/approvals?state=pending").json()["items"] == []


def test_who_asked_who_may_not_and_what_was_not_looked_at(
    calls: Callable[..., Api], asked: dict[str, Any]
) -> None:
    path, body = f"/approvals/{asked['id']}/decision", {"decision": "approve", "reason": "fine"}
    assert calls("dirk", Role.ADMIN).post(path, body).status_code == 403
    assert calls("vera", Role.VIEWER).post(path, body).status_code == 403
    paula = calls("paula", Role.APPROVER)
    other = paula.post(path, {**body, "artifact_digest": "0" * 64})
    assert (other.status_code, "look at it again" in other.json()["detail"]) == (409, True)
    for wrong in (
        {"decision": "approve"},
        {**body, "reason": ""},
        {**body, "decision": "maybe"},
        {**body, "artifact_digest": "x"},
    ):
        assert paula.post(path, wrong).status_code == 422
    assert paula.get(f"/approvals/{asked['id']}").json()["state"] == "pending"


def test_a_no_ends_it(calls: Callable[..., Api], asked: dict[str, Any]) -> None:
    paula = calls("paula", Role.APPROVER)
    answer = paula.post(f"/approvals/{asked['id']}/decision", {"decision": "reject", "reason": "too bold"})
    assert answer.json()["state"] == "rejected"
    assert answer.json()["decisions"][0]["reason"] == "too bold"
    assert [s["environment"] for s in paula.get("/models/load").json()["serving"]] == ["staging"]


def test_another_tenant_sees_and_decides_nothing(calls: Callable[..., Api], asked: dict[str, Any]) -> None:
    eve = calls("eve", tenant="north")
    assert eve.get("/approvals").json()["items"] == []
    assert eve.get(f"/approvals/{asked['id']}").status_code == 404
    body = {"decision": "approve", "reason": "mine"}
    assert eve.post(f"/approvals/{asked['id']}/decision", body).status_code == 404
    for path in ("deployments", "rollouts"):
        assert eve.get(f"/models/load/{path}").status_code == 404
        assert calls("ann" + path).get(f"/models/load/{path}").status_code == 200
    for action in ("promote", "stop"):
        assert eve.post(f"/models/load/rollouts/x/{action}", {"reason": "mine"}).status_code == 404
