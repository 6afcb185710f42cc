"""The short way for predictions on a server that really listens."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn

from aihub.api import quick_http
from aihub.asgi import build
from aihub.store import keys, tenants
from aihub.store.engine import write
from aihub.types import Role

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from aihub.hub import Hub
    from aihub.serving.pool import ServingPool

ROW = {"a": 0.5, "b": 0.1}


class Line:
    """A connection on which bytes are sent as they are."""

    def __init__(self, port: int, token: str) -> None:
        self.token = token
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.file = self.socket.makefile("rb")

    def request(self, body: bytes, *lines: str, path: str = "/models/load/predict") -> bytes:
        length = [] if any("chunked" in line for line in lines) else [f"Content-Length: {len(body)}"]
        head = [
            f"POST {path} HTTP/1.1",
            "Host: localhost",
            f"Authorization: Bearer {self.token}",
            *length,
            *lines,
        ]
        return "\r\n".join(head).encode() + b"\r\n\r\n" + body

    def answer(self) -> tuple[int, dict[str, str], Any]:
        status = int(self.file.readline().split()[1])
        headers = {}
        while line := self.file.readline().strip():
            name, _, value = line.decode().partition(": ")
            headers[name] = value
        return status, headers, json.loads(self.file.read(int(headers["content-length"])))

    def ask(
        self, body: bytes, *lines: str, path: str = "/models/load/predict"
    ) -> tuple[int, dict[str, str], Any]:
        self.socket.sendall(self.request(body, *lines, path=path))
        return self.answer()


@pytest.fixture
def quick() -> list[bool]:
    """Of every prediction that came to the short way, whether it was answered there."""
    return []


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What came to the parser."""
    found: list[bytes] = []
    parse = quick_http.BoundedHttp.data_received

    def noted(protocol: Any, data: bytes) -> None:
        found.append(data)
        parse(protocol, data)

    monkeypatch.setattr(quick_http.BoundedHttp, "data_received", noted)
    return found


@pytest.fixture
def token(hub: Hub, now: datetime) -> str:
    given: dict[str, Any] = {"actor": "hub", "now": now, "audit": hub.audit}
    with write(hub.engine, tenant="*") as connection:
        tenants.ensure(connection, "default", source="test", **given)
        return keys.issue(connection, tenant="default", principal="ann", role=Role.TRAINER, **given).token


@pytest.fixture
def app(hub: Hub, pool: ServingPool, register: Callable[..., Any], deploy: Callable[..., Any]) -> Any:
    deploy(register(1.0))
    pool.start()
    return build(hub, pool=pool)


@pytest.fixture
def line(app: Any, token: str, quick: list[bool]) -> Iterator[Line]:
    at_once = app.at_once

    def counted(*given: Any) -> bytes | None:
        found: bytes | None = at_once(*given)
        quick.append(found is not None)
        return found

    app.at_once = counted
    config = uvicorn.Config(app, port=0, log_config=None, access_log=False, http=quick_http.with_route(app))
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    found = Line(server.servers[0].sockets[0].getsockname()[1], token)
    yield found
    found.file.close()
    found.socket.close()
    server.should_exit = True
    thread.join(10)


def test_a_known_caller_is_answered_the_short_way_and_the_same(line: Line, quick: list[bool]) -> None:
    body = json.dumps([ROW]).encode()
    first, second = line.ask(body), line.ask(body)
    assert quick == [False, True]
    assert (first[0], second[0]) == (200, 200)
    assert first[2]["prediction"] == second[2]["prediction"]
    assert first[2]["ids"] != second[2]["ids"]
    del first[1]["content-length"], second[1]["content-length"], first[1]["date"], second[1]["date"]
    assert first[1] == second[1]


