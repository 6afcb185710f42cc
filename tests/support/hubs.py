"""A hub with its API for tests: real application, real database, one known identity a key."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import uvicorn

from aihub.delivery import rollouts
from aihub.delivery.strategy import Strategy
from aihub.hub import Hub, opened
from aihub.registry.artifacts import Manifest, pack
from aihub.registry.lineage import collect
from aihub.registry.promotion import Order
from aihub.registry.records import Action
from aihub.settings import Settings, from_environment
from aihub.store import keys, tenants
from aihub.store.engine import EVERY_TENANT, write
from aihub.types import OPERATOR_TENANT, Role
from databases import lay_tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import httpx
    from sqlalchemy.engine import Engine

    from aihub.registry.records import Version

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@contextmanager
def served(app: Any) -> Iterator[str]:
    """Serve an ASGI application on a free port of this machine; its address."""
    # One event loop for all, as in production; the logs are the tests' own.
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="on"))
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("the server did not start")
            time.sleep(0.005)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()


@contextmanager
def hub_in(home: Path, **settings: Any) -> Iterator[Hub]:
    """A hub on SQLite in an empty folder."""
    for name in ("hub.db", "monitoring.db"):
        lay_tables(home / name)
    with opened(Settings(home=home, mlflow_tracking_uri="off", **settings)) as hub:
        yield hub


@contextmanager
def made_hub(engine: Engine, home: Path, **settings: Any) -> Iterator[Hub]:
    """A hub on a database of its own."""
    url = engine.url.render_as_string(hide_password=False)
    found = from_environment(
        {}, home=home, database_url=url, mlflow_tracking_uri="off", audit_key="k" * 32, **settings
    )
    with opened(found) as hub:
        yield hub


def give_key(hub: Hub, principal: str = "ann", role: Role = Role.ADMIN, *, tenant: str = "default") -> str:
    """A key of a tenant, which is made where it is missing; `*` is the operators'."""
    with write(hub.engine, tenant=EVERY_TENANT) as connection:
        if tenant != OPERATOR_TENANT:
            tenants.ensure(connection, tenant, actor="test", now=NOW, audit=hub.audit)
        made = keys.issue(
            connection, tenant=tenant, principal=principal, role=role, actor="test", now=NOW, audit=hub.audit
        )
    return made.token


@dataclass(frozen=True)
class Cast:
    """Two tenants with a key of every role, and an operator."""

    keys: dict[tuple[str, Role], str]
    operator: str


def two_tenants(hub: Hub) -> Cast:
    """Make the tenants acme and bolt, whose people are called after their roles."""
    pairs = [(tenant, role) for tenant in ("acme", "bolt") for role in Role]
    keys = {(tenant, role): give_key(hub, role.value, role, tenant=tenant) for tenant, role in pairs}
    return Cast(keys, give_key(hub, "operator", tenant=OPERATOR_TENANT))


def register(
    hub: Hub,
    name: str = "load",
    *,
    tenant: str = "default",
    content: bytes = b"1",
    files: Mapping[str, bytes] = MappingProxyType({}),
    **given: Any,
) -> Version:
    """A version of an artefact that no library could load; `files` lie beside the model."""
    digest = hub.artifacts.put(pack({"model.json": content, **files}, Manifest(kind="forecast/1", name=name)))
    config = {"model_type": "forecast", "features": ["t"], "target": "load", "algorithm": "lgbm", "seed": 0}
    data, git = {"sha256": "0" * 64, "rows": 10}, (given.pop("commit", None), None)
    lineage = collect({**config, **given.pop("config", {})}, data, requested_by="ann", now=NOW, git=git)
    arguments = {"status": "candidate", "actor": "ann", "now": NOW, "report": {"passed": True}, **given}
    return hub.registry_of(tenant).register_version(name, digest, lineage, **arguments)


@dataclass
class Api:
    """Calls the API as somebody."""

    hub: Hub
    http: httpx.Client
    token: str = ""
    tenant: str | None = None

    def headers(self, given: dict[str, str] | None = None) -> dict[str, str]:
        """Headers of a request."""
        own = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return {**own, **({"X-AIHub-Tenant": self.tenant} if self.tenant else {}), **(given or {})}

    def __call__(self, method: str, path: str, *, headers: dict[str, str] | None = None, **given: Any) -> Any:
        """The answer to one request."""
        return self.http.request(method, path, headers=self.headers(headers), **given)

    def get(self, path: str, **given: Any) -> Any:
        """Answer to a GET."""
        return self("GET", path, **given)

    def post(self, path: str, json: Any = None, **given: Any) -> Any:
        """Answer to a POST."""
        return self("POST", path, json=json, **given) if json is not None else self("POST", path, **given)


def beside(
    hub: Hub,
    version: Version,
    kind: Literal["canary", "shadow"],
    *,
    since: datetime,
    champion_sequence: int,
    reason: str = "test",
) -> rollouts.RolloutRecord:
    """Let a version run beside the champion of production."""
    order = Order(
        action=Action.DEPLOY,
        environment="production",
        actor="ann",
        reason=reason,
        now=since,
        key=None,
        expected_sequence=None,
    )
    with write(hub.engine, tenant="default") as connection:
        return rollouts.start(
            connection,
            hub.registry,
            version,
            order,
            strategy=Strategy(kind=kind),
            champion_sequence=champion_sequence,
        )
