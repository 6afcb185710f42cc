"""A head that is known: whatever is taken for it is what the parser would have made of the same bytes."""

from __future__ import annotations

from typing import Any

import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aihub.api.known_head import MAX_BYTES, KnownHead

LINES = [
    b"POST /models/load/predict HTTP/1.1",
    b"Host: hub",
    b"Content-Length: 7",
    b"Authorization: Bearer x",
]
HEAD = b"\r\n".join((*LINES, b"", b""))
BODY = b'[{"a"}]'


class Parsed:
    """What the parser makes of bytes."""

    def __init__(self, data: bytes) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.url = self.body = b""
        self.complete = 0
        parser = httptools.HttpRequestParser(self)
        parser.feed_data(data)
        self.method = parser.get_method()

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete += 1

    @property
    def meaning(self) -> Any:
        return self.method, self.url, [pair for pair in self.headers if pair[0] != b"content-length"]


def known(head: bytes = HEAD, body: bytes = BODY) -> KnownHead[str]:
    found = KnownHead.of(head + body, len(body), "load")
    assert found is not None
    return found


def test_the_same_head_is_known_with_any_length() -> None:
    for body in (b"", b"[]", b"x" * 123_456):
        again = HEAD.replace(b"7", str(len(body)).encode()) + body
        assert known().body_of(again) == body


@pytest.mark.parametrize(
    "data",
    [
        HEAD + BODY[:-1],
        HEAD + BODY + b"P",
        HEAD + BODY + HEAD + BODY,
        HEAD.replace(b"7", b"+7") + BODY,
        HEAD.replace(b"7", b" 7") + BODY,
        HEAD.replace(b"7", b"") + BODY,
        HEAD.replace(b"7", "\u0667".encode()) + BODY,
        HEAD.replace(b"7", b"7\r\nContent-Length: 8") + BODY,
        HEAD.replace(b"7", b"7\r\nTransfer-Encoding: chunked") + BODY,
        HEAD.replace(b"Bearer x", b"Bearer y") + BODY,
        HEAD.replace(b"load", b"laod") + BODY,
        HEAD[:-2],
        b"",
    ],
)
def test_another_request_is_not_taken_for_it(data: bytes) -> None:
    assert known().body_of(data) is None


@pytest.mark.parametrize(
    "head",
    [
        HEAD.replace(b"Content-Length: 7", b"Transfer-Encoding: chunked"),
        HEAD.replace(b"7", b"7\r\ntransfer-encoding: chunked"),
        HEAD.replace(b"7", b"7\r\nX: Content-Length: 7").replace(b"X: ", b""),
        HEAD.replace(b"7", b"8"),
        b"POST " + HEAD + HEAD,
        b"x" + HEAD,
        HEAD.replace(b"Bearer x", b"Bearer " + b"x" * MAX_BYTES),
    ],
)
def test_what_is_no_plain_request_is_not_kept(head: bytes) -> None:
    assert KnownHead.of(head + BODY, len(BODY), "load") is None


@given(
    st.lists(
        st.tuples(
            st.integers(0, len(HEAD) + len(BODY)),
            st.integers(0, 3),
            st.sampled_from(
                [
                    b"",
                    b"\r",
                    b"\n",
                    b"\r\n",
                    b"0",
                    b"7",
                    b"9",
                    b" ",
                    b":",
                    b"X: y\r\n",
                    b"Content-Length: 7\r\n",
                ]
            ),
        ),
        min_size=1,
        max_size=3,
    )
)
@example([(HEAD.index(b"7"), 1, b"0"), (len(HEAD) + 1, 3, b""), (len(HEAD), 3, b"")])
def test_whatever_is_taken_for_it_is_what_the_parser_says(changes: list[tuple[int, int, bytes]]) -> None:
    data = HEAD + BODY
    for at, lost, new in changes:
        data = data[:at] + new + data[at + lost :]
    body = known().body_of(data)
    if body is not None:
        parsed = Parsed(data)
        assert (parsed.complete, parsed.body) == (1, body)
        assert parsed.meaning == Parsed(HEAD + BODY).meaning
