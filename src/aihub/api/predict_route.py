"""`POST /models/{name}/predict` and `GET /models/{name}/schema`: before the framework, because one row is worth 100 microseconds.

The border, the router, the validation and the thread pool of the API cost more than a prediction does. This application
stands before all of them for these two addresses, does the same checks itself (host, credential, tenant, scope, body,
schema), answers errors in the same form, and hands everything else on. Nothing here is written to the request log: the
prediction log has every answer.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import orjson
import structlog
from starlette.exceptions import HTTPException

from aihub.api.border import SECURITY_HEADERS, Patience
from aihub.api.problems import NAME, of_error, problem
from aihub.auth import ANONYMOUS, digest_of
from aihub.errors import AIHubError, InputError, NotFoundError, UnavailableError
from aihub.exposure import refuse_cross_site
from aihub.serving import protocol
from aihub.serving.answering import NotAtOnce, answer_question, is_quick

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from aihub.api.border import App, Message, Receive, Scope, Send
    from aihub.api.context import Access
    from aihub.serving.pool import ServingPool
    from aihub.serving.protocol import Question
    from aihub.serving.routes import Key, Route
    from aihub.types import Identity

log = structlog.get_logger("aihub.api")
MAX_HOSTS, MAX_HOST_CHARS = 10_000, 300
THREADS = 4
LOAD_WAIT_S = 5.0
"""How long a request for a model that is deployed and not in memory yet waits for it."""
LOAD_LOOK_S = 0.01
MAX_QUICK_BYTES = 65_536
"""Bytes of a body that is answered before a task is made for it."""
_PATH = re.compile(r"/models/([^/]+)/(predict|schema)")
_GIVEN_ID = re.compile(rb"[A-Za-z0-9_.-]{1,64}")
_NAME = re.compile(r"[a-z0-9._-]{1,32}")
_MODEL = re.compile(NAME)
_QUICK_KINDS = frozenset((b"", b"application/json"))
_SAFE = [*SECURITY_HEADERS, (b"cache-control", b"no-store")]
_JSON_HEADERS = [(b"content-type", b"application/json"), *_SAFE]
_ARROW_HEADERS = [(b"content-type", protocol.ARROW.encode()), *_SAFE]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the head of a request asks: which model, and for whom. It follows from the head alone.

    Attributes
    ----------
    token
        Digest of the bearer token.
    tenant
        Named by an operator.
    subject
        What a canary is drawn by, where the rows name no series.
    """

    model: str
    environment: str
    token: bytes
    tenant: str | None
    subject: str


