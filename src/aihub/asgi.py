"""The ASGI application of a hub: the border, the lean routes, and the API behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aihub.api.app import create_app
from aihub.api.border import Border
from aihub.api.metrics import Metrics
from aihub.api.predict_route import PredictRoute
from aihub.auth import Authenticator
from aihub.serving.metrics import ServingCollector
from aihub.traces import Tracing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastapi import APIRouter

    from aihub.api.border import App
    from aihub.api.context import Access
    from aihub.hub import Hub
    from aihub.serving.pool import ServingPool


def build(
    hub: Hub,
    *,
    access: Access | None = None,
    front: Callable[[App], App] = lambda app: app,
    routers: Sequence[APIRouter] = (),
    tracing: Tracing | None = None,
    pool: ServingPool | None = None,
) -> App:
    """Return the application that a server runs.

    Parameters
    ----------
    access
        Knows whom a credential stands for; by default the API keys of the hub.
    front
        Puts routes of other parts before the API.
    pool
        Answers predictions before all of it; the caller starts and stops it. None: this process does not serve.
    """
    metrics = Metrics()
    api = create_app(hub, access=access or Authenticator.of(hub), metrics=metrics, routers=routers)
    settings = hub.settings
    hosts: list[Any] = [*settings.allowed_hosts, settings.host]
    hosts = [host for host in hosts if host not in ("0.0.0.0", "::")]  # noqa: S104 - every address is no name
    border = Border(
        front(api),
        hosts=hosts,
        body_limit=settings.max_body_kb << 10,
        metrics=metrics,
        tracing=tracing or Tracing(),
    )
    if pool is None:
        return border
    metrics.registry.register(ServingCollector(pool))
    return PredictRoute(
        border,
        pool=pool,
        access=api.state.access,
        hosts=hosts,
        body_limit=settings.max_body_kb << 10,
        bulk_limit=settings.max_bulk_mb << 20,
    )
