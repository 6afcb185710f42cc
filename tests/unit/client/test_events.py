from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aihub.client.events import Event, parse

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r\0"), max_size=20)


def test_fields_are_read_as_the_standard_says() -> None:
    lines = [
        "retry: 5",
        "id: 4",
        "event:step",
        "data:  two blanks",
        "data",
        "unknown: x",
        "",
        "data: next",
        "",
    ]
    assert list(parse(lines)) == [Event("step", " two blanks\n", "4"), Event("message", "next", "4")]


def test_comment_and_event_without_data_are_nothing() -> None:
    assert list(parse([": alive", "", "event: x", "", "id: 9", "", "data: y", ""])) == [
        Event("message", "y", "9")
    ]


def test_event_that_breaks_off_is_not_told() -> None:
    assert list(parse(["id: 1", "data: a"], "0")) == []


@given(st.lists(st.tuples(TEXT, st.lists(TEXT, min_size=1, max_size=3)), max_size=5))
def test_what_is_sent_is_read(events: list[tuple[str, list[str]]]) -> None:
    lines = [
        line
        for number, (name, data) in enumerate(events)
        for line in (f"id: {number}", f"event: {name}", *(f"data: {one}" for one in data), "")
    ]
    expected = [Event(name or "message", "\n".join(data), str(n)) for n, (name, data) in enumerate(events)]
    assert list(parse(lines)) == expected
