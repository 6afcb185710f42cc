"""Whom an address lets in, and whether a browser was made to ask by another site: for callers without a credential."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from aihub.errors import ConfigError, ForbiddenError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aihub.settings import Settings


def check_exposure(settings: Settings, host: str) -> None:
    """Refuse to serve anybody without a credential on an address that others can reach.

    Raises
    ------
    ConfigError
        `AIHUB_ANONYMOUS_ROLE` is set, and `host` is not this machine's own.
    """
    if settings.anonymous_role is not None and not is_loopback(host):
        message = (
            f"AIHUB_ANONYMOUS_ROLE lets anybody in, and {host!r} can be reached from elsewhere; unset it, or bind to "
            "127.0.0.1"
        )
        raise ConfigError(message, field="anonymous_role")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def refuse_cross_site(headers: Mapping[str, str], own_host: str) -> None:
    """Refuse a request that another site's page makes the browser send; needed where no credential is.

    Parameters
    ----------
    headers
        Of the request, by lower-case name.
    own_host
        Value of the header Host, checked before against the allow-list.

    Raises
    ------
    ForbiddenError
        A browser says that the request comes from elsewhere.
    """
    origin = headers.get("origin")
    own = {f"http://{own_host}", f"https://{own_host}"}
    is_foreign = origin is not None and origin not in own
    if is_foreign or headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        raise ForbiddenError("this request was made by a page of another site; send it with an API key")
