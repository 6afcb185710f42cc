"""Where the hub is and which key opens it: from arguments, else from the environment. A key never shows itself."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aihub.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_URL = "http://localhost:8000"
URL = "AIHUB_URL"
KEY = "AIHUB_API_KEY"
KEY_FILE = "AIHUB_API_KEY_FILE"
TENANT = "AIHUB_TENANT"
ALLOW_HTTP = "AIHUB_ALLOW_HTTP"
_MAX_KEY_BYTES = 16 * 1024


@dataclass(frozen=True, kw_only=True)
class Address:
    """A hub and what is shown to it.

    Attributes
    ----------
    url
        Where it is, without a slash at the end.
    key
        The credential; empty: none.
    tenant
        Tenant to act in, for the keys of those who run the hub; empty: that of the key.
    """

    url: str
    key: str = field(default="", repr=False)
    tenant: str = ""

    @property
    def is_local(self) -> bool:
        """Whether the hub is this machine, so that nothing of what is sent leaves it."""
        return _is_loopback(urlsplit(self.url).hostname or "")


def find(
    url: str | None = None,
    key: str | None = None,
    tenant: str | None = None,
    *,
    allow_http: bool | None = None,
    environ: Mapping[str, str] | None = None,
) -> Address:
    """Return the address that arguments and environment give; an argument wins.

    Parameters
    ----------
    allow_http
        Whether a key may go over plain http to another machine; None: whether `AIHUB_ALLOW_HTTP` is 1.

    Raises
    ------
    ConfigError
        The URL is none, the key's file cannot be read, or the key would cross a network in the clear.
    """
    environ = os.environ if environ is None else environ
    checked = _checked_url(url or environ.get(URL, "").strip() or DEFAULT_URL)
    found = Address(
        url=checked,
        key=_checked_key(key if key is not None else _key_of(environ)),
        tenant=environ.get(TENANT, "").strip() if tenant is None else tenant,
    )
    may_go = environ.get(ALLOW_HTTP, "") == "1" if allow_http is None else allow_http
    if found.key and checked.startswith("http:") and not (found.is_local or may_go):
        raise ConfigError(
            f"{checked} is plain http, and the key would cross the network readable by anybody; use https, "
            f"or set {ALLOW_HTTP}=1 where the network between is yours",
            field=URL,
        )
    return found


def is_configured(environ: Mapping[str, str] | None = None) -> bool:
    """Whether the environment names a hub to talk to, rather than the local files."""
    return bool((os.environ if environ is None else environ).get(URL, "").strip())


def _checked_url(url: str) -> str:
    example = f"write {DEFAULT_URL} or https://hub.example.com"
    try:
        parsed = urlsplit(url)
        host, _ = parsed.hostname, parsed.port
    except ValueError:
        raise ConfigError(f"{URL} is not a URL; {example}", field=URL) from None
    if parsed.username or parsed.password:
        raise ConfigError(f"{URL} holds a user or password; put the key into {KEY}", field=URL)
    if parsed.scheme not in {"http", "https"} or not host or parsed.query or parsed.fragment:
        raise ConfigError(f"{URL} must be http(s)://HOST[:PORT][/PATH]; {example}", field=URL)
    return url.rstrip("/")


def _key_of(environ: Mapping[str, str]) -> str:
    if environ.get(KEY, "").strip():
        return environ[KEY]
    name = environ.get(KEY_FILE, "").strip()
    if not name:
        return ""
    try:
        with Path(name).expanduser().open(encoding="ascii") as file:
            return file.read(_MAX_KEY_BYTES)
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise ConfigError(
            f"{KEY_FILE}={name}: the key cannot be read ({reason}); check the path and its rights",
            field=KEY_FILE,
        ) from None


def _checked_key(key: str) -> str:
    key = key.strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        # Never repeated: it may be a good key with one character too many.
        raise ConfigError("the API key has characters that no key has; copy it again, as one word", field=KEY)
    return key


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
