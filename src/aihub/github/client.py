"""Calls to GitHub's API: one configured host, no redirect, and its limits respected instead of met."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aihub.errors import (
    AIHubError,
    ConfigError,
    ForbiddenError,
    NotFoundError,
    TooManyError,
    UnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

API_VERSION = "2022-11-28"
TIMEOUT_S = 15.0
MAX_BYTES = 4 << 20
MAX_PAGES = 10
LONGEST_WAIT_S = 3600.0
FIRST_WAIT_S = 60.0
"""What GitHub asks for after a secondary limit that names no time."""
APP_TOKEN_LIFE = timedelta(minutes=9)
INSTALLATION_TOKEN_LIFE = timedelta(minutes=50)
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


@dataclass
class GitHubClient:
    """GitHub's REST API at one address, as the holder of a token or as an app.

    Attributes
    ----------
    url
        ``https://api.github.com``, or ``https://HOST/api/v3`` of a server of one's own.
    token
        What to call it with; empty where an app does.
    app_id, app_key_file
        An app and its private key, from which a token for each installation is made.
    """

    url: str
    token: str = field(default="", repr=False)
    app_id: str = ""
    app_key_file: Path | None = None
    _installed: dict[str, tuple[str, datetime]] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        self.url = self.url.rstrip("/")
        address = urlsplit(self.url)
        is_safe = address.scheme == "https" or (address.scheme == "http" and address.hostname in _LOOPBACK)
        if not is_safe or address.username or address.query:
            raise ConfigError(
                f"GitHub's API is an https: address, not {self.url[:80]!r}", field="github_api_url"
            )

    @property
    def is_usable(self) -> bool:
        """Whether there is something to call with."""
        return bool(self.token or (self.app_id and self.app_key_file))

    def send(self, method: str, path: str, body: Any = None, *, installation: str | None = None) -> Any:
        """Call and return the JSON of the answer, None for an empty one.

        Raises
        ------
        TooManyError
            A limit is reached; it says after how long another try makes sense.
        UnavailableError
            GitHub does not answer, or not sensibly.
        NotFoundError, ForbiddenError, AIHubError
            GitHub refuses: a further try would not help.
        """
        return self._answered(method, path, body, self._token_for(installation))

    def pages(self, path: str) -> Iterator[dict[str, Any]]:
        """Yield the items of a list, at most `MAX_PAGES` hundred."""
        for page in range(1, MAX_PAGES + 1):
            items = self.send("GET", f"{path}?per_page=100&page={page}")
            yield from items
            if len(items) < 100:  # noqa: PLR2004 - the size asked for
                return

    def _answered(self, method: str, path: str, body: Any, token: str) -> Any:
        import httpx

        headers = {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {token}",
            "X-GitHub-Api-Version": API_VERSION,
            "User-Agent": "aihub",
        }
        try:
            with (
                httpx.Client(timeout=TIMEOUT_S, follow_redirects=False) as client,
                client.stream(method, self.url + path, json=body, headers=headers) as answer,
            ):
                content = b""
                for piece in answer.iter_bytes():
                    content += piece
                    if len(content) > MAX_BYTES:
                        raise UnavailableError(f"GitHub answers with more than {MAX_BYTES >> 20} MiB")
        except httpx.HTTPError as error:
            raise UnavailableError(
                f"GitHub does not answer ({type(error).__name__}); it is tried again"
            ) from error
        _raise_for(answer, content, f"{method} {path.partition('?')[0]}", time.time())
        return _json(content)

    def _token_for(self, installation: str | None) -> str:
        if self.token:
            return self.token
        if not self.is_usable:
            message = "the hub has nothing to call GitHub with; set AIHUB_GITHUB_TOKEN, or AIHUB_GITHUB_APP_ID and _KEY_FILE"
            raise ConfigError(message, field="github_token")
        if installation is None or not installation.isdigit():
            raise ConfigError(
                "the app is not installed where this is about; install it there", field="github_app_id"
            )
        with self._lock:
            known = self._installed.get(installation)
            if known and known[1] > datetime.now(UTC):
                return known[0]
            path = f"/app/installations/{installation}/access_tokens"
            made = self._answered("POST", path, {}, self._app_token())
            token = str(made["token"])
            self._installed[installation] = (token, datetime.now(UTC) + INSTALLATION_TOKEN_LIFE)
        return token

    def _app_token(self) -> str:
        import jwt

        assert self.app_key_file is not None  # noqa: S101 - `is_usable` was asked
        now = datetime.now(UTC)
        # A minute back, as GitHub advises: its clock may be behind ours.
        claims = {"iss": self.app_id, "iat": now - timedelta(minutes=1), "exp": now + APP_TOKEN_LIFE}
        try:
            return jwt.encode(claims, self.app_key_file.read_bytes(), "RS256")
        except (OSError, ValueError, jwt.PyJWTError) as error:
            message = f"the app's key {self.app_key_file} cannot be used ({type(error).__name__}); give its PEM file"
            raise ConfigError(message, field="github_app_key_file") from error


def _raise_for(answer: httpx.Response, content: bytes, what: str, now: float) -> None:
    """Turn a refusal into one of our errors; GitHub says 403 as well as 429 where a limit is reached."""
    status = answer.status_code
    if answer.is_success:
        return
    limited = answer.headers.get("x-ratelimit-remaining") == "0" or "retry-after" in answer.headers
    # A secondary limit may say so in words only.
    limited = limited or b"rate limit" in content[:4096].lower()
    if status == 429 or (status == 403 and limited):  # noqa: PLR2004
        wait = _wait_s(answer, now)
        raise TooManyError(
            f"GitHub's limit is reached; it is tried again in {wait:.0f} s", retry_after_s=wait
        )
    if answer.is_server_error or answer.is_redirect:
        raise UnavailableError(f"GitHub answers {status} to {what}; it is tried again")
    if status == 404:  # noqa: PLR2004
        raise NotFoundError("address of GitHub", what)
    if status in {401, 403}:
        raise ForbiddenError(f"GitHub refuses {what} ({status}); check what the token or the app may do")
    raise AIHubError(f"GitHub answers {status} to {what}; this is not tried again")


def _wait_s(answer: httpx.Response, now: float) -> float:
    for name, since in (("retry-after", 0.0), ("x-ratelimit-reset", now)):
        value = answer.headers.get(name, "")
        if value.isascii() and value.isdigit():
            return min(max(1.0, int(value[:12]) - since), LONGEST_WAIT_S)
    return FIRST_WAIT_S


def _json(content: bytes) -> Any:
    import json

    if not content.strip():
        return None
    try:
        return json.loads(content)
    except ValueError as error:
        raise UnavailableError("GitHub's answer is not JSON; it is tried again") from error
