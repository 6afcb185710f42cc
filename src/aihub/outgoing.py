"""Requests to addresses that somebody else has chosen: nothing reaches a private address by accident.

The name is resolved once, every address is judged, and the connection goes to the address that was judged, so that a
name which answers differently the second time (DNS re-binding) gains nothing. Redirects are not followed. The lists
name what `ipaddress.is_global` lets through although it leads inside: translated, tunnelled and cloud-internal ranges.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from contextlib import contextmanager, nullcontext, suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

import httpx

from aihub.errors import ForbiddenError, InputError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_ANSWER_BYTES = 64 * 1024
_INSIDE = tuple(
    ipaddress.ip_network(network)
    for network in (
        "168.63.129.16/32",  # a cloud's own services, on a public address
        "192.0.0.0/24",  # IETF protocol assignments
        "192.88.99.0/24",  # 6to4 relays
        "64:ff9b::/96",  # NAT64: an IPv4 address in disguise
        "64:ff9b:1::/48",
        "2001::/32",  # Teredo
        "2002::/16",  # 6to4
        "::ffff:0:0/96",  # IPv4-mapped
        "fec0::/10",  # site-local of old, still in use inside
        "3fff::/20",  # documentation
    )
)


def is_public(address: Address) -> bool:
    """Whether an address belongs to the open internet.

    >>> is_public(ipaddress.ip_address("93.184.215.14")), is_public(ipaddress.ip_address("64:ff9b::7f00:1"))
    (True, False)
    """
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    return all(address not in network for network in _INSIDE if network.version == address.version)


@contextmanager
def opened(
    method: str,
    url: str,
    *,
    content: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 10.0,
    longest_s: float | None = None,
    allow_private: bool = False,
    hosts: Iterable[str] = (),
) -> Iterator[httpx.Response]:
    """Send one request and yield the answer with its body unread: read it with `iter_raw`, under a limit of yours.

    Parameters
    ----------
    timeout_s
        Longest silence, not longest duration.
    longest_s
        Longest duration of all of it, from the connection on; None: as long as it says something in time.
    allow_private
        Whether the address may lie inside the own network; plain http is allowed only then.
    hosts
        Exact names that alone may be called; empty: any.

    Raises
    ------
    InputError
        The address is not a usable http(s) URL.
    ForbiddenError
        It leads where it must not.
    UnavailableError
        It does not answer; another try may help.
    """
    host, port = _parts(url, allow_private=allow_private, hosts=frozenset(hosts))
    address = _judged(host, port, allow_private=allow_private)
    parsed = httpx.URL(url)
    named = host if parsed.port is None else f"{host}:{parsed.port}"
    request = httpx.Request(
        method,
        parsed.copy_with(host=str(address)),
        content=content,
        headers={**(headers or {}), "Host": named},
        # The certificate must be that of the name, although the connection goes to the address.
        extensions={"sni_hostname": host, "timeout": httpx.Timeout(timeout_s).as_dict()},
    )
    limited = nullcontext() if longest_s is None else _cut_after(request, longest_s)
    try:
        with limited, httpx.Client(follow_redirects=False, trust_env=False) as client:
            response = client.send(request, stream=True)
            try:
                yield response
            finally:
                response.close()
    except httpx.HTTPError as error:
        # The address may hold a secret: only the host is named.
        raise UnavailableError(
            f"{host!r} does not answer ({type(error).__name__}); it is tried again"
        ) from error


def post(
    url: str,
    content: bytes,
    headers: Mapping[str, str],
    *,
    timeout_s: float = 10.0,
    allow_private: bool = False,
    hosts: Iterable[str] = (),
) -> httpx.Response:
    """Send one POST and return the answer, of whose body at most `MAX_ANSWER_BYTES` are read. Raises what `opened` does."""
    given: dict[str, Any] = {"timeout_s": timeout_s, "allow_private": allow_private, "hosts": hosts}
    # Headers that come a byte at a time are no silence either.
    given["longest_s"] = 2 * timeout_s
    with opened("POST", url, content=content, headers=headers, **given) as response:
        body, deadline = b"", monotonic() + timeout_s
        for chunk in response.iter_raw():
            body += chunk
            if len(body) >= MAX_ANSWER_BYTES:
                break
            if monotonic() > deadline:
                raise UnavailableError(
                    f"{response.request.headers['Host']!r} answers too slowly; it is tried again"
                )
        # Read as it came: what was said to be compressed would be unpacked here, to whatever size.
        answered = {name: value for name, value in response.headers.items() if name != "content-encoding"}
        return httpx.Response(response.status_code, headers=answered, content=body[:MAX_ANSWER_BYTES])


@contextmanager
def _cut_after(request: httpx.Request, seconds: float) -> Iterator[None]:
    """Close the connection of a request after so long, whatever it is waiting for; who waits gets an error of httpx."""
    held: list[socket.socket] = []

    def hold(event: str, info: Mapping[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            # A second handle on the same connection: TLS takes the first one into its own hands.
            held.append(info["return_value"].get_extra_info("socket").dup())

    def cut() -> None:
        for connection in held:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    request.extensions["trace"] = hold
    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        for connection in held:
            connection.close()


def _parts(url: str, *, allow_private: bool, hosts: frozenset[str]) -> tuple[str, int]:
    # Two readers that differ about a line end or a half character would speak of two hosts.
    if not url.isprintable():
        raise InputError("the address has characters that cannot be seen; write https://HOST/PATH")
    try:
        parsed = urlsplit(url)
        host, port = parsed.hostname or "", parsed.port
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL):
        raise InputError("the address is not a URL; write https://HOST/PATH") from None
    schemes = ("https", "http") if allow_private else ("https",)
    if parsed.scheme not in schemes or not host or parsed.username or parsed.password:
        raise InputError("the address must be https://HOST/PATH, without user and password in it")
    if not host.isascii() or any(character in host for character in "%\\ "):
        raise InputError("the host of the address has characters that no host name has; write it in ASCII")
    if hosts and host.lower() not in hosts:
        raise ForbiddenError(f"host {host!r} is not on the list of those that may be called")
    return host, port or {"https": 443, "http": 80}[parsed.scheme]


def _judged(host: str, port: int, *, allow_private: bool) -> Address:
    """Return the address to connect to; every one that the name has must be allowed."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise InputError("the host of the address is no name; a part of it is empty or too long") from None
    except OSError as error:
        raise UnavailableError(
            f"the name {host!r} is not known ({error.strerror}); it is tried again"
        ) from error
    addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    if not allow_private and not all(is_public(address) for address in addresses):
        raise ForbiddenError(
            f"host {host!r} leads into a private network; allow it explicitly where that is meant"
        )
    return addresses[0]