class PredictRoute:
    """ASGI application before another one.

    Parameters
    ----------
    app
        Takes everything else.
    pool
        What serves; the server starts and stops it.
    access
        Knows whom a bearer token stands for.
    hosts
        Names under which the hub is called; ``*``: any.
    body_limit, bulk_limit
        Bytes of a JSON body, and of one in a form for many rows.
    environment
        What is meant where a request names none (``?environment=staging``).
    """

    def __init__(
        self,
        app: App,
        *,
        pool: ServingPool,
        access: Access,
        hosts: Collection[str],
        body_limit: int = 1 << 20,
        bulk_limit: int = 64 << 20,
        environment: str = "production",
    ) -> None:
        self._app = app
        self._pool = pool
        self._access = access
        self._hosts = frozenset(host.lower() for host in hosts)
        self._known_hosts: set[bytes] = set()
        self._limits = (body_limit, bulk_limit)
        self._environment = environment
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="aihub-predict")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a prediction, or hand the request on."""
        if scope["type"] == "http":
            found = _PATH.fullmatch(scope["path"])
            methods = ("POST",) if found is not None and found[2] == "predict" else ("GET", "HEAD")
            if found is not None and scope["method"] in methods:
                await self._guarded(scope, receive, send, found[1], is_schema=found[2] == "schema")
                return
        await self._app(scope, receive, send)

    answer_headers = _JSON_HEADERS

    def asked(self, url: bytes, given: Sequence[tuple[bytes, bytes]]) -> Asked | None:
        """Say what the head of a request asks for; None where it is nothing that may be answered at once."""
        path, _, query = url.partition(b"?")
        headers = dict(given)
        try:
            found = _PATH.fullmatch(path.decode("ascii"))
            if (
                found is None
                or found[2] != "predict"
                or headers.get(b"content-type", b"") not in _QUICK_KINDS
            ):
                return None
            self._check_host(headers.get(b"host", b""))
            environment = _environment(query, self._environment)
        except (UnicodeDecodeError, InputError, _Refusal):
            return None
        token, tenant = _credential(headers)
        # Without a credential it has to be looked at which site's page asks.
        if not token:
            return None
        subject = headers.get(b"x-request-id", b"").decode("latin-1")
        return Asked(found[1], environment, digest_of(token), tenant, subject)

    def at_once(self, asked: Asked, body: bytes) -> bytes | None:
        """Answer a prediction whose caller is known and whose answer lies ready; None: ask the application.

        Nothing is refused here: what does not fit is asked again on the usual way, which says so.
        """
        if len(body) > min(self._limits[0], MAX_QUICK_BYTES):
            return None
        identity = self._access.remembered_by(asked.token, asked.tenant, datetime.now(UTC))
        if identity is None or "predict" not in identity.scopes:
            return None
        started = time.perf_counter()
        try:
            route = self._pool.find(identity.tenant, asked.model, asked.environment)
            question = protocol.read(body, protocol.JSON)
            if route is None or not is_quick(route, question):
                return None
            content = answer_question(self._pool, route, question, asked.subject, is_hurried=True)
        except Exception:  # noqa: BLE001 - border: the usual way meets the same fault again, tells it and logs it
            return None
        route.usage.observe(time.perf_counter() - started)
        return content

    async def _guarded(
        self, scope: Scope, receive: Receive, send: Send, name: str, *, is_schema: bool
    ) -> None:
        headers = dict(scope["headers"])
        try:
            if is_schema:
                identity = await self._identity(headers)
                route = await self._route(self._key(scope, headers, name, identity, "models:read"))
                await _send(send, orjson.dumps(_schema(route)), _JSON_HEADERS)
            else:
                await self._predict(scope, headers, receive, send, name)
        except AIHubError as error:
            await self._refuse(scope, headers, receive, send, of_error(error, _request_id(headers)))
        except HTTPException as slow:
            answer = problem(
                slow.status_code,
                "request_timeout",
                slow.detail,
                request_id=_request_id(headers),
                headers=slow.headers,
            )
            await self._refuse(scope, headers, receive, send, answer)
        except _Refusal as refusal:
            answer = problem(refusal.status, refusal.code, refusal.detail, request_id=_request_id(headers))
            await self._refuse(scope, headers, receive, send, answer)
        except (
            Exception
        ):  # border of a request: whatever it is, the caller gets an answer and we get the traceback
            request_id = _request_id(headers)
            log.exception("predict.failed", path=scope["path"], request_id=request_id)
            detail = "a fault of the hub; its log has the traceback under this request_id"
            await self._refuse(
                scope, headers, receive, send, problem(500, "internal", detail, request_id=request_id)
            )

    async def _refuse(
        self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send, answer: Any
    ) -> None:
        del headers

        async def with_safety(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *_SAFE]}
            await send(message)

        await answer(scope, receive, with_safety)

    async def _predict(
        self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send, name: str
    ) -> None:
        started = time.perf_counter()
        identity = await self._identity(headers)
        key = self._key(scope, headers, name, identity, "predict")
        # Most requests: one look into a dictionary.
        route = self._pool.find(*key) or await self._route(key)
        kind = headers.get(b"content-type", b"").decode("latin-1")
        is_bulk = kind != protocol.JSON and kind.partition(";")[0].strip().lower() in protocol.BULK
        body = await _body(headers, Patience(receive), self._limits[is_bulk])
        subject = headers.get(b"x-request-id", b"").decode("latin-1")
        is_arrow = False
        try:
            if is_bulk or len(body) > 100_000:  # noqa: PLR2004 - beyond some milliseconds nobody else should wait
                is_arrow = protocol.ARROW.encode() in headers.get(b"accept", b"")
                work = partial(self._whole, route, body, kind, subject=subject, is_arrow=is_arrow)
                content = await asyncio.get_running_loop().run_in_executor(self._threads, work)
            else:
                question = protocol.read(body, kind)
                content = await self._answered(route, question, subject)
        except AIHubError:
            route.usage.refused += 1
            raise
        await _send(send, content, _ARROW_HEADERS if is_arrow else _JSON_HEADERS)
        route.usage.observe(time.perf_counter() - started)

    async def _answered(self, route: Route, question: Question, subject: str) -> bytes:
        if is_quick(route, question):
            with suppress(NotAtOnce):
                return answer_question(self._pool, route, question, subject, is_hurried=True)
        work = partial(answer_question, self._pool, route, question, subject)
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _whole(self, route: Route, body: bytes, kind: str, *, subject: str, is_arrow: bool) -> bytes:
        question = protocol.read(body, kind)
        return answer_question(self._pool, route, question, subject, is_arrow=is_arrow)

    def _key(
        self, scope: Scope, headers: dict[bytes, bytes], name: str, identity: Identity, needed: str
    ) -> Key:
        self._check_host(headers.get(b"host", b""))
        if needed not in identity.scopes:
            identity.require(needed)
        return identity.tenant, name, _environment(scope.get("query_string", b""), self._environment)

    async def _route(self, key: Key) -> Route:
        """Return what answers; what is deployed and not loaded yet is loaded first, once for all who ask.

        Raises
        ------
        NotFoundError
            Nothing is deployed.
        UnavailableError
            It could not be loaded, or not in `LOAD_WAIT_S`; or the database, which has to be asked, is away.
        """
        pool, (tenant, name, environment) = self._pool, key
        route = pool.find(*key)
        if route is not None:
            return route
        if key not in pool.failures:
            loop = asyncio.get_running_loop()
            # A name that none can have is not asked for: PostgreSQL fails at a NUL.
            if not _MODEL.fullmatch(name) or not await loop.run_in_executor(self._threads, pool.knows, key):
                known = {one[1] for one in pool.deployed if one[0] == tenant and one[2] == environment}
                raise NotFoundError(f"model that serves in {environment}", name[:80], sorted(known))
            pool.ask(key)
            until = time.monotonic() + LOAD_WAIT_S
            while (route := pool.find(*key)) is None and key not in pool.failures:
                if time.monotonic() >= until:
                    raise UnavailableError(f"{name!r} is deployed and still being loaded; ask again")
                await asyncio.sleep(LOAD_LOOK_S)
                if key in pool.deployed:
                    # The last look at the tables may have been before the deployment, and have forgotten the question.
                    pool.ask(key)
        if route is None:
            # The failure is known before an earlier version has taken the place: a later request finds that one.
            message = f"{name!r} cannot be served: {pool.failures.get(key, 'it is being loaded again')}"
            raise UnavailableError(message)
        return route

    def _remembered(self, headers: dict[bytes, bytes]) -> Identity | None:
        """Return whom the request's credential stands for, where that lies ready."""
        return self._access.remembered(*_credential(headers), datetime.now(UTC))

    async def _identity(self, headers: dict[bytes, bytes]) -> Identity:
        identity = self._remembered(headers)
        if identity is None:
            loop = asyncio.get_running_loop()
            identity = await loop.run_in_executor(self._threads, self._authenticate, *_credential(headers))
        if identity.principal == ANONYMOUS:
            named = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers.items()}
            refuse_cross_site(named, named.get("host", ""))
        return identity

    def _authenticate(self, credential: str | None, tenant: str | None) -> Identity:
        now = datetime.now(UTC)
        return self._access.acting_in(self._access.authenticate(credential, now), tenant, now)

    def _check_host(self, host: bytes) -> None:
        if host in self._known_hosts:
            return
        text = host.decode("latin-1").lower()
        name = text.rpartition(":")[0] if re.search(r":\d+$", text) else text
        if "*" not in self._hosts and name not in self._hosts:
            detail = "the hub is not called by this host name; add it to AIHUB_ALLOWED_HOSTS"
            raise _Refusal(421, "misdirected", detail)
        if len(host) <= MAX_HOST_CHARS and len(self._known_hosts) < MAX_HOSTS:
            self._known_hosts.add(host)


