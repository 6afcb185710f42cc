"""Arrow and Parquet bodies as tables, under a limit of what they unpack to: five kilobytes can stand for gigabytes.

Arrow writes before each compressed buffer how large it gets, and allocates just that; so the sum of these is known before
anything is unpacked. Of Parquet `aihub.monitoring.parquet` knows it; repeated texts stay repeated, and the rows are read
piece by piece.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from aihub.errors import InputError
from aihub.monitoring import parquet

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_ROWS = 1_000_000
MAX_BYTES = 256 << 20
"""What a body may unpack to."""
_MAGIC, _CONTINUES = b"ARROW1", b"\xff" * 4
_WORD = 8
_TEXT = 64
"""Bytes of a short text as Python keeps it."""
_RECORD_BATCH, _DICTIONARY = 3, 2
"""Kinds of messages in Arrow's own numbering that hold buffers."""
_DICTIONARIES, _RECORD_BATCHES, _BLOCK = 2, 3, 24
"""Where a file lists its messages, and the bytes that one of them takes there."""


def read_parquet(body: bytes) -> Any:
    """Read a Parquet file.

    Raises
    ------
    InputError
        It has too many rows, or unpacks to too much.
    """
    return parquet.read(body, max_rows=MAX_ROWS, max_bytes=MAX_BYTES)


def read_arrow(body: bytes, *, is_file: bool) -> Any:
    """Read an Arrow IPC stream, or a file, whose parts lie where the list at its end says.

    Raises
    ------
    InputError
        It has too many rows, or unpacks to too much.
    """
    import pyarrow as pa  # noqa: PLC0415 - 0.2 s that only bulk requests pay

    source = pa.py_buffer(body)
    size = 0
    for head, inside in _parts_of_file(source) if is_file else _parts_of_stream(source):
        for unpacked in _unpacked_sizes(head, inside):
            size += unpacked
            if size > MAX_BYTES:
                raise _too_large()
    table = (pa.ipc.open_file if is_file else pa.ipc.open_stream)(source).read_all()
    if table.num_rows > MAX_ROWS:
        raise _too_many_rows()
    # A column of nothing takes no bytes until it is looked at.
    if _WORD * table.num_rows * table.num_columns > MAX_BYTES:
        raise _too_large()
    # What others wrote may point outside of its buffers.
    table.validate(full=True)
    return table


def texts_of(column: Any) -> list[str | None]:
    """Return a column of text as a list; what is repeated is one object.

    Raises
    ------
    InputError
        It would be too large.
    """
    import pyarrow as pa  # noqa: PLC0415 - as above

    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    if not column.num_chunks:
        return []
    # One dictionary for all of its parts: each part may bring the same ten thousand words.
    whole = pa.concat_arrays(column.chunks)
    words = whole.dictionary
    parquet.check_texts(whole, MAX_BYTES)
    if words.nbytes + _TEXT * len(words) + _WORD * len(whole) > MAX_BYTES:
        raise _too_large()
    listed = [*words.to_pylist(), None]
    return [listed[at] for at in whole.indices.fill_null(len(words)).to_pylist()]


def _parts_of_stream(source: Any) -> Iterator[tuple[bytes, Any]]:
    """Yield the head of each message, and the bytes that its buffers lie in."""
    import pyarrow as pa  # noqa: PLC0415 - as above

    for message in pa.ipc.MessageReader.open_stream(source):
        yield message.metadata.to_pybytes(), message.body


def _parts_of_file(source: Any) -> Iterator[tuple[bytes, Any]]:
    """Yield the same of a file, as Arrow finds it: not every writer has a whole stream before the list."""
    end = source.size - len(_MAGIC) - 4
    if end < 0 or source.slice(0, len(_MAGIC)).to_pybytes() != _MAGIC:
        raise InputError("the body is no Arrow file; write it again")
    length = _number(source.slice(end, 4).to_pybytes(), 0, "<i")
    if not 0 < length <= end:
        raise _cut_off()
    listed = source.slice(end - length, length).to_pybytes()
    root, heads = _number(listed, 0, "<I"), 0
    for field in (_DICTIONARIES, _RECORD_BATCHES):
        blocks = _field(listed, root, field)
        if blocks is None:
            continue
        blocks += _number(listed, blocks, "<I")
        for at in range(_number(listed, blocks, "<I")):
            where = blocks + 4 + _BLOCK * at
            offset, head = _number(listed, where, "<q"), _number(listed, where + 8, "<i")
            heads += head
            # A message that is listed many times over would be read as often.
            if offset < 0 or head < _WORD or offset + head > source.size or heads > source.size:
                raise _cut_off()
            begin = source.slice(offset, head).to_pybytes()
            # Before Arrow 0.15 nothing stood before the length.
            yield begin[8 if begin.startswith(_CONTINUES) else 4 :], source.slice(offset + head)


def _unpacked_sizes(head: bytes, body: Any) -> Iterator[int]:
    """Yield how large each buffer of a message gets."""
    kind, batch = _batch(head)
    if kind is None:
        return
    if _field(head, _number(head, 0, "<I"), 4) is not None:
        # Before Arrow 1.0 it was said there that buffers are compressed; nothing else that matters ever was.
        raise InputError("the body is in a form from before Arrow 1.0; write it with a newer version")
    packed = _field(head, batch, 3) is not None
    buffers = _field(head, batch, 2)
    if buffers is None:
        return
    buffers += _number(head, buffers, "<I")
    for at in range(_number(head, buffers, "<I")):
        offset, length = (_number(head, buffers + 4 + 16 * at + part, "<q") for part in (0, 8))
        if not packed or length < 8:  # noqa: PLR2004 - nothing is before a buffer that is not compressed
            yield max(0, length)
            continue
        if offset < 0 or offset + 8 > body.size:
            raise InputError("the body points outside of itself; write it again")
        (size,) = struct.unpack("<q", body.slice(offset, 8).to_pybytes())
        yield length if size < 0 else size


def _batch(head: bytes) -> tuple[int | None, int]:
    """Return the kind of a message that holds buffers, and where its record batch begins; None for another."""
    root = _number(head, 0, "<I")
    kind, inner = _field(head, root, 1), _field(head, root, 2)
    if kind is None or inner is None:
        return None, 0
    what = _number(head, kind, "<B")
    if what not in (_RECORD_BATCH, _DICTIONARY):
        return None, 0
    inner += _number(head, inner, "<I")
    if what == _RECORD_BATCH:
        return _RECORD_BATCH, inner
    data = _field(head, inner, 1)
    return (None, 0) if data is None else (_DICTIONARY, data + _number(head, data, "<I"))


def _field(head: bytes, table: int, number: int) -> int | None:
    """Return where a field of a table lies, as flatbuffers lay it out; None where it was left out."""
    names = table - _number(head, table, "<i")
    at = 4 + 2 * number
    if at >= _number(head, names, "<H"):
        return None
    offset = _number(head, names + at, "<H")
    return table + offset if offset else None


def _number(head: bytes, at: int, form: str) -> int:
    try:
        return int(struct.unpack_from(form, head, at)[0])
    except struct.error:
        raise _cut_off() from None


def _cut_off() -> InputError:
    return InputError("the body is cut off; write it again")


def _too_many_rows() -> InputError:
    return InputError(f"more than {MAX_ROWS:,} rows; send them in several requests")


def _too_large() -> InputError:
    return InputError(f"the body unpacks to more than {MAX_BYTES >> 20} MiB; send it in several requests")
