"""Requests to addresses that somebody else has chosen."""

from __future__ import annotations

import gzip
import ipaddress
import socket
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from aihub import outgoing
from aihub.errors import ForbiddenError, InputError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Target(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            return
        self.send_response(200)
        if self.path == "/bomb":
            self.send_header("Content-Encoding", "gzip")
            self.end_headers()
            self.wfile.write(gzip.compress(bytes(32 << 20)))
            return
        self.end_headers()
        if self.path == "/slow":
            self._drip()
            return
        answer = b"x" * (1 << 20) if self.path == "/long" else self.headers["Host"].encode() + b" " + body
        try:
            self.wfile.write(answer)
        except OSError:
            return  # the caller stops reading a long answer: that is what is tested

    def _drip(self) -> None:
        with suppress(OSError):
            for _ in range(600):
                self.wfile.write(b".")
                time.sleep(0.1)

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def target() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Target)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://localhost:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "169.254.169.254", "168.63.129.16", "192.0.0.192", "224.0.0.1", "0.0.0.0",  # noqa: S104
        "100.64.0.1", "::1", "fe80::1", "fd00::1", "64:ff9b::7f00:1", "2002:7f00:1::", "::ffff:127.0.0.1", "ff02::1", "fec0::1",
    ],
)  # fmt: skip
def test_addresses_that_lead_inside_are_not_public(address: str) -> None:
    assert not outgoing.is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "2130706433", "0x7f000001", "127.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0"],
)
def test_every_spelling_of_loopback_is_refused(host: str) -> None:
    with pytest.raises((ForbiddenError, UnavailableError)):
        outgoing.post(f"https://{host}/hook", b"", {}, timeout_s=2)


@pytest.mark.parametrize(
    "url",
    ["ftp://example.org/", "http://example.org/", "https:///x", "https://user:word@example.org/", "https://\uff11\uff12\uff17.0.0.1/",
     "https://example.org:99999/", "file:///etc/passwd", "https://[::1"],
)  # fmt: skip
def test_addresses_that_are_no_plain_https_are_refused(url: str) -> None:
    with pytest.raises(InputError):
        outgoing.post(url, b"", {})


def test_hosts_outside_the_list_are_refused() -> None:
    with pytest.raises(ForbiddenError, match=r"not on the list"):
        outgoing.post("https://hooks.slack.com.evil.example/x", b"", {}, hosts=["hooks.slack.com"])


def test_the_name_is_sent_although_the_address_is_called(target: str) -> None:
    answer = outgoing.post(f"{target}/hook", b"hello", {"X-A": "1"}, allow_private=True)
    assert answer.status_code == 200
    assert answer.content == target.removeprefix("http://").encode() + b" hello"


def test_a_redirect_is_an_answer_and_not_followed(target: str) -> None:
    assert outgoing.post(f"{target}/moved", b"", {}, allow_private=True).status_code == 302


def test_a_long_answer_is_cut(target: str) -> None:
    answer = outgoing.post(f"{target}/long", b"", {}, allow_private=True)
    assert len(answer.content) == outgoing.MAX_ANSWER_BYTES


def test_an_answer_is_not_unpacked(target: str) -> None:
    answer = outgoing.post(f"{target}/bomb", b"", {}, allow_private=True)
    assert len(answer.content) <= outgoing.MAX_ANSWER_BYTES


def test_an_answer_that_drips_does_not_hold_up_the_others(target: str) -> None:
    began = time.monotonic()
    with pytest.raises(UnavailableError, match="too slowly"):
        outgoing.post(f"{target}/slow", b"", {}, allow_private=True, timeout_s=0.5)
    assert time.monotonic() - began < 20


def test_headers_that_drip_do_not_hold_up_the_others() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                for _ in range(1200):
                    connection.sendall(b"a")
                    time.sleep(0.05)

        thread = threading.Thread(target=answer)
        thread.start()
        began = time.monotonic()
        with pytest.raises(UnavailableError):
            outgoing.post(
                f"http://127.0.0.1:{server.getsockname()[1]}/", b"", {}, allow_private=True, timeout_s=0.3
            )
        assert time.monotonic() - began < 20
        thread.join()


def test_nobody_there_is_worth_another_try() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(UnavailableError):
        outgoing.post(f"http://127.0.0.1:{port}/secret-path", b"", {}, allow_private=True, timeout_s=2)
