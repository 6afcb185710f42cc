"""The head of a request that a connection has sent before.

A client that keeps its connection sends the same head again and again, with another length at most. What the parser has made
of these bytes once it would make of them again, so that it need not: to parse a head, header by header, costs as much as a
prediction with all its checks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

Meaning = TypeVar("Meaning")
MAX_BYTES = 4 << 10
MAX_DIGITS = 6
_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: ?(\d{1,%d})\r\n" % MAX_DIGITS, re.IGNORECASE)


@dataclass(frozen=True)
class KnownHead(Generic[Meaning]):
    """A head, and what follows from it.

    Attributes
    ----------
    meaning
        What was made of the parsed head; nothing in it may follow from the length.
    before, after
        The head's bytes around the digits of its length.
    """

    meaning: Meaning
    before: bytes
    after: bytes

    @classmethod
    def of(cls, data: bytes, body_bytes: int, meaning: Meaning) -> Self | None:
        """Return the head of `data`, one whole request that was parsed; None where it is no plain one that may come again."""
        head = data[: len(data) - body_bytes]
        length, words = _LENGTH.search(head), head.lower()
        is_plain = (
            len(head) <= MAX_BYTES
            and head.startswith(b"POST ")
            and head.find(_END) == len(head) - len(_END)
            and words.count(b"content-length") == 1
            and b"transfer-encoding" not in words
        )
        if not is_plain or length is None or int(length[1]) != body_bytes:
            return None
        start, end = length.span(1)
        return cls(meaning, head[:start], head[end:])

    def body_of(self, data: bytes) -> bytes | None:
        """Return the body, where `data` is this head, with any length, and a whole body behind it; else None."""
        start = len(self.before)
        end = data.find(b"\r", start, start + MAX_DIGITS + 1)
        if end < 0 or not data.startswith(self.before) or not data.startswith(self.after, end):
            return None
        digits, body = data[start:end], data[end + len(self.after) :]
        return body if digits.isdigit() and int(digits) == len(body) else None
