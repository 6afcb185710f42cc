"""The server's HTTP protocol with a short way for predictions: no task, no events, one write.

Of a one-row prediction over HTTP a fifth was the prediction with all its checks, the rest was the server: a task and an
event per request, two writes, every header checked again. A prediction whose answer lies ready is given here from the
parser's own call, and without the parser where the connection has sent the same head before. Everything else goes on to the server's usual way, as if this had not been there: other addresses,
large bodies, callers who read slowly or send requests ahead, whoever is not known yet, and every refusal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from aihub.api.bounded_http import BoundedHttp
from aihub.api.known_head import KnownHead
from aihub.api.predict_route import MAX_QUICK_BYTES

if TYPE_CHECKING:
    import asyncio

    from aihub.api.predict_route import Asked, PredictRoute


HELD_S = 5.0
"""Longest time that a body is kept before it is whole."""
MAX_HEADS = 8
"""After so many different heads nothing more is expected of a connection: each of its requests has a number, for example."""


class QuickHttp(BoundedHttp):
    """One connection. `quick_route` is set by `with_route`; without it this is the server's own protocol."""

    quick_route: PredictRoute

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._held: list[bytes] | None = None
        self._held_bytes = 0
        self._patience: asyncio.TimerHandle | None = None
        self._head: tuple[Any, bytes] = (None, b"")
        self._known: KnownHead[Asked] | None = None
        self._heads = 0
        self._last: tuple[Asked, int] | None = None

    def data_received(self, data: bytes) -> None:
        """Answer what is known already, else parse; what is kept and does not get whole goes the usual way, where a slow body ends."""
        is_between = self._is_between()
        if is_between and self._known is not None:
            body = self._known.body_of(data)
            if body is not None and self._is_answered(self._known.meaning, body):
                return
        last = self._parsed(data)
        if is_between and last is not None and self._heads < MAX_HEADS:
            self._heads += 1
            self._known = KnownHead.of(data, last[1], last[0])
        if self._held is not None and self._patience is None:
            self._patience = self.loop.call_later(HELD_S, self._wait_no_longer)
        elif self._held is None:
            self._forget_patience()

    def _parsed(self, data: bytes) -> tuple[Asked, int] | None:
        """Parse; return what the last request asked that was answered at once, and the bytes of its body."""
        self._last = None
        super().data_received(data)
        return self._last

    def _is_between(self) -> bool:
        """Whether the connection is between two requests: the next byte is the first of a head."""
        return not self._is_in_head and not self._is_in_body and self._held is None and self._is_free()

    def _is_free(self) -> bool:
        """Whether an answer may be written now: none is under way, and who asks reads on."""
        return (
            (self.cycle is None or self.cycle.response_complete)
            and not self.flow.write_paused
            and not self.transport.is_closing()
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget what is kept."""
        self._held = None
        self._forget_patience()
        super().connection_lost(exc)

    def _wait_no_longer(self) -> None:
        self._patience = None
        if self._held is not None:
            self._pass_on()

    def _forget_patience(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def on_headers_complete(self) -> None:
        """Keep a request that may be answered shortly; pass on every other."""
        if self._may_be_quick():
            self._end_of_head()
            self._held, self._held_bytes = [], 0
        else:
            super().on_headers_complete()

    def _may_be_quick(self) -> bool:
        return (
            self._is_free()
            and self.url.startswith(b"/models/")
            and b"/predict" in self.url
            and self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
            and self.parser.should_keep_alive()
            and not self.parser.should_upgrade()
            and not self.expect_100_continue
            and not self.root_path
            and self.limit_concurrency is None
        )

    def on_body(self, body: bytes) -> None:
        """Keep what was sent."""
        if self._held is None:
            super().on_body(body)
            return
        self._count(body)
        self._held.append(body)
        self._held_bytes += len(body)
        if self._held_bytes > MAX_QUICK_BYTES:
            self._pass_on()

    def on_message_complete(self) -> None:
        """Answer, or pass on what was kept."""
        self._end_of_body()
        if self._held is not None:
            body = self._held[0] if len(self._held) == 1 else b"".join(self._held)
            asked = self.quick_route.asked(self.url, self.headers)
            if asked is not None and self._is_answered(asked, body):
                self._last = asked, len(body)
                return
            self._pass_on()
        super().on_message_complete()

    def _is_answered(self, asked: Asked, body: bytes) -> bool:
        """Answer at once, if that can be."""
        content = self.quick_route.at_once(asked, body)
        if content is None:
            return False
        self._held = None
        self.transport.write(b"".join((self._response_head(), b"%d\r\n\r\n" % len(content), content)))
        self.on_response_complete()
        return True

    def shutdown(self) -> None:
        """Begin to stop: a request that is half here is answered still."""
        if self._held is not None:
            self._pass_on()
        super().shutdown()

    def _pass_on(self) -> None:
        held, self._held = self._held, None
        super().on_headers_complete()
        for part in held or ():
            super().on_body(part)

    def _response_head(self) -> bytes:
        """Status and headers up to the length; the server makes its own (the date) anew every second."""
        of_server = self.server_state.default_headers
        if self._head[0] is not of_server:
            lines = (b"%s: %s\r\n" % pair for pair in (*of_server, *self.quick_route.answer_headers))
            self._head = of_server, b"".join((STATUS_LINE[200], *lines, b"content-length: "))
        return self._head[1]


def with_route(route: PredictRoute) -> type[QuickHttp]:
    """Return the protocol class of a server that has `route`."""
    return type("QuickHttp", (QuickHttp,), {"quick_route": route})
