"""Answers that a client need not fetch twice: ETag and If-None-Match."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from fastapi.responses import Response

if TYPE_CHECKING:
    from fastapi import Request
    from pydantic import BaseModel


def tagged(request: Request, body: BaseModel | bytes, *, media_type: str = "application/json") -> Response:
    """Return `body` with its ETag, or 304 where the client has it already."""
    content = body if isinstance(body, bytes) else body.model_dump_json().encode()
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if matches(request, etag):
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=media_type)


def matches(request: Request, etag: str) -> bool:
    """Whether the client has the answer `etag` (RFC 9110, weak comparison)."""
    given = request.headers.get("if-none-match", "")
    return any(one.strip().removeprefix("W/") in (etag, "*") for one in given.split(",") if one.strip())
