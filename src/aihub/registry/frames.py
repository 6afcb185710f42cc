"""What parent and child say to each other: a JSON header and raw bytes behind it, both with a limit. Never a pickle."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from io import BufferedIOBase

MAGIC = b"AIHB"
HEAD = struct.Struct("<4sIQ")
MAX_HEADER_BYTES = 64 << 20


class FrameError(ValueError):
    """The other side said something that is not a frame."""


def encode(header: Mapping[str, Any], blob: bytes = b"") -> bytes:
    """Return one frame."""
    text = json.dumps(header, allow_nan=False).encode()
    return HEAD.pack(MAGIC, len(text), len(blob)) + text + blob


def sizes(head: bytes, *, max_header: int, max_blob: int) -> tuple[int, int]:
    """Read the sizes of header and blob.

    Raises
    ------
    FrameError
        Not the head of a frame, or larger than allowed.
    """
    if len(head) != HEAD.size:
        raise FrameError("the answer is cut off")
    magic, header, blob = HEAD.unpack(head)
    if magic != MAGIC or header > max_header or blob > max_blob:
        raise FrameError("the answer is not a frame, or too large")
    return header, blob


def header(text: bytes) -> dict[str, Any]:
    """Read a header.

    Raises
    ------
    FrameError
        Not a JSON object.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FrameError("the answer is not JSON") from error
    if not isinstance(value, dict):
        raise FrameError("the answer is not a JSON object")
    return value


def read(stream: BufferedIOBase) -> tuple[dict[str, Any], bytes] | None:
    """Read one frame from a trusted parent; None at the end of the stream."""
    head = stream.read(HEAD.size)
    if not head:
        return None
    length, blob = sizes(head, max_header=MAX_HEADER_BYTES, max_blob=1 << 40)
    return header(stream.read(length)), stream.read(blob)
