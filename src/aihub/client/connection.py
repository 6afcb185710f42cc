"""Requests to a hub that are repeated until they are answered, and happen once."""

from __future__ import annotations

import json
import random
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx

from aihub.client.problems import of_response, retry_after_s
from aihub.errors import AIHubError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import IO

    from aihub.client.address import Address

REPEATED = frozenset({429, 502, 503, 504})
"""Answers of a hub, or of a proxy before it, that another try may better."""
IDEMPOTENCY_KEY = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
"""Header of an answer that was given before, to the same request with the same key."""
TENANT_HEADER = "X-AIHub-Tenant"
_OK = 300


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a request is tried.

    Attributes
    ----------
    retries
        Tries beside the first, of a hub that has answered before: it is being started again.
    retries_unseen
        The same of a hub that never has: it may well not be there.
    total_s
        No pause begins that would end later than this after the first try.
    first_s, longest_s
        Pause after the first try, doubled with every further one up to the longest; a random half is taken off, so
        that many clients of one hub do not come back together.
    """

    retries: int = 12
    retries_unseen: int = 5
    total_s: float = 60.0
    first_s: float = 0.25
    longest_s: float = 8.0

    def pause_s(self, attempt: int, asked_s: float | None) -> float:
        """Return the seconds between try `attempt` (0, 1, ...) and the next; what the hub asks for is the least."""
        longest = min(self.longest_s, self.first_s * 2.0 ** min(attempt, 32))
        own = longest * (0.5 + random.random() / 2)  # noqa: S311 - spreads clients, protects nothing
        return own if asked_s is None else max(own, asked_s)


class Connection:
    """Keeps a connection to one hub open; safe to be used by several threads."""

    def __init__(self, address: Address, *, patience: Patience, timeout_s: float) -> None:
        headers = {"Accept": "application/json", "User-Agent": "aihub-client"}
        if address.key:
            headers["Authorization"] = f"Bearer {address.key}"
        if address.tenant:
            headers[TENANT_HEADER] = address.tenant
        self.url = address.url
        self._patience = patience
        self._has_answered = False
        self._http = httpx.Client(
            headers=headers,
            timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, 10.0)),
            follow_redirects=False,
            # A proxy for the outside world has no business with what stays on this machine.
            trust_env=not address.is_local,
        )

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def get(self, path: str, **params: Any) -> Any:
        """Return the JSON of a GET; parameters that are None are left out."""
        return _json_of(self._repeated("GET", path, params=_given(params)))

    def text(self, path: str, accept: str) -> str:
        """Return the text of a GET."""
        return self._repeated("GET", path, params={}, headers={"Accept": accept}).text

    def pages(self, path: str, *, limit: int | None = None, **params: Any) -> Iterator[dict[str, Any]]:
        """Yield the items of a list, page after page, at most `limit` of them."""
        cursor, left = None, limit
        while left is None or left > 0:
            size = min(left or 100, 100)
            document = self.get(path, limit=size, cursor=cursor, **params)
            items = document["items"][:left]
            yield from items
            left = None if left is None else left - len(items)
            cursor = document.get("next")
            # A log that still grows names a next page also where it has nothing on it yet.
            if not cursor or not items:
                return

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        timeout_s: float | None = None,
        **params: Any,
    ) -> Any:
        """Send JSON and return the JSON of the answer; however often it is tried, it happens once.

        Parameters
        ----------
        key
            Names the request, so that it happens once even if it is sent again by a later program; None: a random one.
        """
        headers = {IDEMPOTENCY_KEY: key or str(uuid.uuid4())}
        content = None
        if body is not None:
            # Once for all tries: a request that differs by a byte would be another request with the same key.
            content = json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
            headers["Content-Type"] = "application/json"
        response = self._repeated(
            method, path, params=_given(params), headers=headers, content=content, timeout_s=timeout_s
        )
        return _json_of(response) if response.content else None

    def upload(
        self,
        path: str,
        opened: Callable[[], IO[bytes]],
        *,
        headers: Mapping[str, str],
        key: str | None = None,
        timeout_s: float | None = None,
        **params: Any,
    ) -> Any:
        """Send a file as it is read, from its beginning at every try; memory does not grow with it."""
        named = {IDEMPOTENCY_KEY: key or str(uuid.uuid4()), **headers}
        response = self._repeated(
            "POST", path, params=_given(params), headers=named, opened=opened, timeout_s=timeout_s
        )
        return _json_of(response)

    @contextmanager
    def stream(
        self,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
        **params: Any,
    ) -> Iterator[httpx.Response]:
        """Yield an answer whose body is yet to be read; tried again until it begins, not after.

        Raises
        ------
        UnavailableError
            The connection broke; what was read so far may go on from there.
        """
        request = self._built("GET", path, params=_given(params), headers=headers, timeout_s=timeout_s)
        response = self._answered(lambda: self._http.send(request, stream=True))
        try:
            yield response
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        finally:
            response.close()

    def _repeated(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any],
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        opened: Callable[[], IO[bytes]] | None = None,
        timeout_s: float | None = None,
    ) -> httpx.Response:
        def call() -> httpx.Response:
            given: dict[str, Any] = {"params": params, "headers": headers, "timeout_s": timeout_s}
            if opened is None:
                return self._http.send(self._built(method, path, content=content, **given))
            with opened() as file:
                return self._http.send(self._built(method, path, content=file, **given))

        return self._answered(call)

    def _built(
        self, method: str, path: str, *, timeout_s: float | None = None, **given: Any
    ) -> httpx.Request:
        if timeout_s is not None:
            given["timeout"] = httpx.Timeout(timeout_s, connect=10.0)
        return self._http.build_request(method, self.url + path, **given)

    def _answered(self, call: Callable[[], httpx.Response]) -> httpx.Response:
        """Call until there is an answer that another try would not better.

        Raises
        ------
        AIHubError
            The hub refused; the kind says how.
        UnavailableError
            The tries are used up.
        """
        started, attempt = time.monotonic(), 0
        while True:
            asked = None
            try:
                response = call()
                self._has_answered = True
                if response.status_code < _OK:
                    return response
                response.read()
                failure, asked = of_response(response), retry_after_s(response)
                if response.status_code not in REPEATED:
                    raise failure
            except httpx.TransportError as error:
                failure = self._unreachable(error)
                if _is_hopeless(error):
                    raise failure from error
            pause = self._patience.pause_s(attempt, asked)
            late = time.monotonic() + pause - started > self._patience.total_s
            most = self._patience.retries if self._has_answered else self._patience.retries_unseen
            if attempt >= most or late:
                raise failure
            time.sleep(pause)
            attempt += 1

    def _unreachable(self, error: httpx.TransportError) -> AIHubError:
        if isinstance(error, httpx.ConnectError) and "CERTIFICATE" in str(error).upper():
            hint = "its certificate is not trusted here; name the file of your authority in SSL_CERT_FILE"
        elif isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            hint = "start one (aihub up), or set AIHUB_URL to where it is"
        else:
            hint = "what was asked for may or may not have happened; ask again with the same idempotency key"
        return UnavailableError(f"no hub answers at {self.url} ({type(error).__name__}); {hint}")


def path_of(*parts: str | int) -> str:
    """Join names to a path, each of them whole whatever characters are in it.

    >>> path_of("models", "a/b", "versions", 3)
    '/models/a%2Fb/versions/3'
    """
    return "".join("/" + quote(str(part), safe="") for part in parts)


def _is_hopeless(error: httpx.TransportError) -> bool:
    """Whether no further try can succeed: a certificate does not become trusted, nor a scheme known."""
    return isinstance(error, httpx.UnsupportedProtocol) or "CERTIFICATE" in str(error).upper()


def _given(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}


def _json_of(response: httpx.Response) -> Any:
    try:
        document = json.loads(response.content)
    except ValueError:
        raise AIHubError(
            f"{response.url.host} answered with what is not JSON; is AIHUB_URL the address of a hub?"
        ) from None
    if response.headers.get(REPLAYED) == "true" and isinstance(document, dict):
        document["replayed"] = True
    return document
