"""What the hub answers when it does not do what was asked, as the errors that it raises itself."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from aihub.errors import (
    AIHubError,
    ArtifactError,
    ConfigError,
    ConflictError,
    DataError,
    ForbiddenError,
    InputError,
    NotFoundError,
    StoppedError,
    TooManyError,
    UnauthorizedError,
    UnavailableError,
    ValidationError,
)

if TYPE_CHECKING:
    import httpx

_MAX_DETAIL_CHARS = 4000
_MISSING = 404
_SERVER = 500
_KINDS: tuple[type[AIHubError], ...] = (
    InputError,
    ConfigError,
    DataError,
    NotFoundError,
    ValidationError,
    ArtifactError,
    UnauthorizedError,
    ForbiddenError,
    ConflictError,
    StoppedError,
    UnavailableError,
    TooManyError,
)
_BY_CODE = {kind.code: kind for kind in _KINDS}
_BY_STATUS: dict[int, type[AIHubError]] = {
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    429: TooManyError,
    502: UnavailableError,
    503: UnavailableError,
    504: UnavailableError,
}
_KEY_HINT = "set AIHUB_API_KEY, or AIHUB_API_KEY_FILE to a file that holds the key"


def of_response(response: httpx.Response) -> AIHubError:
    """Return the error that an answer of status 300 and above stands for; its body must have been read."""
    status, problem = response.status_code, _problem(response)
    kind = _BY_CODE.get(str(problem.get("code"))) or _BY_STATUS.get(status)
    if kind is None:
        kind = InputError if status < _SERVER else AIHubError
    error = _made(kind, _message(response, problem), problem)
    if isinstance(error, TooManyError):
        error.retry_after_s = retry_after_s(response) or 1.0
    return error


def retry_after_s(response: httpx.Response, now: datetime | None = None) -> float | None:
    """Return the seconds that an answer asks to wait, given as a number or as a date; None where it does not."""
    given = response.headers.get("retry-after", "").strip()
    if not given:
        return None
    try:
        seconds = float(given)
    except ValueError:
        try:
            moment = parsedate_to_datetime(given)
        except ValueError:
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        seconds = (moment - (now or datetime.now(UTC))).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _problem(response: httpx.Response) -> dict[str, Any]:
    if "json" not in response.headers.get("content-type", ""):
        return {}
    try:
        document = json.loads(response.content)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _message(response: httpx.Response, problem: dict[str, Any]) -> str:
    detail = str(problem.get("detail") or "")[:_MAX_DETAIL_CHARS]
    status = response.status_code
    if not detail and response.is_redirect:
        return f"{response.url.host} redirects to another address; set AIHUB_URL to where the hub really is"
    if not detail:
        # A proxy, or another program on the hub's port: its page says nothing to a person.
        detail = f"{response.url.host} answered {status} {response.reason_phrase} without saying why; is AIHUB_URL the address of a hub?"
    if status == UnauthorizedError.http_status and "authorization" not in response.request.headers:
        detail = f"the hub wants a key: {_KEY_HINT}"
    request_id = problem.get("request_id")
    if status >= _SERVER and request_id:
        detail = f"{detail} (request {request_id})"
    return detail


def _made(kind: type[AIHubError], message: str, problem: dict[str, Any]) -> AIHubError:
    """Make an error of `kind` whose words are those of the hub, and not put together anew from their parts."""
    error = kind.__new__(kind, message)
    Exception.__init__(error, message)
    given = problem.get("field")
    field = given if isinstance(given, str) else None
    if isinstance(error, ConfigError):
        error.field = field
    elif isinstance(error, DataError):
        error.file, error.column, error.row = None, field, None
    elif isinstance(error, NotFoundError):
        error.kind, error.name = "", ""
    return error
