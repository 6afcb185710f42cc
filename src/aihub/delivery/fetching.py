"""Tables that a run reads: those that a job names by their address are fetched for it, and gone with it.

Each lies in a file of its run, so that no other job can miss it when it is deleted; what a killed process leaves is swept
(`aihub.delivery.sweeping`). The fetch has a thread of its own: the run waits for it only as long as nobody stops the run.
"""

from __future__ import annotations

import secrets
import socket
import threading
from contextlib import ExitStack, contextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

from aihub import outgoing
from aihub.delivery import datasets
from aihub.errors import ArtifactError, DataError, StoppedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import httpx
    from sqlalchemy.engine import Engine

    from aihub.delivery.datasets import Located
    from aihub.registry.backing import Backing
    from aihub.settings import Settings

SILENCE_S = 30.0
"""Longest time that a source may say nothing."""
LOOK_S = 0.1
_OK = 200


@contextmanager
def held(
    settings: Settings,
    engine: Engine,
    data: Mapping[str, Any],
    *,
    backing: Backing,
    tenant: str,
    owner: str,
    check: Callable[[], None] = lambda: None,
) -> Iterator[Path]:
    """Yield the file of a job's data; one that was fetched for it is deleted at the end of the block.

    Parameters
    ----------
    data
        One of ``dataset_id``, ``path`` and ``url``.
    backing
        Where an uploaded table is asked for that does not lie on this machine.
    owner
        Name of the run, `sweeping.owner_of`, under which a file that a crash leaves is found.
    check
        Raises where the run is to stop; asked every `LOOK_S` while something is fetched.

    Raises
    ------
    InputError, NotFoundError, ForbiddenError, DataError
        As `aihub.delivery.datasets.resolve`; also of a table that is not there, or has not arrived within `fetch_timeout_s`.
    UnavailableError
        The address, or the bucket of the data sets, does not answer.
    """
    name = folder(settings) / f"{owner}.{secrets.token_hex(6)}"
    if data.get("url") is None:
        located = datasets.resolve(settings, engine, data, tenant=tenant)
        with _uploaded(backing, located, name, check) as path:
            yield path
        return
    url = datasets.checked_url(settings, data)
    fetch = _Fetch(settings, url, name)
    try:
        fetch.wait(check)
        yield fetch.target
    finally:
        fetch.give_up()


@contextmanager
def _uploaded(backing: Backing, located: Located, name: Path, check: Callable[[], None]) -> Iterator[Path]:
    """Yield the file of an uploaded table, which stays for the run, or one that lies here anyway."""
    if located.dataset is None:
        yield located.path
        return
    with ExitStack() as stack:
        label = located.dataset.name
        try:
            path = stack.enter_context(backing.held(located.path, located.dataset.digest, name, check))
        except ArtifactError as error:
            raise DataError(f"is not in the store ({error}). Upload it again.", file=label) from None
        if not path.is_file():
            message = (
                "the file is not on this machine. Let all processes of the hub share AIHUB_HOME or AIHUB_ARTIFACTS, "
                "or upload it again."
            )
            raise DataError(message, file=label)
        yield path


def folder(settings: Settings) -> Path:
    """Return where the tables of runs lie."""
    return datasets.folder(settings) / "fetched"


class _Fetch:
    """One fetch in a thread of its own. Whoever ends last, this thread or its owner, deletes the file."""

    def __init__(self, settings: Settings, url: str, target: Path) -> None:
        self.target = target
        self._settings = settings
        self._url = url
        # What follows a question mark may be a signature.
        self._label = url.partition("?")[0]
        self._is_over, self._is_given_up = threading.Event(), threading.Event()
        self._error: Exception | None = None
        self._connection: socket.socket | None = None

    def wait(self, check: Callable[[], None]) -> None:
        """Start, and wait until the table is there."""
        until = monotonic() + self._settings.fetch_timeout_s
        threading.Thread(target=self._run, name=f"fetch {self.target.name}", daemon=True).start()
        while not self._is_over.wait(LOOK_S):
            check()
            if monotonic() > until:
                message = f"has not arrived within {self._settings.fetch_timeout_s:g} s. Upload it, or raise AIHUB_FETCH_TIMEOUT_S."
                raise DataError(message, file=self._label)
        if self._error is not None:
            raise self._error

    def give_up(self) -> None:
        """Let the thread end, and delete what it has fetched."""
        self._is_given_up.set()
        connection = self._connection
        if connection is not None and not self._is_over.is_set():
            # Wakes a thread that waits for the next byte.
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.target.unlink(missing_ok=True)

    def _run(self) -> None:
        try:
            pieces = _from_bucket(self._url) if self._url.startswith("s3:") else self._from_host()
            with datasets.Intake(self._settings, self._label) as intake:
                for piece in pieces:
                    self._check()
                    intake.write(piece)
                intake.finish(target=self.target)
        except Exception as error:  # noqa: BLE001 - the border of the thread: its owner raises it
            self._error = error
        finally:
            if self._is_given_up.is_set():
                self.target.unlink(missing_ok=True)
            self._is_over.set()

    def _check(self) -> None:
        if self._is_given_up.is_set():
            raise StoppedError("the fetch was given up; nobody waits for it")

    def _from_host(self) -> Iterator[bytes]:
        host = datasets.host_of(self._url)
        is_private = host in {name.lower() for name in self._settings.data_private_hosts}
        headers = {"Accept-Encoding": "identity", "User-Agent": "aihub"}
        with outgoing.opened(
            "GET", self._url, headers=headers, timeout_s=SILENCE_S, allow_private=is_private, hosts=[host]
        ) as response:
            self._connection = _socket_of(response)
            if response.status_code != _OK:
                raise DataError(
                    f"answered {response.status_code}. Check the address; redirects are not followed.",
                    file=self._label,
                )
            # As it comes: pieces of one size would keep a slow source's bytes back, and the look whether to go on.
            yield from response.iter_raw()


def _socket_of(response: httpx.Response) -> socket.socket | None:
    stream = response.extensions.get("network_stream")
    found = None if stream is None else stream.get_extra_info("socket")
    return found if isinstance(found, socket.socket) else None


def _from_bucket(url: str) -> Iterator[bytes]:
    from pyarrow import fs

    try:
        # Credentials and region come from the environment of the process, as everywhere with S3.
        with fs.S3FileSystem().open_input_stream(url.removeprefix("s3://")) as stream:
            while piece := stream.read(datasets.CHUNK_BYTES):
                yield piece
    except FileNotFoundError:
        raise DataError("there is no such object. Check bucket and key.", file=url) from None
    except (OSError, ValueError) as error:
        raise UnavailableError(
            f"the bucket of {url!r} does not answer ({type(error).__name__}); check address, region and credentials"
        ) from error
