"""Who asks too often, and who has a browser ask for another site."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from aihub import asgi
from aihub.types import Role
from hubs import Api, give_key, made_hub, served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy.engine import Engine


@pytest.fixture
def open_api(database: Engine, tmp_path: Path) -> Iterator[Api]:
    """An API that lets anybody on this machine train, three requests at once."""
    settings = {"anonymous_role": Role.TRAINER, "rate_limit_per_s": 0.01, "rate_burst": 3}
    with (
        made_hub(database, tmp_path / "home", **settings) as hub,
        served(asgi.build(hub)) as url,
        httpx.Client(base_url=url, timeout=30) as http,
    ):
        yield Api(hub, http)


def test_each_principal_has_its_own_limit(open_api: Api) -> None:
    key = {"Authorization": f"Bearer {give_key(open_api.hub, 'ann')}"}
    assert [open_api.get("/models").status_code for _ in range(4)] == [200, 200, 200, 429]
    assert open_api.get("/models", headers=key).status_code == 200
    refused = open_api.get("/models")
    assert refused.json()["code"] == "too_many"
    assert int(refused.headers["retry-after"]) > 1
    assert open_api.get("/health").status_code == 200


def test_an_open_hub_is_not_open_to_pages_of_other_sites(open_api: Api) -> None:
    foreign = {"Origin": "https://evil.example"}
    assert open_api.post("/models/load/rollback", headers=foreign).status_code == 403
    assert open_api.get("/models", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert open_api.get("/models").status_code == 200
    key = {"Authorization": f"Bearer {give_key(open_api.hub, 'ann')}", **foreign}
    assert open_api.get("/models", headers=key).status_code == 200


def test_an_open_hub_gives_no_more_than_its_role(open_api: Api) -> None:
    assert open_api.post("/models/load/deployments", {"version": 1, "reason": "x"}).status_code == 403
    assert open_api.get("/models", headers={"Authorization": "Bearer hub_wrong"}).status_code == 401
