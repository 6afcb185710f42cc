"""A server that speaks S3, as a process of its own, and a wire to it that can be cut."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
import obstore
import pytest
from obstore.store import S3Store

if TYPE_CHECKING:
    from collections.abc import Iterator

START_TIMEOUT_S = 60.0
KEY, SECRET = "tester", "not-a-secret"


@dataclass(frozen=True)
class TrialBucket:
    """An empty bucket of the server."""

    endpoint: str
    name: str

    def environ(self, endpoint: str | None = None) -> dict[str, str]:
        """Settings of a hub that keeps its files here, by default reached without a detour."""
        return {
            "AIHUB_ARTIFACTS": f"s3://{self.name}/hub",
            "AIHUB_S3_ENDPOINT": endpoint or self.endpoint,
            "AIHUB_S3_REGION": "us-east-1",
            "AIHUB_AUDIT_KEY": "k" * 32,
            "AIHUB_S3_ACCESS_KEY_ID": KEY,
            "AIHUB_S3_SECRET_ACCESS_KEY": SECRET,
        }

    @property
    def store(self) -> S3Store:
        """The bucket as somebody else sees it."""
        return S3Store(
            self.name,
            endpoint=self.endpoint,
            region="us-east-1",
            access_key_id=KEY,
            secret_access_key=SECRET,
            client_options={"allow_http": True},
        )

    def names(self) -> list[str]:
        """Names of all objects but the mark of whose bucket it is, sorted."""
        names = (found["path"] for page in obstore.list(self.store) for found in page)
        return sorted(name for name in names if not name.endswith("/.hub"))

    def read(self, key: str) -> bytes:
        """Return an object's content, past the hub."""
        return bytes(obstore.get(self.store, key).bytes())

    def write(self, key: str, content: bytes) -> None:
        """Put an object there, past the hub."""
        obstore.put(self.store, key, content)

    def write_raw(self, key: str, content: bytes = b"") -> None:
        """Put an object there under a name that our library refuses."""
        httpx.put(f"{self.endpoint}/{self.name}/{key}", content=content, trust_env=False).raise_for_status()

    def delete(self, key: str) -> None:
        """Remove an object, past the hub."""
        obstore.delete(self.store, key)


@contextmanager
def s3_server() -> Iterator[str]:
    """Yield the address of a server without buckets."""
    port = _free_port()
    with subprocess.Popen(
        [sys.executable, "-m", "moto.server", "--host=127.0.0.1", f"--port={port}"],
        env={**os.environ, "MOTO_S3_DEFAULT_MAX_KEYS": "1000"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            _wait_for(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def new_bucket(endpoint: str) -> TrialBucket:
    """Make a bucket that nobody else uses."""
    name = f"hub-{uuid.uuid4().hex[:12]}"
    httpx.put(f"{endpoint}/{name}", trust_env=False).raise_for_status()
    return TrialBucket(endpoint, name)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError("the S3 server does not start")


@dataclass
class Wire:
    """A way to a server through which nothing comes while it is cut, or only so many bytes of each answer or question."""

    target: tuple[str, int]
    is_cut: bool = False
    answer_bytes: int | None = None
    question_bytes: int | None = None
    connections: int = 0
    _open: set[socket.socket] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        """Address of this end."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def cut(self) -> None:
        """Let nothing through from now on, and hang up what is under way."""
        self.is_cut = True
        for end in list(self._open):
            self._hang_up(end)

    def mend(self) -> None:
        """Let everything through again."""
        self.is_cut, self.answer_bytes, self.question_bytes = False, None, None

    def close(self) -> None:
        """Stop for good."""
        self.cut()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            if self.is_cut:
                near.close()
                continue
            far = socket.create_connection(self.target)
            self._open |= {near, far}
            threading.Thread(target=self._pass, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self._pass, args=(far, near, True), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, is_answer: bool) -> None:  # noqa: FBT001
        passed = 0
        with suppress(OSError):
            while piece := source.recv(65536):
                limit = self.answer_bytes if is_answer else self.question_bytes
                if limit is not None:
                    piece = piece[: max(0, limit - passed)]
                target.sendall(piece)
                passed += len(piece)
                if limit is not None and passed >= limit:
                    break
        for end in (source, target):
            self._hang_up(end)

    def _hang_up(self, end: socket.socket) -> None:
        self._open.discard(end)
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


@contextmanager
def wire_to(endpoint: str) -> Iterator[Wire]:
    """Yield a wire to the server of `endpoint`."""
    host, _, port = endpoint.removeprefix("http://").partition(":")
    wire = Wire((host, int(port)))
    try:
        yield wire
    finally:
        wire.close()


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """Address of an S3 server that all tests of this process share."""
    with s3_server() as endpoint:
        yield endpoint


@pytest.fixture
def bucket(s3_endpoint: str) -> TrialBucket:
    """An empty bucket."""
    return new_bucket(s3_endpoint)


@pytest.fixture
def wire(s3_endpoint: str) -> Iterator[Wire]:
    """A way to the S3 server that can be cut."""
    with wire_to(s3_endpoint) as made:
        yield made
