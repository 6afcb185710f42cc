"""What a stranger can do with a connection, against a server as `aihub serve` runs it."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

import pytest
import structlog
import uvicorn

from aihub import asgi
from aihub.api import border, bounded_http, quick_http
from aihub.api.bounded_http import MAX_HEAD_BYTES, BoundedHttp
from aihub.api.quick_http import with_route
from aihub.store import schema
from aihub.store.engine import create
from hubs import made_hub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aihub.api.border import App

HEAD = b"Host: 127.0.0.1\r\n"


@contextmanager
def serving(app: App, protocol: type[BoundedHttp]) -> Iterator[int]:
    server = uvicorn.Server(
        uvicorn.Config(app, http=protocol, log_config=None, access_log=False, timeout_keep_alive=1)
    )
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    try:
        while not server.started:
            thread.join(0.005)
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()


@pytest.fixture(params=["plain", "quick"])
def port(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(bounded_http, "HEAD_S", 0.5)
    monkeypatch.setattr(bounded_http, "AFTER_S", 0.5)
    monkeypatch.setattr(border, "BODY_S", 0.5)
    monkeypatch.setattr(quick_http, "HELD_S", 0.5)
    engine = create(f"sqlite:///{tmp_path / 'hub.db'}")
    schema.upgrade(engine)
    with made_hub(engine, tmp_path / "home") as hub:
        if request.param == "plain":
            with serving(asgi.build(hub), BoundedHttp) as found:
                yield found
        else:
            pool = hub.serving_pool()
            app = asgi.build(hub, pool=pool)
            with serving(app, with_route(app)) as found:  # type: ignore[arg-type]
                yield found
    engine.dispose()


def said(port: int, *pieces: bytes, pause_s: float = 0.0) -> tuple[bytes, float]:
    """All that a server says to some bytes until it closes, and after how long it does."""
    began = monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
                if pause_s:
                    threading.Event().wait(pause_s)
            answer = b""
            while piece := connection.recv(1 << 16):
                answer += piece
        except ConnectionError:
            answer = answer if "answer" in locals() else b""
    return answer, monotonic() - began


def test_a_head_without_end_is_not_kept(port: int) -> None:
    for endless in (b"X: " + b"a" * (8 * MAX_HEAD_BYTES), b"X: a\r\n" * MAX_HEAD_BYTES):
        answer, _ = said(port, b"GET /health HTTP/1.1\r\n" + HEAD + endless)
        # The rest of what was sent may have broken the connection before the answer was read.
        assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")
    answer, _ = said(
        port, b"GET /health HTTP/1.1\r\nConnection: close\r\n" + HEAD + b"X: " + b"a" * 30_000 + b"\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_what_is_no_request_is_refused_in_our_form(port: int) -> None:
    answer, _ = said(port, b"FOO /health HTTP/1.1\r\n" + HEAD + b"\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    assert json.loads(body)["code"] == "bad_request"


@pytest.mark.parametrize("sent", [b"", b"GET /heal", b"GET /health HTTP/1.1\r\n" + HEAD])
def test_a_head_that_does_not_come_ends_the_connection(port: int, sent: bytes) -> None:
    answer, took = said(port, sent)
    assert answer == b""
    assert 0.3 < took < 9


def test_dripping_a_head_gains_nothing(port: int) -> None:
    _, took = said(port, b"GET /health HTTP/1.1\r\n", *[b"X: a\r\n"] * 12, pause_s=0.1)
    assert took < 9
    # After an answer the wait for the next head begins anew.
    whole = b"GET /health HTTP/1.1\r\n" + HEAD + b"\r\n"
    # A busy machine may be late with one of them: one try of four in time is enough.
    tries = (said(port, whole, whole, whole, b"GET /he", pause_s=0.3)[0] for _ in range(4))
    assert any(answer.count(b"HTTP/1.1 200 ") == 3 for answer in tries)


@pytest.mark.parametrize("path", ["/auth/github", "/models/load/predict"])
def test_a_body_that_does_not_come_is_a_408(port: int, path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 100\r\n".encode()
    answer, took = said(port, head + HEAD + b"\r\n{")
    # Where the credential is asked for first, nobody waits for the body of a stranger.
    assert answer.startswith((b"HTTP/1.1 408 ", b"HTTP/1.1 401 "))
    assert b"request_timeout" in answer or "predict" in path
    assert 0.3 < took < 9


CHUNKED = b"Transfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n"


@pytest.mark.parametrize("path", [b"/auth/github", b"/models/load/predict"])
@pytest.mark.parametrize(
    "endless",
    [
        b"2\r\n{}\r\n0\r\n" + b"X: a\r\n" * (1 << 20),
        b"2\r\n{}\r\n0\r\nX: " + b"a" * (8 << 20),
        b"2;" + b"a" * (8 << 20),
        b"1;aaaaaaaaaaaaaaa\r\n \r\n" * (1 << 18),
    ],
    ids=["trailers", "a trailer", "an extension", "extensions"],
)
def test_what_surrounds_a_body_is_not_kept_without_end(port: int, path: bytes, endless: bytes) -> None:
    answer, took = said(port, b"POST " + path + b" HTTP/1.1\r\n" + HEAD + CHUNKED + endless)
    assert answer == b"" or answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 401 ")), answer
    assert took < 9


def test_a_trailer_is_no_header(port: int) -> None:
    """A proxy that checks or sets headers does not look behind the body."""
    head = b"POST /models/load/predict HTTP/1.1\r\nConnection: close\r\n" + HEAD + CHUNKED
    plain, _ = said(port, head + b"2\r\n{}\r\n0\r\n\r\n")
    trailed, _ = said(port, head + b"2\r\n{}\r\n0\r\nHost: elsewhere\r\n\r\n")
    assert plain.split()[1] == trailed.split()[1] != b"421"


@pytest.mark.parametrize("header", [b"Host: elsewhere\r\n", b"host: 127.0.0.1\r\n", b"authorization: b\r\n"])
def test_what_must_be_said_once_is_not_said_twice(port: int, header: bytes) -> None:
    given = HEAD + b"Authorization: a\r\n" + header
    for line in (b"GET /health", b"POST /models/load/predict"):
        answer, _ = said(port, line + b" HTTP/1.1\r\n" + given + b"Content-Length: 0\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 400 "), answer


def test_a_body_in_many_small_pieces_is_taken(port: int) -> None:
    pieces = b"1\r\n \r\n" * 100_000 + b"2\r\n{}\r\n0\r\n\r\n"
    answer, _ = said(port, b"POST /auth/github HTTP/1.1\r\nConnection: close\r\n" + HEAD + CHUNKED + pieces)
    assert answer.startswith(b"HTTP/1.1 422 "), answer


@pytest.mark.parametrize("kind", ["application/json", "text/plain"])
def test_who_goes_in_the_middle_of_a_body_is_no_fault(port: int, kind: str) -> None:
    with structlog.testing.capture_logs() as logs:
        head = f"POST /auth/github HTTP/1.1\r\nContent-Type: {kind}\r\nContent-Length: 100\r\n".encode()
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(head + HEAD + b"\r\n{")
        until = monotonic() + 30
        while not logs and monotonic() < until:
            threading.Event().wait(0.02)
    assert [line["event"] for line in logs] == ["request.answered"]
    assert logs[0]["status"] in (400, 499)


@pytest.mark.parametrize("path", [b"/auth/github", b"/models/load/predict", b"/nowhere"])
@pytest.mark.parametrize("kind", [b"application/json", b"text/csv"])
def test_who_was_answered_and_sends_no_more_of_his_body_is_not_waited_for(
    port: int, path: bytes, kind: bytes
) -> None:
    """A byte behind an answer ends the server's own wait for the next request."""
    head = b"POST " + path + b" HTTP/1.1\r\nContent-Length: 1000\r\nContent-Type: " + kind + b"\r\n" + HEAD
    answer, took = said(port, head + b"\r\n", *[b" "] * 3, pause_s=0.3)
    # What is sent behind the end may have broken the connection before the answer was read.
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer
    assert took < 9


def test_who_was_answered_may_send_the_rest_of_his_body(port: int) -> None:
    rest = [b" " * bounded_http.AFTER_BYTES] * 12
    size = str(sum(map(len, rest))).encode()
    head = b"POST /nowhere HTTP/1.1\r\nContent-Length: " + size + b"\r\n" + HEAD + b"\r\n"
    following = b"GET /health HTTP/1.1\r\nConnection: close\r\n" + HEAD + b"\r\n"
    answer, _ = said(port, head, *rest, following, pause_s=0.1)
    assert answer.startswith(b"HTTP/1.1 4"), answer
    assert b"HTTP/1.1 200 OK" in answer