def test_requests_sent_ahead_are_answered_in_their_order(line: Line, quick: list[bool]) -> None:
    bodies = [json.dumps([{**ROW, "a": at / 10}] * (1 + at % 2)).encode() for at in range(10)]
    line.ask(bodies[0])
    line.socket.sendall(b"".join(line.request(body) for body in bodies))
    together = [line.answer()[2]["prediction"] for _ in bodies]
    assert [len(one) for one in together] == [1, 2] * 5
    alone = [line.ask(body)[2]["prediction"] for body in bodies]
    assert together == alone
    assert quick.count(True) > 10


def test_a_head_that_was_sent_before_is_not_parsed_again(
    line: Line, quick: list[bool], parsed: list[bytes]
) -> None:
    bodies = [json.dumps([{**ROW, "a": value}]).encode() for value in (0.5, 0.25, 0.125, 5, 0.0625)]
    told = [line.ask(body)[2]["prediction"] for body in bodies]
    assert len(parsed) == 2, "the first asks who calls, the second is parsed and kept"
    assert quick == [False, True, True, True, True]
    assert told == [line.ask(body, "X-Other: 1")[2]["prediction"] for body in bodies]
    assert len(parsed) == 3


def test_a_connection_whose_heads_are_all_different_is_parsed(line: Line, parsed: list[bytes]) -> None:
    body = json.dumps([ROW]).encode()
    for at in range(20):
        assert line.ask(body, f"X-Request-Id: {at}")[0] == 200
    assert line.ask(body, "X-Request-Id: 19")[0] == 200
    assert len(parsed) == 21


def test_what_stands_behind_a_head_that_is_known_is_parsed(line: Line, parsed: list[bytes]) -> None:
    """Half a body, and a second request: nothing of them is taken for something else."""
    body = json.dumps([ROW]).encode()
    line.ask(body)
    line.ask(body)
    whole = line.request(body)
    line.socket.sendall(whole[:-3])
    time.sleep(0.05)
    line.socket.sendall(whole[-3:] + whole + whole[:9])
    assert [line.answer()[0] for _ in range(2)] == [200, 200]
    line.socket.sendall(whole[9:])
    assert line.answer()[0] == 200
    assert len(parsed) == 5
    assert line.ask(body, path="/models/laod/predict")[0] == 404
    assert line.ask(body)[0] == 200


@pytest.mark.parametrize(
    ("body", "lines", "status"),
    [
        (b"[{]", (), 422),
        (b'[{"a": 1}]', (), 422),
        (b'[{"a": 1, "b": 1}' + b" " * 80_000 + b"]", (), 200),
        (json.dumps([ROW]).encode(), ("Expect: 100-continue",), 200),
        (b'19\r\n[{"a": 0.5, "b": 0.1   }]\r\n0\r\n\r\n', ("Transfer-Encoding: chunked",), 200),
        (b"a,b", ("Content-Type: text/csv",), 422),
    ],
)
def test_everything_else_goes_the_usual_way(
    line: Line, body: bytes, lines: tuple[str, ...], status: int
) -> None:
    line.ask(json.dumps([ROW]).encode())
    line.socket.sendall(line.request(body, *lines))
    if lines and lines[0].startswith("Expect"):
        assert line.file.readline().startswith(b"HTTP/1.1 100")
        line.file.readline()
    found, headers, _ = line.answer()
    assert found == status
    assert headers["x-content-type-options"] == "nosniff"
    assert line.ask(json.dumps([ROW]).encode())[0] == 200


def test_a_body_in_pieces_is_waited_for(line: Line, quick: list[bool]) -> None:
    message = line.request(json.dumps([ROW]).encode())
    line.ask(json.dumps([ROW]).encode())
    for at in range(0, len(message), 40):
        line.socket.sendall(message[at : at + 40])
        time.sleep(0.005)
    assert line.answer()[0] == 200
    assert quick[-1]


def test_no_key_and_no_such_model_are_refused(line: Line) -> None:
    body = json.dumps([ROW]).encode()
    line.ask(body)
    assert line.ask(body, path="/models/laod/predict")[0] == 404
    assert line.ask(body, path="/models/load/predict?environment=PRODUCTION")[0] == 422
    line.token = line.token[::-1]
    assert line.ask(body)[0] == 401
