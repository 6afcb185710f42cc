"""JSON bodies read strictly: no NaN, no half surrogate pair, no zero character; a wrong one is a 422 and never a 500."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import orjson
from fastapi import Request
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from fastapi import Response

FORM = b"application/x-www-form-urlencoded"
MAX_DEPTH = 100
NO_JSON = "the body is read as JSON; send Content-Type: application/json (curl: -H 'Content-Type: application/json')"


class StrictRequest(Request):
    """A request whose JSON is read by the strict parser, once."""

    async def json(self) -> Any:
        """Parse the body.

        Raises
        ------
        json.JSONDecodeError
            It is not JSON, which FastAPI answers with a 422.
        """
        if not hasattr(self, "_json"):
            self._json = parse(await self.body())
        return self._json


def parse(body: bytes) -> Any:
    """Parse JSON text, and refuse what a database or a later reader could not hold.

    Raises
    ------
    json.JSONDecodeError
        The text is not JSON, or holds a zero character or deeper nesting than anything of ours.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # The document is left out: it would be repeated in the answer.
        where = f"{error.msg} at line {error.lineno}, column {error.colno}"
        raise json.JSONDecodeError(where, "", 0) from None
    if b"\\u0000" in body and _has_zero(value):
        raise json.JSONDecodeError("a text holds a zero character", "", 0)
    if max(body.count(b"["), body.count(b"{")) > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise json.JSONDecodeError(f"the document is nested deeper than {MAX_DEPTH}", "", 0)
    return value


def _has_zero(value: Any) -> bool:
    stack = [value]
    while stack:
        one = stack.pop()
        if isinstance(one, str):
            if "\0" in one:
                return True
        elif isinstance(one, dict):
            stack += [*one, *one.values()]
        elif isinstance(one, list):
            stack += one
    return False


def _depth(value: Any) -> int:
    deepest, level = 0, [value]
    while level and deepest <= MAX_DEPTH:
        inner: list[Any] = []
        for one in level:
            inner += one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
        deepest, level = deepest + 1, inner
    return deepest


def _is_json(kind: str) -> bool:
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


class JsonRoute(APIRoute):
    """A route that reads JSON strictly."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Hand a strict request to the route; a body that calls itself something else than JSON is a 415."""
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            strict = StrictRequest(request.scope, request.receive)
            given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if self.body_field is not None and not _is_json(given) and await strict.body():
                raise HTTPException(415, NO_JSON)
            return await inner(strict)

        return handle


class AnyTypeRoute(JsonRoute):
    """A route that reads a JSON body whatever its content type says: ``curl -d`` calls everything a form."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Call the body JSON where curl has called it a form, or nothing."""
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if given not in ("", FORM.decode(), "application/json"):
                raise HTTPException(415, NO_JSON)
            headers = [(n, v) for n, v in request.scope["headers"] if n != b"content-type"]
            scope = {**request.scope, "headers": [*headers, (b"content-type", b"application/json")]}
            return await inner(Request(scope, request.receive))

        return handle