class _Refusal(Exception):  # noqa: N818 - it never leaves this module
    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail


def _environment(query: bytes, usual: str) -> str:
    """Return the environment that a query names; never the usual one for a name that cannot be one."""
    if not query:
        return usual
    named = parse_qs(query.decode("latin-1"), keep_blank_values=True).get("environment", [usual])
    if len(named) != 1 or not _NAME.fullmatch(named[0]):
        raise InputError("'environment' names no environment; send production or staging, or leave it out")
    return named[0]


def _credential(headers: dict[bytes, bytes]) -> tuple[str | None, str | None]:
    """Return the bearer token, and the tenant that an operator names."""
    kind, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    tenant = headers.get(b"x-aihub-tenant", b"").decode("latin-1")
    return token.strip() if kind.lower() == "bearer" else None, tenant or None


def _schema(route: Route) -> dict[str, Any]:
    champion = route.champion
    return {
        "model": route.key[1],
        "version": champion.number,
        "semantic": champion.semantic,
        "kind": champion.model.kind,
        **champion.model.contract.to_dict(),
    }


async def _body(headers: dict[bytes, bytes], receive: Receive, limit: int) -> bytes:
    length = headers.get(b"content-length")
    if length is not None:
        if not length.isdigit():
            raise _Refusal(400, "bad_request", "Content-Length is not a number; correct it")
        if int(length[:18]) > limit:
            raise _too_large(limit)
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        parts, size = [body], len(body)
        while message.get("more_body"):
            message = await receive()
            if message["type"] == "http.disconnect":
                raise InputError("the caller went away in the middle of the body")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > limit:
                raise _too_large(limit)
        body = b"".join(parts)
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _too_large(limit: int) -> _Refusal:
    return _Refusal(
        413,
        "too_large",
        f"the body has more than the {limit:,} bytes that this address takes; send fewer rows, or Arrow or Parquet",
    )


def _request_id(headers: dict[bytes, bytes]) -> str:
    given = headers.get(b"x-request-id", b"")
    return given.decode("latin-1") if _GIVEN_ID.fullmatch(given) else f"req_{secrets.token_hex(8)}"


async def _send(send: Send, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [*headers, (b"content-length", b"%d" % len(body))],
        }
    )
    await send({"type": "http.response.body", "body": body})
