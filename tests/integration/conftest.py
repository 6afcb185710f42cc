"""A hub on each database, and its API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from aihub import asgi
from aihub.types import Role
from hubs import Api, give_key, made_hub, served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy.engine import Engine

    from aihub.hub import Hub


def one_form_of_times(response: httpx.Response) -> None:
    """Hold every answer to times that end with Z."""
    if "json" in response.headers.get("content-type", ""):
        assert b"+00:00" not in response.read(), response.text


@pytest.fixture
def hub(database: Engine, tmp_path: Path) -> Iterator[Hub]:
    """A hub on SQLite, and on PostgreSQL."""
    with made_hub(database, tmp_path / "home", max_streams=3, max_streams_per_caller=2) as hub:
        yield hub


@pytest.fixture
def calls(hub: Hub) -> Iterator[Callable[..., Api]]:
    """Make a caller of the API with a new key: name, role, tenant."""
    hooks = {"response": [one_form_of_times]}
    with served(asgi.build(hub)) as url, httpx.Client(base_url=url, timeout=30, event_hooks=hooks) as http:

        def make(
            principal: str = "ann", role: Role = Role.ADMIN, tenant: str = "default", **given: Any
        ) -> Api:
            return Api(hub, http, give_key(hub, principal, role, tenant=tenant), **given)

        yield make


@pytest.fixture
def api(calls: Callable[..., Api]) -> Api:
    """The API as an admin of the default tenant."""
    return calls()
