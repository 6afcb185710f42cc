"""The page behind the links of a notification, on each database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from aihub.delivery import deployments
from aihub.delivery.approval_records import get
from aihub.delivery.orders import DeployOrder
from aihub.notify.links import DecisionLink, link_key, sign
from aihub.registry.records import PRODUCTION
from aihub.store import keys, tenants
from aihub.store.engine import EVERY_TENANT, read, write
from aihub.types import Role
from hubs import give_key, register

if TYPE_CHECKING:
    from collections.abc import Callable

    from aihub.delivery.approval_records import Approval
    from aihub.hub import Hub
    from hubs import Api


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def approval(hub: Hub) -> Approval:
    """Ann has asked for the first version to go into production, and Bob may decide."""
    give_key(hub, "bob", Role.APPROVER)
    spec = {"policy": {"environments": {"production": {"approval": {"approvers": 1}}}}}
    version = register(hub, spec=spec, metrics={"mae": 38.5})
    order = DeployOrder(
        model="load",
        version=version.number,
        environment=PRODUCTION,
        actor="ann",
        role=Role.DEPLOYER,
        reason="better",
    )
    with write(hub.engine, tenant="default") as connection:
        outcome = deployments.deploy(connection, hub.registry, order, now())
    assert outcome.approval is not None, outcome
    return outcome.approval


def link(hub: Hub, approval: Approval, /, **changes: Any) -> str:
    given: dict[str, Any] = {
        "tenant": "default",
        "approval": approval.uid,
        "decision": "approve",
        "digest": approval.artifact_digest,
        "expires_at": int((now() + timedelta(hours=1)).timestamp()),
        "principal": "bob",
    }
    return f"/links/{sign(DecisionLink(**{**given, **changes}), link_key(hub.audit.key))}"


def state(hub: Hub, approval: Approval) -> str:
    with read(hub.engine, tenant="default") as connection:
        return get(connection, approval.uid, tenant="default").state


def test_opening_a_link_decides_nothing_and_its_button_does(
    hub: Hub, calls: Callable[..., Api], approval: Approval
) -> None:
    stranger = calls()
    stranger.token = ""
    path = link(hub, approval)
    shown = stranger.get(path)
    assert shown.status_code == 200
    assert "You decide as <strong>bob</strong>" in shown.text
    assert "<dt>Gate</dt><dd>passed</dd>" in shown.text
    assert "<dt>Mae</dt><dd>38.5</dd>" in shown.text
    assert "script" not in shown.text
    assert "default-src 'none'" in shown.headers["content-security-policy"]
    assert state(hub, approval) == "pending"
    done = stranger.post(path, data={"reason": "looks good", "decision": "approve"})
    assert done.status_code == 200, done.text
    assert state(hub, approval) == "approved"
    assert "nothing to decide" in stranger.get(path).text
    assert stranger.post(path, data={"reason": "again", "decision": "approve"}).status_code == 409


def test_who_submitted_does_not_decide_by_a_link_either(
    hub: Hub, calls: Callable[..., Api], approval: Approval
) -> None:
    answer = calls().post(link(hub, approval, principal="ann"), data={"reason": "mine"})
    assert answer.status_code == 403
    assert state(hub, approval) == "pending"


def test_a_link_for_several_people_asks_for_a_key(
    hub: Hub, calls: Callable[..., Api], approval: Approval
) -> None:
    api, carl, viewer = calls(), calls("carl", Role.APPROVER), calls("vera", Role.VIEWER)
    path = link(hub, approval, principal="", decision="view")
    assert api.post(path, data={"reason": "x", "decision": "reject"}).status_code == 422
    assert api.post(path, data={"reason": "x", "decision": "reject", "key": viewer.token}).status_code == 403
    assert api.post(path, data={"reason": "x", "decision": "reject", "key": "hub_0_0"}).status_code == 401
    assert state(hub, approval) == "pending"
    assert api.post(path, data={"reason": "no", "decision": "reject", "key": carl.token}).status_code == 200
    assert state(hub, approval) == "rejected"


@pytest.mark.parametrize(
    ("changes", "form"),
    [
        ({}, {"decision": "reject", "reason": "x", "status": 403}),
        ({}, {"reason": "  ", "status": 422}),
        ({"digest": "f" * 64}, {"reason": "x", "status": 409}),
        ({"expires_at": 1}, {"reason": "x", "status": 403}),
        ({"approval": "apr_none"}, {"reason": "x", "status": 404}),
        ({"tenant": "other"}, {"reason": "x", "status": 403}),
        ({"principal": "nobody"}, {"reason": "x", "status": 403}),
    ],
)
def test_a_link_allows_only_what_it_says(
    hub: Hub,
    calls: Callable[..., Api],
    approval: Approval,
    changes: dict[str, Any],
    form: dict[str, str | int],
) -> None:
    form = {**form}
    status = form.pop("status")
    answer = calls().post(link(hub, approval, **changes), data=form)
    assert answer.status_code == status, answer.text
    assert state(hub, approval) == "pending"


def test_a_forged_link_shows_nothing(calls: Callable[..., Api], approval: Approval) -> None:
    answer = calls().get("/links/e30.AAAA")
    assert answer.status_code == 403
    assert approval.uid not in answer.text


@pytest.mark.parametrize("lost", ["key", "role", "tenant"])
def test_a_link_ends_with_the_right_of_whom_it_was_sent_to(
    hub: Hub, calls: Callable[..., Api], approval: Approval, lost: str
) -> None:
    stranger = calls()
    stranger.token = ""
    path = link(hub, approval)
    assert stranger.get(path).status_code == 200
    by: dict[str, Any] = {"actor": "root", "now": now(), "audit": hub.audit}
    with write(hub.engine, tenant=EVERY_TENANT) as connection:
        if lost == "tenant":
            tenants.change(connection, "default", is_active=False, **by)
        else:
            (own,) = (key for key in keys.every_key(connection, tenant="default") if key.principal == "bob")
            keys.revoke(connection, own.id, tenant="default", **by)
            if lost == "role":
                given: dict[str, Any] = {"tenant": "default", "principal": "bob", **by}
                keys.issue(connection, role=Role.VIEWER, **given)
                keys.issue(connection, role=Role.ADMIN, scopes=["models:read"], **given)
    for answer in (stranger.get(path), stranger.post(path, data={"reason": "x", "decision": "approve"})):
        assert answer.status_code == 403
        assert approval.artifact_digest not in answer.text
    assert state(hub, approval) == "pending"


def test_an_operator_decides_by_a_link_in_every_tenant(
    hub: Hub, calls: Callable[..., Api], approval: Approval
) -> None:
    give_key(hub, "olga", Role.ADMIN, tenant="*")
    answer = calls().post(link(hub, approval, principal="olga"), data={"reason": "fine"})
    assert answer.status_code == 200, answer.text
    assert state(hub, approval) == "approved"
