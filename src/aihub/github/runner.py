"""A job's own side: its token from the runner, and the credential that the hub gives for it."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from aihub.errors import AIHubError, ConfigError, UnauthorizedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

TOKEN_URL = "ACTIONS_ID_TOKEN_REQUEST_URL"  # noqa: S105 - the name of a variable
TOKEN_KEY = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"  # noqa: S105 - as above
TIMEOUT_S = 30.0
TRIES = 3
_CREDENTIAL = re.compile(r"hubgh_[A-Za-z0-9_-]{1,200}")


def request_token(audience: str, environ: Mapping[str, str] | None = None) -> str:
    """Return the token that GitHub gives this job for `audience`.

    Raises
    ------
    ConfigError
        This is no job of GitHub Actions that may have one.
    UnavailableError
        GitHub does not answer.
    """
    environ = os.environ if environ is None else environ
    url, key = environ.get(TOKEN_URL, ""), environ.get(TOKEN_KEY, "")
    if not url or not key:
        message = "this is no job of GitHub Actions with `permissions: id-token: write`; add that to the job"
        raise ConfigError(message, field=TOKEN_URL)
    # The address has a query already; ours is added to it.
    address = f"{url}{'&' if '?' in url else '?'}{urlencode({'audience': audience})}"
    document = _send("GET", address, "GitHub", headers={"Authorization": f"Bearer {key}"})
    return str(document.get("value", ""))


def sign_in(url: str, token: str, *, tenant: str | None = None) -> dict[str, Any]:
    """Return the credential that the hub at `url` gives for `token`, with tenant, role and expiry.

    Raises
    ------
    UnauthorizedError
        The hub does not trust this job.
    UnavailableError
        The hub does not answer.
    """
    body = {"token": token, **({"tenant": tenant} if tenant else {})}
    given = _send("POST", f"{url.rstrip('/')}/auth/github", f"the hub at {url}", json=body)
    # It becomes a line of the job's environment: nothing else may come with it.
    if not _CREDENTIAL.fullmatch(str(given.get("credential", ""))):
        raise UnavailableError(f"the hub at {url} answers without a credential; is it a hub?")
    return given


def _send(method: str, url: str, whom: str, **given: Any) -> dict[str, Any]:
    import httpx

    def once() -> httpx.Response:
        with httpx.Client(timeout=TIMEOUT_S, follow_redirects=False) as client:
            return client.request(method, url, **given)

    answer: httpx.Response | None = None
    for attempt in range(TRIES):
        try:
            answer = once()
        except httpx.ConnectError as error:
            # Only what did not reach anybody is sent again: a token is good once.
            if attempt == TRIES - 1:
                raise UnavailableError(f"{whom} does not answer ({error})") from error
            continue
        except httpx.HTTPError as error:
            raise UnavailableError(f"{whom} does not answer ({type(error).__name__})") from error
        break
    assert answer is not None  # noqa: S101 - the loop ends with one or raises
    try:
        document = answer.json()
    except ValueError:
        document = {}
    document = document if isinstance(document, dict) else {}
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        raise UnauthorizedError(str(document.get("detail") or f"{whom} refuses the token"))
    if answer.is_server_error or answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
        raise UnavailableError(f"{whom} answers {answer.status_code}; try again later")
    if not answer.is_success:
        raise AIHubError(f"{whom} answers {answer.status_code}: {document.get('detail', '')}")
    return document
