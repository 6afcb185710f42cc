"""The server that runs the application: what it does when it is ready."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import TYPE_CHECKING

import uvicorn

from aihub.asgi import Server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def nothing(_scope: object, _receive: Callable[[], Awaitable[object]], _send: object) -> None:
    """Answer nothing: no request is made."""


def test_a_server_that_is_ready_looks_no_more_through_what_it_has_loaded() -> None:
    config = uvicorn.Config(nothing, host="127.0.0.1", port=0, lifespan="off", log_config=None)
    config.load()
    frozen: dict[str, int] = {}
    server = Server(config, lambda url: frozen.update({url: gc.get_freeze_count()}), threading.Event())
    server.lifespan = config.lifespan_class(config)

    async def start_and_stop() -> None:
        await server.startup()
        await server.shutdown()

    try:
        asyncio.run(start_and_stop())
        ((url, count),) = frozen.items()
        assert url.startswith("http://127.0.0.1:")
        assert count > 10_000
        assert len(gc.get_objects()) < count / 2
    finally:
        gc.unfreeze()
