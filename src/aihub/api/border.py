"""The outer skin of the API: hosts, limits, headers, names of requests, and the one place where a fault becomes a 500."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from typing import TYPE_CHECKING, Any

import structlog
from starlette.exceptions import HTTPException

from aihub.api.problems import fault, problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, MutableMapping
    from typing import TypeAlias

    from aihub.api.metrics import Metrics
    from aihub.traces import Tracing

    Scope: TypeAlias = MutableMapping[str, Any]
    Message: TypeAlias = MutableMapping[str, Any]
    Receive: TypeAlias = Callable[[], Awaitable[Message]]
    Send: TypeAlias = Callable[[Message], Awaitable[None]]
    App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

log = structlog.get_logger("aihub.api")
LIMIT = "aihub.body_limit"
"""Key of the scope under which a route that takes uploads raises the limit of its body, before it reads it."""
MAX_SHOWN_PATH = 512
"""Characters of an address in the log."""
BODY_S = 30.0
BODY_BYTES_PER_S = 1024
"""A body may stay behind this pace by `BODY_S`: a client that sends a byte now and then holds memory and a connection."""
SECURITY_HEADERS = [
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
]
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_GIVEN_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_TRACE = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")


class Border:
    """ASGI application around another one.

    Parameters
    ----------
    hosts
        Names under which the hub is called; a request for another one is refused (DNS re-binding). ``*``: any.
    body_limit
        Bytes of a body, where the route does not say otherwise.
    """

    def __init__(
        self,
        app: App,
        *,
        hosts: Collection[str],
        body_limit: int,
        metrics: Metrics,
        tracing: Tracing,
    ) -> None:
        self.app = app
        self.hosts = frozenset(host.lower() for host in hosts)
        self.body_limit = body_limit
        self.metrics = metrics
        self.tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        request_id = _request_id(headers)
        # The server keeps the body of an answer to a HEAD back; it knows the request by its own scope.
        asked, scope = scope["method"], _as_get(scope) if scope["method"] == "HEAD" else scope
        scope["aihub.request_id"] = request_id
        scope[LIMIT] = self.body_limit
        answer = _Answer(send, request_id)
        started = time.perf_counter()
        with self.tracing.request(scope, headers) as span:
            structlog.contextvars.bind_contextvars(
                request_id=request_id, trace_id=span.trace_id or _trace_id(headers)
            )
            try:
                await self._answer(scope, _Body(scope, receive), answer, headers)
            finally:
                took = time.perf_counter() - started
                route = _route(scope)
                span.end(route, answer.status)
                method = asked if asked in _METHODS else "other"
                self.metrics.observe(method, route, answer.status, took)
                _write_log({**scope, "method": asked}, route, answer.status, took)
                structlog.contextvars.clear_contextvars()

    async def _answer(
        self, scope: Scope, receive: Receive, send: _Answer, headers: dict[bytes, bytes]
    ) -> None:
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        try:
            await self.app(scope, receive, send)
        except (
            Exception
        ):  # the border of a request: whatever it is, the caller gets an answer and we get the traceback
            log.exception("request.failed", method=scope["method"], path=_shown_path(scope))
            if send.status and not send.is_complete:
                # Half an answer is out: the server has to break the connection, or the client would take it for whole.
                raise
            if not send.status:
                await fault(send.request_id)(scope, receive, send)

    def _refusal(self, scope: Scope, headers: dict[bytes, bytes]) -> App | None:
        """Return the answer to a request that is not let in."""
        request_id = scope["aihub.request_id"]
        host = headers.get(b"host", b"").decode("latin-1").lower()
        name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
        if "*" not in self.hosts and name not in self.hosts:
            detail = "the hub is not called by this host name; add it to AIHUB_ALLOWED_HOSTS"
            return problem(421, "misdirected", detail, request_id=request_id)
        if "\0" in scope["path"] or b"%00" in scope.get("query_string", b""):
            return problem(
                422, "bad_input", "the address holds a zero character; remove it", request_id=request_id
            )
        length = headers.get(b"content-length")
        if length is not None and not length.isdigit():
            return problem(
                400, "bad_request", "Content-Length is not a number; correct it", request_id=request_id
            )
        return None


class Patience:
    """Waits for a body as long as it comes at a pace; how long the application takes with it does not count."""

    def __init__(self, receive: Receive) -> None:
        self.receive = receive
        self._left_s = BODY_S
        self._is_whole = False

    async def __call__(self) -> Message:
        """Return the next message; 408 where the body has fallen behind."""
        if self._is_whole:
            # What comes now is that the client has gone, whenever that may be.
            return await self.receive()
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._left_s):
                message = await self.receive()
        except TimeoutError:
            detail = f"the body came slower than {BODY_BYTES_PER_S} bytes a second; send the request again"
            raise HTTPException(408, detail, headers={"Connection": "close"}) from None
        self._left_s += len(message.get("body", b"")) / BODY_BYTES_PER_S - (time.monotonic() - began)
        self._left_s = min(self._left_s, BODY_S)
        self._is_whole = not message.get("more_body", False)
        return message


class _Body:
    """Counts a body while it is read; the route may have raised the limit before."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self.receive = Patience(receive)
        self.size = 0

    async def __call__(self) -> Message:
        limit = self.scope[LIMIT]
        if not self.size and int(dict(self.scope["headers"]).get(b"content-length", b"0")[:18]) > limit:
            raise too_large(limit)
        message = await self.receive()
        self.size += len(message.get("body", b""))
        if self.size > limit:
            raise too_large(limit)
        return message


