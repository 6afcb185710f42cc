"""A job's log as it is written: server-sent events that a client may resume where its connection broke."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import orjson

from aihub.delivery import jobs
from aihub.errors import AIHubError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aihub.api.context import Caller
    from aihub.delivery.jobs import Job, LogLine

POLL_S = 0.3
HEARTBEAT_S = 10.0
"""Proxies close a connection on which nothing is said for long."""
BATCH = 500
RETRY_MS = 1000
"""Wait of a client before it takes the stream up again."""


async def live_log(
    who: Caller, job: Job, *, after: int, is_stopping: Callable[[], bool] = lambda: False
) -> AsyncIterator[bytes]:
    """Yield every line behind the one with the id `after`, then the state at the end; holds no thread while it waits.

    A database that is away, or a server that stops, ends the stream: the client comes again with the last id it has.
    """
    yield f"retry: {RETRY_MS}\n\n".encode()
    said_at = time.monotonic()
    while not is_stopping():
        try:
            now, lines = await anyio.to_thread.run_sync(_look, who, job, after)
        except AIHubError:
            return
        if lines:
            yield b"".join(_event(line) for line in lines)
            after, said_at = lines[-1].id, time.monotonic()
        if now.state.is_over and len(lines) < BATCH:
            ending = {"status": now.state.value, "gate_passed": now.gate_passed}
            yield b"event: end\ndata: " + orjson.dumps(ending) + b"\n\n"
            return
        if len(lines) < BATCH:
            await anyio.sleep(POLL_S)
        if time.monotonic() - said_at > HEARTBEAT_S:
            yield b": still here\n\n"
            said_at = time.monotonic()


def _look(who: Caller, job: Job, after: int) -> tuple[Job, list[LogLine]]:
    with who.reading() as connection:
        # The state first: what is logged before the end is seen with it.
        now = jobs.get(connection, job.uid, tenant=who.tenant)
        return now, jobs.logs(connection, job, after=after, limit=BATCH)


def _event(line: LogLine) -> bytes:
    return f"id: {line.id}\nevent: line\ndata: ".encode() + orjson.dumps(line.to_dict()) + b"\n\n"
