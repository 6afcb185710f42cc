"""The server's HTTP protocol with bounds that it has not itself, and what is said once.

How long a head may be and how long it may take, and how much may stand around a body: chunk extensions and trailers.
Whoever sends these bytes is not known yet, so that no limit of the API protects against him.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from aihub.api.problems import problem

if TYPE_CHECKING:
    import asyncio

MAX_HEAD_BYTES = 64 << 10
"""Bytes of a request's line and headers, and of what stands around its body."""
AROUND_A_BYTE = 8
"""Bytes of a chunk of one byte and of its length, in which a body may come."""
HEAD_S = 15.0
"""Longest time from the first byte of a request, or from the connection, until its headers are whole."""
AFTER_S = 10.0
AFTER_BYTES = 10 << 10
"""Who was answered may go on to send the rest of his body, as clients do, at a pace of so much in so long."""
_ONCE = (b"host", b"authorization", b"x-aihub-tenant")
"""Headers of which a proxy may look at the first and we at the last."""


class BoundedHttp(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._is_in_head = True
        self._has_begun = False
        self._head_bytes = 0
        self._around_bytes = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._is_in_body = False
        self._rest_bytes = 0
        self._rest: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._deadline = self.loop.call_later(HEAD_S, self._too_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop_waiting()
        self._end_of_body()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, and look whether a head goes on for too long."""
        if self._is_in_head:
            self._head_bytes += len(data)
        else:
            self._around_bytes += len(data)
        super().data_received(data)
        if not self._is_in_head:
            self._stop_waiting()
            if self._around_bytes > MAX_HEAD_BYTES:
                self.send_400_response(
                    f"more than {MAX_HEAD_BYTES} bytes stand around the body of the request; send it plainly"
                )
        elif self._head_bytes > MAX_HEAD_BYTES:
            self.send_400_response(f"the head of the request has more than {MAX_HEAD_BYTES} bytes; send less")
        elif self._deadline is None and self._has_begun:
            self._deadline = self.loop.call_later(HEAD_S, self._too_late)

    def on_message_begin(self) -> None:
        """Note that a head begins."""
        self._is_in_head = self._has_begun = True
        self._around_bytes = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note a header; what is said behind the body is none, for nobody before us has looked at it."""
        if self._is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Note that the head is whole."""
        self._end_of_head()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body, which may have come in small pieces."""
        self._count(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the body is whole."""
        self._end_of_body()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on to the next request; where the body of this one is not whole yet, see to it that its rest comes."""
        super().on_response_complete()
        if self._is_in_body and self._rest is None and self.cycle.response_complete:
            self._rest_bytes = AFTER_BYTES
            self._look_at_rest()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request in the form of every other refusal, and close; an answer under way is broken off."""
        if not self.transport.is_closing() and (self.cycle is None or self.cycle.response_complete):
            answer = problem(400, "bad_request", msg)
            lines = (b"%s: %s\r\n" % pair for pair in (*answer.raw_headers, (b"connection", b"close")))
            self.transport.write(
                b"".join((b"HTTP/1.1 400 Bad Request\r\n", *lines, b"\r\n", bytes(answer.body)))
            )
        self.transport.close()

    def _count(self, body: bytes) -> None:
        self._around_bytes = max(0, self._around_bytes - AROUND_A_BYTE * len(body))
        self._rest_bytes += len(body)

    def _end_of_head(self) -> None:
        """Begin with the body. Raises ValueError, which the parser takes for a fault, where a header stands twice."""
        names = [name for name, _ in self.headers]
        if any(names.count(name) > 1 for name in _ONCE):
            raise ValueError("a header stands twice")
        self._is_in_head = self._has_begun = False
        self._head_bytes = 0
        self._is_in_body = True

    def _look_at_rest(self) -> None:
        if self._rest_bytes < AFTER_BYTES:
            self.transport.close()
        else:
            self._rest_bytes, self._rest = 0, self.loop.call_later(AFTER_S, self._look_at_rest)

    def _end_of_body(self) -> None:
        self._is_in_body = False
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None

    def _too_late(self) -> None:
        self._deadline = None
        self.transport.close()

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
