"""Arrow and Parquet bodies as tables, under a limit of what they unpack to: five kilobytes can stand for gigabytes.

Arrow writes before each compressed buffer how large it gets, and allocates just that; so the sum of these is known before
anything is unpacked. Of Parquet the number of cells and what its own summary says are looked at, repeated texts stay
repeated, and the rows are read piece by piece.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from aihub.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_ROWS = 1_000_000
MAX_BYTES = 512 << 20
"""What a body may unpack to."""
_BATCH_ROWS = 10_000
_FILE_HEAD = 8
_RECORD_BATCH, _DICTIONARY = 3, 2
"""Kinds of messages in Arrow's own numbering that hold buffers."""


def read_parquet(body: bytes) -> Any:
    """Read a Parquet file.

    Raises
    ------
    InputError
        It has too many rows, or unpacks to too much.
    """
    import pyarrow as pa  # noqa: PLC0415 - 0.2 s that only bulk requests pay
    import pyarrow.parquet as pq  # noqa: PLC0415 - as above

    source = pa.BufferReader(body)
    schema = pq.read_schema(source)
    texts = [one.name for one in schema if pa.types.is_string(one.type) or pa.types.is_large_string(one.type)]
    file = pq.ParquetFile(source, read_dictionary=texts)
    about = file.metadata
    if about.num_rows > MAX_ROWS:
        raise _too_many_rows()
    said = sum(about.row_group(at).total_byte_size for at in range(about.num_row_groups))
    if max(said, 8 * about.num_rows * about.num_columns) > MAX_BYTES:
        raise _too_large()
    batches, size = [], 0
    for batch in file.iter_batches(_BATCH_ROWS, use_threads=False):
        size += batch.nbytes
        if size > MAX_BYTES:
            raise _too_large()
        batches.append(batch)
    return pa.Table.from_batches(batches, None if batches else file.schema_arrow)


def read_arrow(body: bytes, *, is_file: bool) -> Any:
    """Read an Arrow IPC stream, or a file, which is a stream between a head and a list of its contents.

    Raises
    ------
    InputError
        It has too many rows, or unpacks to too much.
    """
    import pyarrow as pa  # noqa: PLC0415 - as above

    if is_file and not body.startswith(b"ARROW1"):
        raise InputError("the body is no Arrow file; write it again")
    source = pa.py_buffer(body).slice(_FILE_HEAD if is_file else 0)
    size = 0
    for message in pa.ipc.MessageReader.open_stream(source):
        size += sum(_unpacked_sizes(message))
        if size > MAX_BYTES:
            raise _too_large()
    table = pa.ipc.open_stream(source).read_all()
    if table.num_rows > MAX_ROWS:
        raise _too_many_rows()
    # What others wrote may point outside of its buffers.
    table.validate(full=True)
    return table


def unpacked(column: Any) -> Any:
    """Return a column of repeated values with each in its place.

    Raises
    ------
    InputError
        It would be too large.
    """
    import pyarrow as pa  # noqa: PLC0415 - as above
    import pyarrow.compute as pc  # noqa: PLC0415 - as above

    kind = column.type.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        longest = max(
            (pc.max(pc.binary_length(one.dictionary)).as_py() or 0 for one in column.chunks), default=0
        )
        if longest * len(column) > MAX_BYTES:
            raise _too_large()
    return column.cast(kind)


def _unpacked_sizes(message: Any) -> Iterator[int]:
    """Yield how large each buffer of a message gets."""
    head, body = message.metadata.to_pybytes(), message.body
    kind, batch = _batch(head)
    if kind is None:
        return
    packed = _field(head, batch, 3) is not None
    buffers = _field(head, batch, 2)
    if buffers is None:
        return
    buffers += _number(head, buffers, "<I")
    for at in range(_number(head, buffers, "<I")):
        offset, length = struct.unpack_from("<qq", head, buffers + 4 + 16 * at)
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
    if kind is None or inner is None or head[kind] not in (_RECORD_BATCH, _DICTIONARY):
        return None, 0
    inner += _number(head, inner, "<I")
    if head[kind] == _RECORD_BATCH:
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
        raise InputError("the body is cut off; write it again") from None


def _too_many_rows() -> InputError:
    return InputError(f"more than {MAX_ROWS:,} rows; send them in several requests")


def _too_large() -> InputError:
    return InputError(f"the body unpacks to more than {MAX_BYTES >> 20} MiB; send it in several requests")
