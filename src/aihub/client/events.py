"""Server-sent events: the lines of a live stream, and where to go on after it broke."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LAST_ID = "Last-Event-ID"


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `id` is the last one that the stream named, and what a reader goes on from."""

    name: str
    data: str
    id: str


def parse(lines: Iterable[str], last_id: str = "") -> Iterator[Event]:
    r"""Yield the events of a stream, as the HTML standard reads them; one that breaks off is left out.

    >>> [e.data for e in parse(["id: 7", "data: a", "data: b", "", ": still here", "", "data: broken"])]
    ['a\nb']
    """
    name, data = "", list[str]()
    for line in lines:
        if not line:
            if data:
                yield Event(name or "message", "\n".join(data), last_id)
            name, data = "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data.append(value)
        elif field == "event":
            name = value
        elif field == "id" and "\0" not in value:
            last_id = value
