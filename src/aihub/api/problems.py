"""Every error as `application/problem+json` (RFC 9457), in one place.

A message may name a field and say what is wrong with it; it never repeats what was sent, which may be a password.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from aihub.errors import AIHubError, ForbiddenError, TooManyError, UnauthorizedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fastapi import FastAPI, Request

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:aihub:problem:"
MAX_ERRORS = 20
MAX_FIELD_CHARS = 200
MAX_DETAIL_CHARS = 4000
NAME = r"^[a-z0-9][a-z0-9._-]{0,63}$"
"""Form of the names of models, environments and schedules."""
TEXT = r"^[^\x00-\x1f\x7f]*$"
SHA256 = r"^[0-9a-f]{64}$"
_IN_WORDS = {
    NAME: "take a name of up to 64 lower-case letters, digits and . _ -, with a letter or digit first",
    TEXT: "holds a control character; remove it",
    SHA256: "is no SHA-256: 64 lower-case hexadecimal digits",
}
_NO_JSON = "json_invalid"
"""Where a body is no JSON the framework gives as its field the place in the text."""
_SENT = re.compile(r" \(got .{0,300}?\)(?=[.;,]|$)", re.DOTALL)
MAX_DETAIL = 4000
_CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
    421: "misdirected",
    422: "bad_input",
    500: "internal",
}


class FieldError(BaseModel):
    """What is wrong with one field of a request."""

    field: str = Field(description="Dotted path of the field, or the name of the parameter.")
    message: str = Field(description="What is wrong with it.")


class Problem(BaseModel):
    """Why a request was not carried out; RFC 9457."""

    type: str = Field(description="Name of the kind of problem, `urn:aihub:problem:CODE`.")
    title: str = Field(description="The kind in words.")
    status: int = Field(description="HTTP status.")
    detail: str = Field(description="What happened and what to do next.")
    code: str = Field(description="The kind, for machines.")
    field: str | None = Field(
        default=None, description="Field of the request that is meant, where there is one."
    )
    errors: list[FieldError] | None = Field(default=None, description="Every field that is wrong.")
    request_id: str | None = Field(default=None, description="Name of the request in the logs.")


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    field: str | None = None,
    errors: list[FieldError] | None = None,
    request_id: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the answer that says why a request was not carried out."""
    body = Problem(
        type=TYPE_PREFIX + code,
        title=code.replace("_", " ").capitalize(),
        status=status,
        detail=_encodable(detail)[:MAX_DETAIL_CHARS],
        code=code,
        field=None if field is None else _encodable(field)[:MAX_FIELD_CHARS],
        errors=errors,
        request_id=request_id,
    )
    return Response(
        body.model_dump_json(exclude_none=True), status, headers=dict(headers or {}), media_type=MEDIA_TYPE
    )


def fault(request_id: str | None) -> Response:
    """Return the answer to a fault of ours, which tells nothing of it."""
    detail = "a fault of the hub; its log has the traceback under this request_id"
    return problem(500, "internal", detail, request_id=request_id)


def _encodable(text: str) -> str:
    """Text that can be sent: half a surrogate pair has no form in UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def install(app: FastAPI) -> None:
    """Answer every error that a route can raise with a problem."""
    app.add_exception_handler(AIHubError, _ours)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(sa.exc.TimeoutError, _busy)
    app.add_exception_handler(Exception, lambda request, _: fault(request_id_of(request)))


def of_error(error: AIHubError, request_id: str | None = None) -> Response:
    """Return the problem for an error of ours."""
    headers: dict[str, str] = {}
    if isinstance(error, TooManyError):
        headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    elif isinstance(error, UnavailableError):
        headers["Retry-After"] = "1"
    elif isinstance(error, UnauthorizedError):
        headers["WWW-Authenticate"] = "Bearer"
    return problem(
        error.http_status,
        error.code,
        _SENT.sub("", str(error)[:MAX_DETAIL]),
        field=getattr(error, "field", None) or getattr(error, "column", None),
        request_id=request_id,
        headers=headers,
    )


def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, AIHubError)  # noqa: S101 - what it was registered for
    return of_error(error, request_id_of(request))


def _validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - what it was registered for
    found = [
        FieldError(field="" if one["type"] == _NO_JSON else _field(one["loc"]), message=_message(one))
        for one in error.errors()[:MAX_ERRORS]
    ]
    first = found[0]
    detail = f"{first.field}: {first.message}." if first.field else f"{first.message}."
    more = len(error.errors()) - 1
    return problem(
        422,
        "bad_input",
        detail + (f" {more} more field{'s are' if more > 1 else ' is'} wrong." if more else ""),
        field=first.field or None,
        errors=found,
        request_id=request_id_of(request),
    )


def _field(location: Sequence[int | str]) -> str:
    parts = [str(part) for part in location]
    if parts and parts[0] in ("body", "query", "path", "header"):
        parts = parts[1:]
    return _encodable(".".join(parts))[:MAX_FIELD_CHARS]


def _message(error: Mapping[str, Any]) -> str:
    if error["type"] == _NO_JSON:
        return (
            f"the body is not the JSON that is read here: {error.get('ctx', {}).get('error', '')}; correct it"
        )
    words = _IN_WORDS.get(error.get("ctx", {}).get("pattern", ""))
    if words is not None:
        return words
    return _encodable(_SENT.sub("", str(error["msg"])[:MAX_DETAIL].removeprefix("Value error, "))).rstrip(
        "."
    )[:500]


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - what it was registered for
    code = _CODES.get(error.status_code, HTTPStatus(error.status_code).phrase.lower().replace(" ", "_"))
    detail = {
        404: "There is no such address; /openapi.json lists those that there are.",
        405: "This address does not take that method; /openapi.json lists those that it takes.",
    }.get(error.status_code, str(error.detail))
    return problem(error.status_code, code, detail, request_id=request_id_of(request), headers=error.headers)


def _gone(request: Request, error: Exception) -> Response:
    """Answer nobody: whoever asked has gone before all of the question was here. The log has the status."""
    del error
    return problem(499, "gone", "the body broke off; send it again", request_id=request_id_of(request))


def _busy(request: Request, error: Exception) -> Response:
    del error
    message = "all connections to the database are in use; try again"
    return of_error(UnavailableError(message), request_id_of(request))


def request_id_of(request: Request) -> str | None:
    """Return the name of a request in the logs."""
    found: str | None = request.scope.get("aihub.request_id")
    return found


def documented(*errors: type[AIHubError], also: Iterable[int] = ()) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route that needs a credential, for OpenAPI: its own errors and those of every route."""
    kinds: tuple[type[AIHubError], ...] = (
        UnauthorizedError,
        ForbiddenError,
        TooManyError,
        UnavailableError,
        *errors,
    )
    codes: dict[int, list[str]] = {422: ["bad_input"], 413: ["too_large"]}
    for kind in kinds:
        codes.setdefault(kind.http_status, []).append(kind.code)
    for status in also:
        codes.setdefault(status, []).append(_CODES[status])
    return {
        status: {
            "model": Problem,
            "description": f"{HTTPStatus(status).phrase} (code {', '.join(dict.fromkeys(names))})",
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status, names in sorted(codes.items())
    }
