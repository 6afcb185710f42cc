"""The objects of a bucket that speaks S3. The only module that imports obstore.

What the bucket says is said in our words, without what it was asked with: a store that does not answer or does not let the
hub in is a `StoreAwayError`, a missing object is Python's own `FileNotFoundError`.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any

import obstore
from obstore.exceptions import (
    BaseError,
    InvalidPathError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import S3Store

from aihub.errors import ConfigError, StoreAwayError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from aihub.registry.backing import Kind
    from aihub.settings import Settings

PART_BYTES = 16 << 20
PARTS_AT_ONCE = 4
PIECE_BYTES = 1 << 20
CONNECT_TIMEOUT_S = 3
SILENCE_TIMEOUT_S = 20
REQUEST_TIMEOUT_S = 3600
RETRY_FOR_S = 10
"""How long one request is repeated where the store is busy or away."""
AWAY_S = 5.0
"""How long nobody else is kept waiting for a store that has just not answered: they are refused at once."""
MAX_READ_BYTES = 4096
NOTHING = ".nothing"
"""Below this name nothing lies: it is listed to hear whether the bucket answers, whatever others have put into it."""
_REFUSED = re.compile(r"\b40[13] ")
_SAID = re.compile(r"status code: (\d{3}[^:\n]*)|<Code>(\w+)</Code>|HTTP error: ([^\n<]{1,120})")


@dataclass(frozen=True, kw_only=True)
class Found:
    """An object of a listing."""

    key: str
    size_bytes: int
    modified_at: datetime


@dataclass
class _Breaker:
    """Remembers that the store was away a moment ago."""

    until: float = 0.0
    said: str = ""


@dataclass(frozen=True)
class Objects:
    """Objects below one name of a bucket, which is not part of their keys.

    Every method raises `StoreAwayError` where the store does not answer or refuses.

    Attributes
    ----------
    address
        For people.
    """

    store: S3Store = field(repr=False)
    address: str
    _breaker: _Breaker = field(default_factory=_Breaker, repr=False)

    def pieces(self, key: str) -> Iterator[Any]:
        """Yield the content piece by piece.

        Raises
        ------
        FileNotFoundError
            There is no such object.
        """
        with self._asking():
            yield from obstore.get(self.store, key).stream(min_chunk_size=PIECE_BYTES)

    def read(self, key: str) -> bytes | None:
        """Return the content of a small object, or its beginning; None where there is none."""
        content = b""
        try:
            for piece in self.pieces(key):
                content += bytes(piece)[:MAX_READ_BYTES]
                if len(content) >= MAX_READ_BYTES:
                    break
            return content[:MAX_READ_BYTES]
        except FileNotFoundError:
            self.look()
            return None

    def write(self, key: str, content: Any) -> None:
        """Store a file or bytes: the object is there whole or not at all, in place of what was there."""
        try:
            with self._asking():
                obstore.put(self.store, key, content, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE)
        except FileNotFoundError:
            raise self._no_bucket() from None

    def copy(self, key: str, target: str) -> None:
        """Let the object be found at `target` too.

        Raises
        ------
        FileNotFoundError
            There is no such object.
        """
        with self._asking():
            obstore.copy(self.store, key, target)

    def delete(self, key: str) -> None:
        """Remove an object; none is as good."""
        try:
            with self._asking():
                obstore.delete(self.store, key)
        except FileNotFoundError:
            return

    def has(self, key: str) -> bool:
        """Whether there is such an object."""
        try:
            with self._asking():
                obstore.head(self.store, key)
        except FileNotFoundError:
            return False
        return True

    def list(self, prefix: str = "") -> Iterator[Found]:
        """Yield what lies below `prefix`."""
        with self._asking():
            for page in obstore.list(self.store, prefix or None):
                for found in page:
                    yield Found(
                        key=found["path"], size_bytes=found["size"], modified_at=found["last_modified"]
                    )

    def look(self) -> None:
        """Ask for what is not there: tells a store that is away, and a bucket that is not there."""
        with self._asking():
            next(iter(obstore.list(self.store, NOTHING, chunk_size=1)), None)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        if monotonic() < self._breaker.until:
            raise StoreAwayError(self._breaker.said)
        try:
            yield
        except InvalidPathError as error:
            raise StoreAwayError(self._odd_name(error)) from None
        except (BaseError, ValueError) as error:  # a time of another calendar is a ValueError
            if "NoSuchBucket" in str(error):
                raise self._no_bucket() from None
            # The library says so by class where one object is asked for, and in its text alone where they are listed.
            is_refused = isinstance(error, PermissionDeniedError | UnauthenticatedError)
            if is_refused or _REFUSED.search(said(error)):
                message = f"{self.address} refuses the hub's credentials ({said(error)}); correct them, or what they may do"
                raise StoreAwayError(message) from None
            message = f"{self.address} does not answer ({said(error)}); look at the store, AIHUB_S3_ENDPOINT and the network"
            self._breaker.said, self._breaker.until = message, monotonic() + AWAY_S
            raise StoreAwayError(message) from None

    def _odd_name(self, error: InvalidPathError) -> str:
        named = re.search(r'Path "([^"\n]{1,200})', str(error))
        which = f" {named[1]!r}" if named else ""
        return f"{self.address} holds an object{which} whose name no hub gives (an empty part, '.' or '..'); remove it"

    def _no_bucket(self) -> StoreAwayError:
        return StoreAwayError(f"{self.address}: there is no such bucket; make it, or correct AIHUB_ARTIFACTS")


def said(error: BaseException) -> str:
    """Return what is known of a failure and is nobody's secret: the status, the store's code, the kind of network fault.

    The library's own text has addresses and what a store echoes, which may be the name of a key.
    """
    found = [part.strip() for groups in _SAID.findall(str(error)) for part in groups if part]
    return ", ".join(dict.fromkeys(found)) or type(error).__name__


def connect(settings: Settings, kind: Kind) -> Objects:
    """Return the objects of this kind in the bucket of the settings. Talks to nobody yet.

    Raises
    ------
    ConfigError
        The settings cannot be used.
    """
    name, _, prefix = settings.artifacts.removeprefix("s3://").partition("/")
    given = {
        "endpoint": settings.s3_endpoint,
        "region": settings.s3_region,
        "access_key_id": settings.s3_access_key_id.get_secret_value(),
        "secret_access_key": settings.s3_secret_access_key.get_secret_value(),
    }
    client: dict[str, Any] = {
        "connect_timeout": timedelta(seconds=CONNECT_TIMEOUT_S),
        "read_timeout": timedelta(seconds=SILENCE_TIMEOUT_S),
        "timeout": timedelta(seconds=REQUEST_TIMEOUT_S),
        # The settings let only an address of this machine be http; variables of AWS never do.
        "allow_http": settings.s3_endpoint.startswith("http://"),
        "allow_invalid_certificates": False,
        "user_agent": "aihub",
    }
    try:
        if settings.s3_ca_file is not None:
            client["root_certificate"] = settings.s3_ca_file.read_bytes()
        store = S3Store(
            name,
            prefix="/".join(part for part in (prefix, kind) if part),
            client_options=client,  # type: ignore[arg-type]
            retry_config={"max_retries": 4, "retry_timeout": timedelta(seconds=RETRY_FOR_S)},
            **{key: value for key, value in given.items() if value},  # type: ignore[arg-type]
        )
    except OSError as error:
        message = f"the file {str(settings.s3_ca_file)!r} cannot be read ({error.strerror}); correct AIHUB_S3_CA_FILE"
        raise ConfigError(message, field="s3_ca_file") from None
    except (BaseError, ValueError) as error:
        message = (
            f"the bucket's settings cannot be used ({said(error)}); correct AIHUB_ARTIFACTS and AIHUB_S3_*"
        )
        raise ConfigError(message, field="artifacts") from None
    return Objects(store, f"{settings.artifacts}/{kind}")
