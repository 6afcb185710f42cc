from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from aihub.errors import ConfigError, UnauthorizedError, UnavailableError
from aihub.github.keys import MAX_AGE_S, MAX_BYTES, MAX_STALE_S, MIN_REFRESH_S, KeySet, read_keys
from github_side import Issuer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Published:
    """An HTTP server that answers with `body`, and counts."""

    def __init__(self) -> None:
        self.body, self.status, self.asked = b"{}", 200, 0
        self.pause_s = 0.0
        self.lets_go = Event()
        self.lets_go.set()
        outer = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                outer.lets_go.wait(60)
                self.send_response(outer.status)
                self.send_header("Location", "/elsewhere")
                self.end_headers()
                for start in range(0, len(outer.body), 1 if outer.pause_s else len(outer.body)):
                    self.wfile.write(
                        outer.body[start:] if not outer.pause_s else outer.body[start : start + 1]
                    )
                    sleep(outer.pause_s)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server.server_port}/jwks"
        Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def published(issuer: Issuer) -> Iterator[Published]:
    one = Published()
    one.body = issuer.jwks()
    yield one
    one.lets_go.set()
    one.server.shutdown()
    one.server.server_close()


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_keys_are_fetched_once_and_kept(published: Published) -> None:
    keys = KeySet(published.url)
    assert keys.find("key-1") is keys.find("key-1")
    assert published.asked == 1


def test_a_rotated_key_is_found_and_invented_ids_do_not_flood_the_issuer(published: Published) -> None:
    clock = Clock()
    keys = KeySet(published.url, clock)
    keys.find("key-1")
    published.body = Issuer(key_id="key-2").jwks()
    for _ in range(50):
        with pytest.raises(UnauthorizedError):
            keys.find("key-2")
    assert published.asked == 1
    clock.now += MIN_REFRESH_S
    assert keys.find("key-2")
    assert published.asked == 2
    with pytest.raises(UnauthorizedError):
        keys.find("key-1")


def test_a_withdrawn_key_ends_although_its_id_is_known(published: Published) -> None:
    clock = Clock()
    keys = KeySet(published.url, clock)
    keys.find("key-1")
    published.body = Issuer(key_id="key-2").jwks()
    clock.now += MAX_AGE_S + 1
    with pytest.raises(UnauthorizedError):
        keys.find("key-1")


def test_keys_outlive_an_outage_of_the_issuer_but_not_for_ever(published: Published) -> None:
    clock = Clock()
    keys = KeySet(published.url, clock)
    keys.find("key-1")
    published.status = 503
    clock.now += MAX_AGE_S + 1
    assert keys.find("key-1")
    clock.now += MAX_STALE_S
    with pytest.raises(UnavailableError):
        keys.find("key-1")


@pytest.mark.parametrize("status", [301, 302, 307, 404, 500])
def test_another_answer_than_200_gives_no_keys(published: Published, status: int) -> None:
    published.status = status
    with pytest.raises(UnavailableError, match="AIHUB_GITHUB_JWKS"):
        KeySet(published.url).find("key-1")
    assert published.asked == 1, "a redirect is not followed"


def test_a_body_without_end_is_cut(published: Published) -> None:
    published.body = b" " * (MAX_BYTES + 1)
    with pytest.raises(UnavailableError, match="KiB"):
        KeySet(published.url).find("key-1")


def test_a_file_serves_where_there_is_no_way_out(issuer: Issuer, tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_bytes(issuer.jwks())
    assert KeySet(f"file:{file}").find("key-1")
    with pytest.raises(UnavailableError):
        KeySet(f"file:{tmp_path}/missing.json").find("key-1")


@pytest.mark.parametrize(
    "source", ["", "http://example.com/jwks", "ftp://x", "http://127.0.0.1.example.com/"]
)
def test_keys_come_over_a_safe_way_only(source: str) -> None:
    with pytest.raises(ConfigError):
        KeySet(source)


def test_keys_that_are_not_for_rs256_are_passed_over() -> None:
    def listed(**changes: Any) -> bytes:
        one = json.loads(Issuer().jwks())["keys"][0]
        return json.dumps({"keys": [{**one, **changes}]}).encode()

    for changes in (
        {"kty": "oct", "k": "AAAA"},
        {"use": "enc"},
        {"alg": "RS512"},
        {"kid": None},
        {"n": "!"},
        {"n": 5},
    ):
        with pytest.raises(ValueError, match="no RSA key"):
            read_keys(listed(**changes))
    weak = jwt.algorithms.RSAAlgorithm.to_jwk(
        rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key(),  # noqa: S505 - the point
        as_dict=True,
    )
    with pytest.raises(ValueError, match="no RSA key"):
        read_keys(json.dumps({"keys": [{**weak, "kid": "weak"}]}).encode())
    for body in (b"", b"[]", b'{"keys": 5}', b"\xff", b'{"keys": [5, null]}'):
        with pytest.raises(ValueError, match=r".*"):
            read_keys(body)


def test_one_waits_for_keys_that_were_never_had_and_the_others_are_told_at_once(published: Published) -> None:
    published.lets_go.clear()
    keys, found = KeySet(published.url), list[Any]()
    first = Thread(target=lambda: found.append(keys.find("key-1")))
    first.start()
    while not published.asked:
        first.join(0.005)
    began = monotonic()
    for _ in range(20):
        with pytest.raises(UnavailableError):
            keys.find("key-1")
    assert monotonic() - began < 20
    assert published.asked == 1
    published.lets_go.set()
    first.join(60)
    assert found == [keys.find("key-1")]


def test_an_unknown_key_is_no_refusal_while_the_keys_are_fetched_anew(published: Published) -> None:
    clock = Clock()
    keys = KeySet(published.url, clock)
    keys.find("key-1")
    clock.now += MIN_REFRESH_S
    published.lets_go.clear()
    published.body = Issuer(key_id="key-2").jwks()
    renewing = Thread(target=keys.find, args=("key-2",))
    renewing.start()
    while published.asked < 2:
        renewing.join(0.005)
    assert keys.find("key-1"), "what is known is still answered"
    with pytest.raises(UnavailableError, match="being fetched"):
        keys.find("key-2")
    published.lets_go.set()
    renewing.join(60)
    assert keys.find("key-2")


def test_a_source_that_fails_is_asked_less_and_less_often(published: Published) -> None:
    clock = Clock()
    keys = KeySet(published.url, clock)
    published.status = 500
    asked = []
    for _ in range(120):
        with pytest.raises(UnavailableError):
            keys.find("key-1")
        asked.append(published.asked)
        clock.now += 1
    assert [asked.index(number) for number in range(1, 7)] == [0, 1, 3, 7, 15, 31]
    published.status = 200
    clock.now += MIN_REFRESH_S
    assert keys.find("key-1")


def test_a_dripping_source_is_given_up(monkeypatch: pytest.MonkeyPatch, published: Published) -> None:
    monkeypatch.setattr("aihub.github.keys.TIMEOUT_S", 0.3)
    published.pause_s = 0.02
    published.body = b" " * 5000
    began = monotonic()
    with pytest.raises(UnavailableError, match="no whole answer"):
        KeySet(published.url).find("key-1")
    assert monotonic() - began < 20


def test_a_document_that_is_nested_without_end_is_no_key_set() -> None:
    with pytest.raises(ValueError, match="deeply"):
        read_keys(b"[" * 100_000)
