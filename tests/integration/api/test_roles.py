"""Every address with every role, and with the wrong tenant: the addresses are taken from the application itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from aihub import asgi
from aihub.access import ROLE_SCOPES
from aihub.api.app import create_app
from aihub.api.context import declared
from aihub.auth import Authenticator
from aihub.store.audit_pages import find_events
from aihub.store.engine import EVERY_TENANT, read
from aihub.types import Role
from hubs import Cast, made_hub, register, served, two_tenants

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy.engine import Engine

    from aihub.hub import Hub

# Answered from memory by a pool, which this process has not; tests/unit/serving asks those with the wrong tenant.
POOLED = {"/models/{name}/predict", "/models/{name}/schema"}
MODEL = "the-load-of-acme"
JOB = {
    "model_type": "forecast",
    "config": {"algorithm": "lgbm", "features": ["t"], "target": "load"},
    "name": MODEL,
}


@dataclass(frozen=True)
class House:
    """A hub over which two tenants are spread, and what it serves."""

    hub: Hub
    http: httpx.Client
    cast: Cast
    ids: dict[str, str]

    @property
    def guarded(self) -> list[tuple[str, str, str]]:
        """Method, path and scope of every route that wants a credential."""
        app = create_app(self.hub, access=Authenticator.of(self.hub))
        return [(method, path, scope) for method, path, scope in declared(app) if scope]

    def ask(self, method: str, path: str, token: str | None, **given: Any) -> httpx.Response:
        """Ask an address for acme's things."""
        filled = re.sub(r"\{(\w+)(?::\w+)?\}", lambda match: self.ids.get(match[1], "x"), path)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return self.http.request(method, filled, headers=headers, **given)

    def key(self, tenant: str, role: Role = Role.ADMIN) -> str:
        """Key of a role."""
        return self.cast.keys[tenant, role]

    def events(self) -> int:
        """Number of acme's audit events."""
        with read(self.hub.engine, tenant=EVERY_TENANT) as connection:
            newest = find_events(connection, tenant="acme", limit=1)
        return int(newest[0]["sequence"])


@pytest.fixture
def house(database: Engine, tmp_path: Path) -> Iterator[House]:
    with (
        made_hub(database, tmp_path / "home", rate_limit_per_s=0) as hub,
        served(asgi.build(hub)) as url,
        httpx.Client(base_url=url, timeout=30) as http,
    ):
        cast = two_tenants(hub)
        register(hub, MODEL, tenant="acme")
        admin = {"Authorization": f"Bearer {cast.keys['acme', Role.ADMIN]}"}
        job = http.post("/ai/training/jobs", json=JOB, headers=admin)
        table = b"timestamp,t,load\n2026-01-01 00:00:00,1.0,2.0\n2026-01-01 01:00:00,1.5,2.5\n"
        data = http.post("/ai/datasets", params={"name": MODEL}, content=table, headers=admin)
        assert (job.status_code, data.status_code) == (201, 201), job.text + data.text
        ids = {"job_id": job.json()["job_id"], "dataset_id": data.json()["dataset_id"]}
        ids |= {"name": MODEL, "reference": "1"}
        yield House(hub, http, cast, ids)


def test_without_a_credential_nothing_is_answered(house: House) -> None:
    for method, path, _ in house.guarded:
        for token in (None, "hub_wrong", house.key("acme")[:-1] + "~"):
            answer = house.ask(method, path, token)
            assert answer.status_code == 401, (method, path)
            assert MODEL not in answer.text.replace(f"/models/{MODEL}", "")


@pytest.mark.parametrize("role", list(Role))
def test_a_role_reaches_what_its_scopes_say_and_nothing_else(house: House, role: Role) -> None:
    # As bolt, which has nothing: what the role may do ends in 404, 422 or an empty list, and changes nothing.
    for method, path, scope in house.guarded:
        answer = house.ask(method, path, house.key("bolt", role))
        allowed = scope in ROLE_SCOPES[role]
        assert (answer.status_code == 403) == (not allowed), (method, path, scope, answer.text)
        assert answer.status_code != 401


def test_another_tenants_things_do_not_exist(house: House) -> None:
    before = house.events()
    for method, path, scope in house.guarded:
        if scope == "tenants:write" or path in POOLED:
            continue
        given = {} if method == "GET" else {"json": {"reason": "theft", "version": 1, "rows": [{"t": 1}]}}
        answer = house.ask(method, path, house.key("bolt"), **given)
        if "{" in path:
            assert answer.status_code in (404, 422), (method, path, answer.text)
        known = all(name in house.ids for name in re.findall(r"\{(\w+)", path))
        if method == "GET" and known:
            assert answer.status_code == (404 if "{" in path else 200), (method, path, answer.text)
        # A refusal may repeat what was asked for, and an answer may not tell of it.
        if answer.status_code < 400:
            assert not any(
                one in answer.text for one in (MODEL, house.ids["job_id"], house.ids["dataset_id"])
            )
    assert house.events() == before


def test_the_same_questions_of_the_right_tenant_are_answered(house: House) -> None:
    """So that the 404 of the wrong tenant says something."""
    asked = 0
    for method, path, scope in house.guarded:
        known = all(name in house.ids for name in re.findall(r"\{(\w+)", path))
        if method != "GET" or scope == "tenants:write" or path in POOLED or not known:
            continue
        asked += "{" in path
        answer = house.ask(method, path, house.key("acme"))
        assert answer.status_code in (200, 304), (path, answer.text)
    assert asked >= 8


def test_a_body_cannot_name_another_tenant(house: House) -> None:
    for tenant in ("acme", "nobody"):
        token = house.key("bolt")
        answer = house.ask("POST", "/ai/training/jobs", token, json={**JOB, "tenant_id": tenant})
        assert answer.status_code == 404
        headers = {"Authorization": f"Bearer {token}", "X-AIHub-Tenant": tenant}
        assert house.http.get("/models", headers=headers).status_code == 404
