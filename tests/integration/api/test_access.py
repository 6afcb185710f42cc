from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from aihub.store.access_tables import idempotency
from aihub.store.engine import EVERY_TENANT, read
from aihub.types import Role

if TYPE_CHECKING:
    from collections.abc import Callable

    from aihub.hub import Hub
    from hubs import Api


def test_a_key_is_made_shown_once_rotated_and_ended(hub: Hub, api: Api, calls: Callable[..., Api]) -> None:
    key = {"Idempotency-Key": "new-key"}
    made = api.post("/keys", {"principal": "bob", "role": "trainer"}, headers=key)
    assert made.status_code == 201
    token, ident = made.json()["token"], made.json()["id"]
    again = api.post("/keys", {"principal": "bob", "role": "trainer"}, headers=key)
    assert (again.status_code, "shown once" in again.json()["detail"]) == (409, True)
    with read(hub.engine, tenant=EVERY_TENANT) as connection:
        assert token not in str(connection.execute(sa.select(idempotency)).all())
    assert "token" not in str(api.get("/keys").json())

    bob = calls("nobody")
    bob.token = token
    assert bob.get("/models").status_code == 200
    assert bob.get("/keys").status_code == 403
    fresh = api.post(f"/keys/{ident}/rotate", {"overlap_s": 3600}).json()["token"]
    assert bob.get("/models").status_code == 200
    assert api.post(f"/keys/{ident}/revoke", {"reason": "leaked"}).json()["state"] == "revoked"
    assert bob.get("/models").status_code == 401
    bob.token = fresh
    assert bob.get("/models").status_code == 200


def test_a_tenants_admin_reaches_no_key_of_others(calls: Callable[..., Api]) -> None:
    ann, eve = calls("ann"), calls("eve", tenant="north")
    (key,) = (item["id"] for item in ann.get("/keys").json()["items"] if item["principal"] == "ann")
    assert [item["principal"] for item in eve.get("/keys").json()["items"]] == ["eve"]
    for action in ("rotate", "revoke"):
        assert eve.post(f"/keys/{key}/{action}").status_code == 404
    answer = eve.post("/keys", {"principal": "x", "role": "admin", "is_operator": True})
    assert answer.status_code == 403
    assert eve.get("/tenants").status_code == 403


def test_a_narrowed_key_makes_none_that_may_do_more(api: Api, calls: Callable[..., Api]) -> None:
    own = next(key["id"] for key in api.get("/keys").json()["items"] if key["principal"] == "ann")
    body = {"principal": "nan", "role": "admin", "scopes": ["keys:write", "models:read"]}
    narrow = calls("nobody")
    narrow.token = api.post("/keys", body).json()["token"]
    for path, sent in (
        ("/keys", {"principal": "x", "role": "admin"}),
        ("/keys", {"principal": "x", "role": "viewer"}),
        (f"/keys/{own}/rotate", None),
    ):
        answer = narrow.post(path, sent)
        assert (answer.status_code, "has not" in answer.json()["detail"]) == (403, True)
    fitting = {"principal": "x", "role": "viewer", "scopes": ["models:read"]}
    assert narrow.post("/keys", fitting).status_code == 201


def test_the_audit_log_is_found_by_who_what_and_when(api: Api, calls: Callable[..., Api]) -> None:
    calls("root", tenant="*")
    for principal in ("bob", "cid"):
        api.post("/keys", {"principal": principal, "role": "viewer"})
    made = api.get("/audit", params={"actor": "ann"}).json()["items"]
    assert [event["after"]["principal"] for event in made] == ["cid", "bob"]
    newest, before = made[0]["at"], made[1]["at"]
    for wanted, expected in (
        ({"start": newest}, ["cid"]), ({"end": newest}, ["bob"]), ({"start": before, "end": newest}, ["bob"]),
        ({"action": "key.created", "subject": made[0]["subject"]}, ["cid"]), ({"actor": "nobody"}, []),
    ):  # fmt: skip
        found = api.get("/audit", params={"actor": "ann", **wanted}).json()["items"]
        assert [event["after"]["principal"] for event in found] == expected
    for wrong in ("yesterday", "2026-01-01T00:00:00", "0001-01-01T00:00:00+05:00"):
        answer = api.get("/audit", params={"start": wrong})
        assert (answer.status_code, answer.json()["field"]) == (422, "start")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"principal": "x"}, "role"), ({"principal": "x y", "role": "admin"}, "principal"), ({"principal": "x", "role": "king"}, "role"),
        ({"principal": "x", "role": "viewer", "scopes": []}, "scopes"), ({"principal": "x", "role": "viewer", "scopes": ["all"]}, ""),
        ({"principal": "x", "role": "viewer", "scopes": ["keys:write"]}, ""),
        ({"principal": "x", "role": "viewer", "expires_at": "9999-12-31T23:59:59-12:00"}, "expires_at"),
        ({"principal": "x", "role": "viewer", "expires_at": "2020-01-01T00:00:00Z"}, ""), ({"principal": "x", "role": "viewer", "expires_at": "2020-01-01T00:00:00"}, "expires_at"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_key_that_cannot_be_made_says_why(api: Api, body: dict[str, object], field: str) -> None:
    answer = api.post("/keys", body)
    assert answer.status_code == 422
    assert answer.json().get("field", "").startswith(field)


def test_an_operator_makes_a_tenant_its_rules_and_its_first_key(calls: Callable[..., Api]) -> None:
    root = calls("root", tenant="*")
    assert root.post("/tenants", {"id": "south", "rules": {"max_running_jobs": 2}}).status_code == 201
    assert root.post("/tenants", {"id": "south"}).status_code == 409
    assert root.post("/tenants", {"id": "x", "rules": {"max_jobs": 2}}).status_code == 422
    assert root.get("/tenants/south").json()["rules"] == {"max_running_jobs": 2}
    root.tenant = "south"
    token = root.post("/keys", {"principal": "sue", "role": "admin"}).json()["token"]
    sue = calls("nobody")
    sue.token = token
    assert sue.get("/models").status_code == 200
    changed = root("PATCH", "/tenants/south", json={"is_active": False, "reason": "has left"}).json()
    assert (changed["is_active"], changed["rules"]) == (False, {"max_running_jobs": 2})
    assert sue.get("/models").status_code == 401
    root.tenant = None
    page = root.get("/tenants?limit=1").json()
    rest = root.get("/tenants", params={"cursor": page["next"]}).json()
    assert [item["id"] for item in (*page["items"], *rest["items"])] == ["default", "south"]
    operator = root.post("/keys", {"principal": "otto", "role": "viewer", "is_operator": True}).json()
    assert operator["tenant_id"] == "*"
    assert calls("plain", Role.ADMIN).get("/tenants").status_code == 403
