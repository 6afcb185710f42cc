"""The ASGI application of a hub: the border, the lean routes, and the API behind them; and the server that runs it."""

from __future__ import annotations

import gc
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import uvicorn

from aihub.api.app import create_app
from aihub.api.border import Border
from aihub.api.bounded_http import BoundedHttp
from aihub.api.metrics import Metrics
from aihub.api.predict_route import PredictRoute
from aihub.api.quick_http import with_route
from aihub.auth import Authenticator
from aihub.delivery.operations import LoadCheck
from aihub.errors import UnavailableError
from aihub.exposure import check_exposure
from aihub.monitoring.gauges import ModelCollector
from aihub.serving.metrics import ServingCollector
from aihub.traces import Tracing

if TYPE_CHECKING:
    import socket
    import threading
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

    from fastapi import APIRouter

    from aihub.api.border import App
    from aihub.api.context import Access
    from aihub.hub import Hub
    from aihub.serving.pool import ServingPool

IDLE_S = 30
"""Seconds for which a connection without a request is kept."""


def build(
    hub: Hub,
    *,
    access: Access | None = None,
    front: Callable[[App], App] = lambda app: app,
    routers: Sequence[APIRouter] = (),
    tracing: Tracing | None = None,
    pool: ServingPool | None = None,
    stopping: threading.Event | None = None,
    loads: LoadCheck | None = None,
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
    stopping
        Set by `serve` when the process is told to stop: live streams then end.
    loads
        Tries out what a rollback goes to; None: in a child process what the pool has not in memory.
    """
    metrics = Metrics()
    metrics.registry.register(ModelCollector(hub.observations))
    if loads is None:
        loads = LoadCheck() if pool is None else LoadCheck(is_warm=pool.is_warm)
    access = access or Authenticator.of(hub)
    api = create_app(hub, access=access, metrics=metrics, loads=loads, routers=routers)
    if stopping is not None:
        api.state.is_stopping = stopping.is_set
    api.state.pool = pool
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


def settle_memory() -> None:
    """Take what has been loaded by now out of the search for unreachable objects.

    The modules alone are half a million objects that stay for ever. Looking through them held up a request for 130 ms,
    one of some hundreds.
    """
    gc.collect()
    gc.freeze()


class Server(uvicorn.Server):
    """A server that says when it listens, and ends live streams when it stops."""

    def __init__(
        self, config: uvicorn.Config, on_ready: Callable[[str], None], stopping: threading.Event
    ) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._stopping = stopping

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say at which address."""
        await super().startup(sockets)
        if self.started:
            settle_memory()
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self._on_ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop."""
        self._stopping.set()
        super().handle_exit(sig, frame)


def serve(
    hub: Hub,
    app: App,
    *,
    stopping: threading.Event,
    on_ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve until the process is told to stop; requests that are under way are answered first.

    Raises
    ------
    ConfigError
        The hub would let anybody in on an address that others reach.
    UnavailableError
        The address is taken, or not one of this machine.
    """
    settings = hub.settings
    check_exposure(settings, settings.host)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=with_route(app) if isinstance(app, PredictRoute) else BoundedHttp,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=max(1, round(settings.stop_timeout_s)),
    )
    with _outliving_signals():
        try:
            Server(config, on_ready, stopping).run()
        except SystemExit:
            # The server's own way to say that it cannot listen; its log line has the reason.
            message = (
                f"{settings.host}:{settings.port} cannot be listened on; stop what does, or set AIHUB_PORT"
            )
            raise UnavailableError(message) from None


@contextmanager
def _outliving_signals() -> Iterator[None]:
    """Let the process outlive the signal that stopped its server, which sends it on: there is more to put in order."""
    before = {number: signal.signal(number, _nothing) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _nothing(_number: int, _frame: object) -> None:
    pass
