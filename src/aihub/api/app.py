"""The FastAPI application of a hub: routers, errors, and the description of it all."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from fastapi import Depends, FastAPI
from fastapi.openapi.utils import get_openapi

from aihub.api import (
    approvals,
    audit,
    compare,
    datasets,
    deployments,
    github,
    jobs,
    keys,
    links,
    models,
    monitoring,
    operations,
    papers,
    predictions,
    problems,
    registration,
    rollouts,
    schedules,
    tenants,
    validations,
    versions,
)
from aihub.api.context import declared, refuse_unknown_parameters
from aihub.api.metrics import Metrics
from aihub.delivery.operations import LoadCheck
from aihub.limits import Places, RateLimiter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from fastapi import APIRouter

    from aihub.api.context import Access
    from aihub.hub import Hub

ROUTERS: tuple[APIRouter, ...] = (
    jobs.router,
    datasets.router,
    models.router,
    versions.router,
    papers.router,
    registration.router,
    validations.router,
    compare.router,
    predictions.router,
    monitoring.router,
    deployments.router,
    deployments.curled,
    rollouts.router,
    approvals.router,
    audit.router,
    keys.router,
    tenants.router,
    schedules.router,
    links.router,
    github.router,
    operations.router,
)
"""One a resource. Other parts of the hub give theirs to `create_app`."""
THREADS = 14
"""Requests that are worked on at once; each takes a database connection, of which the pool has 15."""
_ABOUT = """Train, validate, approve, deploy, serve, watch and roll back models.

Send `Authorization: Bearer hub_...`. Times are UTC in ISO 8601. Lists come in pages: pass `next` as `cursor`.
Every POST takes an `Idempotency-Key`: the same key with the same request gets the same answer, and nothing happens twice.
Errors are `application/problem+json`; their `code` is for machines."""


def create_app(
    hub: Hub,
    *,
    access: Access,
    metrics: Metrics | None = None,
    loads: LoadCheck | None = None,
    routers: Sequence[APIRouter] = (),
) -> FastAPI:
    """Return the application of `hub`; `aihub.asgi.build` puts the border around it.

    Parameters
    ----------
    access
        Knows whom a bearer token stands for.
    loads
        Tries out what a rollback goes to; None: everything in a child process, once.
    routers
        Of other parts of the hub, beside our own.
    """
    app = FastAPI(
        title="AI Hub",
        description=_ABOUT,
        version=version("aihub"),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=_lifespan,
    )
    app.state.hub = hub
    app.state.access = access
    app.state.loads = loads or LoadCheck()
    app.state.metrics = metrics or Metrics()
    app.state.limiter = RateLimiter(hub.settings.rate_limit_per_s, hub.settings.rate_burst)
    app.state.streams = Places(hub.settings.max_streams, hub.settings.max_streams_per_caller)
    app.state.is_stopping = lambda: False
    app.state.clock = lambda: datetime.now(UTC)
    problems.install(app)
    for router in (*ROUTERS, *routers):
        app.include_router(router, dependencies=[Depends(refuse_unknown_parameters)])
    _describe(app)
    return app


@asynccontextmanager
async def _lifespan(_app: FastAPI) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    yield


def _describe(app: FastAPI) -> None:
    """Let OpenAPI say the scope of every route, and be made once."""

    @lru_cache(maxsize=1)
    def openapi() -> dict[str, Any]:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        for method, path, scope in declared(app):
            operation = document["paths"].get(path, {}).get(method.lower())
            if operation is not None and scope:
                operation["x-scope"] = scope
                operation["description"] = f"{operation.get('description', '')}\n\nScope: `{scope}`.".strip()
        return document

    @lru_cache(maxsize=1)
    def openapi_json() -> bytes:
        return json.dumps(openapi(), separators=(",", ":"), ensure_ascii=False).encode()

    app.openapi = openapi  # type: ignore[method-assign]
    app.state.openapi_json = openapi_json
