from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from aihub.api.app import create_app
from aihub.auth import Authenticator
from aihub.github import policies
from aihub.github.protection import EVENT, MAX_BYTES
from aihub.github.trust import TrustPolicy
from aihub.store import engine as engines
from github_side import AUDIENCE, NOW, SECRET, WORKFLOW, Issuer, body, signed
from hubs import hub_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Caller:
    """Calls an application without a socket."""

    def __init__(self, app: Any) -> None:
        self.transport = httpx.ASGITransport(app)

    def request(self, method: str, path: str, **given: Any) -> httpx.Response:
        async def once() -> httpx.Response:
            async with httpx.AsyncClient(transport=self.transport, base_url="http://hub") as client:
                return await client.request(method, path, **given)

        return asyncio.run(once())

    def get(self, path: str, **given: Any) -> httpx.Response:
        return self.request("GET", path, **given)

    def post(self, path: str, **given: Any) -> httpx.Response:
        return self.request("POST", path, **given)


@pytest.fixture
def http(issuer: Issuer, tmp_path: Path) -> Iterator[Caller]:
    """The API of a hub that trusts one workflow, with GitHub's keys in a file and the clock at `NOW`."""
    (tmp_path / "jwks.json").write_bytes(issuer.jwks())
    given: dict[str, Any] = {
        "github_audience": AUDIENCE,
        "github_jwks": f"file:{tmp_path}/jwks.json",
        "github_webhook_secret": SECRET.decode(),
    }
    trusted = TrustPolicy(
        name="deploy",
        repository_id="42",
        repository_owner_id="7",
        roles=("trainer", "deployer"),  # type: ignore[arg-type]
        ref="refs/heads/main",
        job_workflow_ref=WORKFLOW,
        environment="production",
    )
    with hub_in(tmp_path / "home", **given) as hub:
        with engines.write(hub.engine, tenant="default") as connection:
            policies.add(connection, trusted, actor="alice", now=NOW, audit=hub.audit)
        app = create_app(hub, access=Authenticator.of(hub))
        app.state.clock = lambda: NOW
        yield Caller(app)


def test_a_job_signs_in_and_works_with_what_it_got(http: Caller, issuer: Issuer) -> None:
    answer = http.post("/auth/github", json={"token": issuer.token()})
    assert answer.status_code == 200, answer.text
    given = answer.json()
    assert (given["role"], given["tenant"]) == ("deployer", "default")
    authorization = {"Authorization": f"Bearer {given['credential']}"}
    assert http.get("/models", headers=authorization).status_code == 200
    wrong = {"Authorization": f"Bearer {given['credential'][:-1]}_"}
    assert http.get("/models", headers=wrong).status_code == 401


def test_a_refused_job_learns_nothing(http: Caller, issuer: Issuer) -> None:
    token = issuer.token(environment="staging")
    answer = http.post("/auth/github", json={"token": token})
    assert answer.status_code == 401
    assert "github.refused" in answer.json()["detail"]
    assert "production" not in answer.text
    for bad in ({}, {"token": 5}, {"token": ""}, {"token": "x" * 20_000}, {"token": "a", "more": 1}, []):
        assert http.post("/auth/github", json=bad).status_code == 422, bad


def test_a_webhook_is_taken_when_it_is_signed_and_small(http: Caller) -> None:
    content = body()
    headers = {"X-GitHub-Event": EVENT, "X-GitHub-Delivery": "d-1", "X-Hub-Signature-256": signed(content)}
    assert http.post("/github/webhooks", content=content, headers=headers).json() == {"result": "taken"}
    assert http.post("/github/webhooks", content=content, headers=headers).json() == {"result": "known"}
    assert http.post("/github/webhooks", content=content + b" ", headers=headers).status_code == 401
    assert http.post("/github/webhooks", content=b"").status_code == 401
    large = b" " * (MAX_BYTES + 1)
    assert http.post("/github/webhooks", content=large, headers=headers).status_code in {401, 413}
