from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aihub.api.pages import cut, decode, decode_name, encode
from aihub.errors import InputError


@given(st.integers(0, 2**62))
def test_a_cursor_names_its_position(position: int) -> None:
    assert decode("jobs", encode("jobs", position)) == position


@given(st.text(alphabet="ABCxyz012_-", max_size=80))
def test_no_text_makes_a_cursor_fail_otherwise_than_as_bad_input(text: str) -> None:
    with contextlib.suppress(InputError):
        decode("jobs", text)


@pytest.mark.parametrize("position", [-1, 2**63, True, 1.5, "x", None])
def test_a_cursor_of_something_else_is_refused(position: object) -> None:
    with pytest.raises(InputError):
        decode("jobs", encode("jobs", position))  # type: ignore[arg-type]
    with pytest.raises(InputError):
        decode("jobs", encode("audit", 1))
    with pytest.raises(InputError):
        decode_name("models", encode("models", "a\0"))


def test_the_last_page_has_no_next() -> None:
    assert cut("n", [1, 2, 3], 2, lambda n: n) == ([1, 2], encode("n", 2))
    assert cut("n", [1, 2], 2, lambda n: n) == ([1, 2], None)
    assert cut("n", [], 2, lambda n: n) == ([], None)
