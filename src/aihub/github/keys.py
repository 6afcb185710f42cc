"""GitHub's public signing keys: from its JWKS address, cached and renewed, or from a file where there is no way out."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aihub.errors import ConfigError, UnauthorizedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

MIN_REFRESH_S = 60.0
"""Least time between two fetches: a flood of tokens with invented key ids is no flood of requests to GitHub."""
MAX_AGE_S = 6 * 3600.0
"""Age after which the keys are fetched anew even where every key id is known: a withdrawn key must not live on."""
MAX_STALE_S = 24 * 3600.0
"""Longest time that keys are used while the address does not answer."""
MAX_BYTES = 256 << 10
TIMEOUT_S = 3.0
"""Longest time that one fetch may take in all."""
FIRST_PAUSE_S = 1.0
"""Wait after the first fetch that failed where no keys were ever had; it doubles up to `MIN_REFRESH_S`."""
MIN_RSA_BITS = 2048
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


@dataclass
class KeySet:
    """Signing keys by id, of an ``https://`` address or a ``file:`` path; safe to be used by several threads.

    Attributes
    ----------
    source
        ``https://token.actions.githubusercontent.com/.well-known/jwks``, or ``file:/etc/aihub/jwks.json``.
    clock
        Seconds that only grow.
    """

    source: str
    clock: Callable[[], float] = time.monotonic
    _keys: dict[str, RSAPublicKey] = field(default_factory=dict, repr=False)
    _fetched: float | None = field(default=None, repr=False)
    _not_before: float = field(default=0.0, repr=False)
    _failures: int = field(default=0, repr=False)
    _is_fetching: bool = field(default=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        address = urlsplit(self.source)
        plain = address.scheme == "http" and address.hostname in _LOOPBACK
        if not (address.scheme in {"https", "file"} or plain):
            message = f"signing keys come from an https: address or a file: path, not from {self.source[:80]!r}; set AIHUB_GITHUB_JWKS"
            raise ConfigError(message, field="github_jwks")

    def find(self, key_id: str) -> RSAPublicKey:
        """Return the key with this id, fetched where it is not known yet.

        One thread fetches at a time. Who comes meanwhile, or too soon after a fetch that failed, does not wait: he is
        answered from the keys of before, or with an `UnavailableError` where there are none.

        Raises
        ------
        UnauthorizedError
            GitHub does not publish such a key.
        UnavailableError
            The keys cannot be had now, and those that were fetched before are too old to be used.
        """
        now = self.clock()
        with self._lock:
            fetched, known = self._fetched, key_id in self._keys
            is_due = fetched is None or not known or now - fetched > MAX_AGE_S
            is_mine = is_due and not self._is_fetching and now >= self._not_before
            self._is_fetching |= is_mine
            is_under_way = self._is_fetching
        if is_mine:
            self._refresh(now)
        with self._lock:
            key, fetched = self._keys.get(key_id), self._fetched
        if fetched is None or now - fetched > MAX_STALE_S:
            raise UnavailableError(f"the signing keys at {self.source} cannot be had; try again later")
        if key is None and is_under_way and not is_mine:
            raise UnavailableError(f"the signing keys at {self.source} are being fetched; try again")
        if key is None:
            raise UnauthorizedError("the token is signed with a key that the issuer does not publish")
        return key

    def _refresh(self, now: float) -> None:
        """Fetch the keys, alone; where that fails, those of before stay, and the next try waits."""
        try:
            keys = read_keys(self._read())
        except (OSError, ValueError) as error:
            with self._lock:
                # A hub that never had keys should not wait a minute for its second try.
                pause = (
                    FIRST_PAUSE_S * 2.0 ** min(self._failures, 10) if self._fetched is None else MIN_REFRESH_S
                )
                self._failures += 1
                self._not_before = self.clock() + min(pause, MIN_REFRESH_S)
                had = self._fetched
            if had is None:
                message = f"the signing keys at {self.source} cannot be had: {error}; check AIHUB_GITHUB_JWKS and the way out"
                raise UnavailableError(message) from error
            return
        else:
            with self._lock:
                self._keys, self._fetched = keys, now
                self._failures, self._not_before = 0, now + MIN_REFRESH_S
        finally:
            with self._lock:
                self._is_fetching = False

    def _read(self) -> bytes:
        address = urlsplit(self.source)
        if address.scheme == "file":
            return Path(address.path).read_bytes()
        import httpx

        until = time.monotonic() + TIMEOUT_S
        try:
            # No redirect is followed: the keys are those of the configured address or none.
            with httpx.stream("GET", self.source, timeout=TIMEOUT_S, follow_redirects=False) as answer:
                if answer.status_code != httpx.codes.OK:
                    raise OSError(f"status {answer.status_code}")
                body = b""
                for piece in answer.iter_bytes():
                    body += piece
                    if len(body) > MAX_BYTES:
                        raise OSError(f"more than {MAX_BYTES >> 10} KiB")
                    if time.monotonic() > until:
                        raise OSError(f"no whole answer within {TIMEOUT_S:g} s")
        except httpx.HTTPError as error:
            raise OSError(type(error).__name__) from error
        return body


def read_keys(document: bytes) -> dict[str, RSAPublicKey]:
    """Return the usable RSA keys of a JWKS by id; others are passed over.

    Raises
    ------
    ValueError
        It is no JWKS, or none of its keys can be used.
    """
    try:
        content = json.loads(document)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    listed = content.get("keys") if isinstance(content, dict) else None
    if not isinstance(listed, list):
        raise ValueError("it is no JSON web key set")  # noqa: TRY004 - one kind for every fault of the document
    keys = {str(one["kid"]): key for one in listed if (key := _rsa(one)) is not None}
    if not keys:
        raise ValueError("it holds no RSA key for RS256")
    return keys


def _rsa(one: Any) -> RSAPublicKey | None:
    import jwt
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    if not _is_for_rs256(one):
        return None
    try:
        key = jwt.PyJWK({"kty": "RSA", "alg": "RS256", "n": one["n"], "e": one["e"]}).key
    except (jwt.PyJWTError, KeyError, TypeError, ValueError):
        return None
    return key if isinstance(key, RSAPublicKey) and key.key_size >= MIN_RSA_BITS else None


def _is_for_rs256(one: Mapping[str, Any] | Any) -> bool:
    return (
        isinstance(one, dict)
        and one.get("kty") == "RSA"
        and one.get("use", "sig") == "sig"
        and one.get("alg", "RS256") == "RS256"
        and isinstance(one.get("kid"), str)
    )
