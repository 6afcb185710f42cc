"""A job's log as it is written: server-sent events that a client may resume where its connection broke."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import orjson
from fastapi.responses import StreamingResponse

from aihub.delivery import jobs
from aihub.errors import AIHubError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aihub.api.border import Message, Receive, Scope, Send
    from aihub.api.context import Caller
    from aihub.delivery.jobs import Job, LogLine
    from aihub.limits import Places

POLL_S = 0.3
HEARTBEAT_S = 10.0
"""Proxies close a connection on which nothing is said for long."""
BATCH = 500
RETRY_MS = 1000
"""Wait of a client before it takes the stream up again."""
RECHECK_S = 1.0
"""How often the credential is asked again; an answer may be as old as the authenticator remembers one."""
STALL_S = 30.0
"""How long a client may take nothing of what is sent before the stream is given up: it holds a place."""


class LiveResponse(StreamingResponse):
    """A stream of events that holds one of the caller's places while it goes on."""

    def __init__(self, content: AsyncIterator[bytes], places: Places, who: Caller) -> None:
        super().__init__(content, media_type="text/event-stream")
        self._places = places
        # An operator is one caller, in whatever tenants he follows something.
        self._name = ("" if who.identity.is_operator else who.tenant, who.identity.principal)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream to its end.

        Raises
        ------
        TooManyError
            There is no place; nothing was sent yet.
        """

        async def send_in_time(message: Message) -> None:
            with anyio.fail_after(STALL_S):
                await send(message)

        with self._places.taken(self._name, "live logs"):
            await super().__call__(scope, receive, send_in_time)


async def live_log(
    who: Caller,
    job: Job,
    *,
    after: int,
    still_counts: Callable[[], None],
    is_stopping: Callable[[], bool] = lambda: False,
) -> AsyncIterator[bytes]:
    """Yield every line behind the one with the id `after`, then the state at the end; holds no thread while it waits.

    A database that is away, a server that stops, or a credential that does not count any more ends the stream: the client
    comes again with the last id it has, and is told why where it may not.
    """
    yield f"retry: {RETRY_MS}\n\n".encode()
    said_at = asked_at = time.monotonic()
    while not is_stopping():
        try:
            if time.monotonic() - asked_at >= RECHECK_S:
                await anyio.to_thread.run_sync(still_counts)
                asked_at = time.monotonic()
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
    # Times in the form that they have in every other answer.
    data = orjson.dumps({**vars(line), "at": line.at}, option=orjson.OPT_UTC_Z)
    return f"id: {line.id}\nevent: line\ndata: ".encode() + data + b"\n\n"
