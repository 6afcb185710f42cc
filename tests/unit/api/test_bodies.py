from __future__ import annotations

import json

import pytest

from aihub.api.bodies import MAX_DEPTH, parse


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b'{"a": NaN}', b'{"a": Infinity}', b'{"a": -Infinity}', b'["\\ud800"]', b'{"\\udfff": 1}', b"\xff\xfe",
        b'["a\\u0000b"]', b'{"a\\u0000": 1}', b'["\x00"]', b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), b"[" * 100_000,
        b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1),
    ],
)  # fmt: skip
def test_what_a_database_or_a_reader_could_not_hold_is_no_json(body: bytes) -> None:
    with pytest.raises(json.JSONDecodeError) as caught:
        parse(body)
    assert caught.value.doc == ""


def test_a_backslash_before_a_zero_is_text() -> None:
    assert parse(rb'["\\u0000"]') == [r"\u0000"]
    assert parse(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