def too_large(limit: int) -> HTTPException:
    """Return the error for a body beyond `limit` bytes."""
    return HTTPException(
        413, f"the body has more than the {limit:,} bytes that this address takes; send less"
    )


class _Answer:
    """Adds the headers that every answer has, and remembers the status."""

    def __init__(self, send: Send, request_id: str) -> None:
        self.send = send
        self.request_id = request_id
        self.status = 0
        self.is_complete = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            given = {name for name, _ in message["headers"]}
            extra = [pair for pair in SECURITY_HEADERS if pair[0] not in given]
            if b"cache-control" not in given:
                extra.append((b"cache-control", b"no-store"))
            message = {
                **message,
                "headers": [*message["headers"], *extra, (b"x-request-id", self.request_id.encode())],
            }
        await self.send(message)
        self.is_complete = message["type"] == "http.response.body" and not message.get("more_body", False)


def _as_get(scope: Scope) -> Scope:
    """Return the request that a HEAD asks about; never a stream, which would have no end."""
    headers = [(name, value) for name, value in scope["headers"] if name != b"accept"]
    return {**scope, "method": "GET", "headers": headers}


def _request_id(headers: dict[bytes, bytes]) -> str:
    given = headers.get(b"x-request-id", b"").decode("latin-1")
    return given if _GIVEN_ID.fullmatch(given) else f"req_{secrets.token_hex(8)}"


def _trace_id(headers: dict[bytes, bytes]) -> str:
    found = _TRACE.fullmatch(headers.get(b"traceparent", b"").decode("latin-1"))
    return found[1] if found else secrets.token_hex(16)


def _route(scope: Scope) -> str:
    """Pattern of the route, never the path: names in it would make a metric of each."""
    route = scope.get("aihub.route") or getattr(scope.get("route"), "path", None)
    return str(route or "unknown")


def _shown_path(scope: Scope) -> str:
    """Path for the log; that of a link is a credential."""
    path = str(scope["path"])[:MAX_SHOWN_PATH]
    return "/links/{token}" if path.startswith("/links/") else path


def _write_log(scope: Scope, route: str, status: int, took_s: float) -> None:
    if route in ("/health", "/ready", "/metrics") and status < 400:  # noqa: PLR2004 - probes come every second
        return
    client = scope.get("client")
    log.info(
        "request.answered",
        method=scope["method"],
        path=_shown_path(scope),
        route=route,
        status=status or 499,
        ms=round(took_s * 1000, 2),
        client=client[0] if client else None,
    )
