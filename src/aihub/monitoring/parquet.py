"""What a Parquet file unpacks to, known before anything is unpacked.

The summary at the end of a file may say anything. What is allocated follows the head of each page: how large it gets and
how many values it has. So the pages are walked, which unpacks nothing, and each counts as often as the summary leads to it.
Summary and heads are read here, in Thrift's compact form: asked for a damaged column, Arrow's own reader ends the process.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from aihub.errors import DataError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

_BATCH_ROWS = 10_000
MAX_PAGES = 100_000
MAX_SUMMARY = 1 << 20
"""Bytes of the summary: some ten thousand columns, each in one group of rows."""
_END = 8
"""Bytes at the end: the length of the summary, and four letters."""
_WORD = 8
_WIDEST = 32
"""Bytes of the widest number."""
_DELTA_BYTE_ARRAY = 7
_SIZE, _PACKED, _DATA, _DICTIONARY, _DATA_2 = 2, 3, 5, 7, 8
"""Fields of a page's head, as the format numbers them."""
_SCHEMA, _ROWS, _GROUPS = 2, 3, 4
_COLUMNS, _ABOUT, _LENGTH = 1, 3, 2
"""Fields of the summary, of a group, of a column in it, and of a column in the schema."""
_COLUMN_NAME, _COLUMN_SIZE, _FIRST_PAGE, _FIRST_DICTIONARY = 3, 7, 9, 11
_DEPTH = 8


class _Kind(IntEnum):
    """Kinds of values in Thrift's compact form; the formats that are read here have no maps."""

    TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET = range(1, 11)
    STRUCT = 12


@dataclass(frozen=True)
class Page:
    """What the head of a page says: bytes that it unpacks to, its values, and how they are written."""

    size: int
    values: int
    encoding: int


def read(body: bytes, *, max_rows: int, max_bytes: int) -> Any:
    """Read a Parquet file as an Arrow table whose texts are dictionaries: what is repeated stays repeated.

    Raises
    ------
    InputError
        It is too large, or its summary or pages cannot be read.
    DataError
        A column may hold more than shows.
    pyarrow.ArrowException, OSError
        What its pages hold cannot be read.
    """
    import pyarrow as pa  # noqa: PLC0415 - 0.2 s that only bulk requests pay
    import pyarrow.parquet as pq  # noqa: PLC0415 - as above

    check(body, max_rows=max_rows, max_bytes=max_bytes)
    source = pa.BufferReader(body)
    schema = pq.read_schema(source)
    texts = [one.name for one in schema if pa.types.is_string(one.type) or pa.types.is_large_string(one.type)]
    file = pq.ParquetFile(source, read_dictionary=texts)
    batches, size, rows = [], 0, 0
    for batch in file.iter_batches(_BATCH_ROWS, use_threads=False):
        size += batch.nbytes
        rows += batch.num_rows
        if size > max_bytes or rows > max_rows:
            raise _too_large(max_bytes)
        batches.append(batch)
    table = pa.Table.from_batches(batches, None if batches else file.schema_arrow)
    # A damaged page may name words that are not in its dictionary.
    table.validate(full=True)
    for column in table.columns:
        check_texts(column, max_bytes)
    # Without what the file says beside: others take it for text, which it need not be.
    return pa.Table.from_arrays(table.columns, names=table.column_names)


def check_texts(column: Any, max_bytes: int) -> None:
    """Refuse a column of repeated texts that would be too large with each in its place: whoever keeps them does so.

    Raises
    ------
    InputError
        It would be.
    """
    import pyarrow as pa  # noqa: PLC0415 - as above
    import pyarrow.compute as pc  # noqa: PLC0415 - as above

    kind = column.type
    if not pa.types.is_dictionary(kind) or not (
        pa.types.is_string(kind.value_type) or pa.types.is_large_string(kind.value_type)
    ):
        return
    parts = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    longest = max((pc.max(pc.binary_length(one.dictionary)).as_py() or 0 for one in parts), default=0)
    if longest * len(column) > max_bytes:
        raise _too_large(max_bytes)


def check(body: bytes, *, max_rows: int, max_bytes: int) -> None:
    """Refuse a Parquet file that holds, or unpacks to, too much, or columns that may do so unseen.

    Raises
    ------
    InputError
        It is too large, or its summary or pages cannot be read.
    DataError
        A column is neither of numbers, times nor text; or of text that is written as what differs from the one before.
    pyarrow.ArrowException, OSError
        The summary cannot be read.
    """
    import pyarrow as pa  # noqa: PLC0415 - 0.2 s that only bulk requests pay
    import pyarrow.parquet as pq  # noqa: PLC0415 - as above

    summary = _summary(body)
    rows, schema = summary.get(_ROWS), summary.get(_SCHEMA)
    if not isinstance(rows, int) or not isinstance(schema, list):
        raise _damaged()
    if rows == 0:
        raise InputError("the Parquet file has no rows; send some")
    if rows > max_rows:
        raise InputError(f"more than {max_rows:,} rows; send them in several requests")
    if _WORD * rows * len(schema) > max_bytes:
        raise _too_large(max_bytes)
    for field in pq.read_schema(pa.BufferReader(body)):
        _check_kind(field.name, field.type)
    size = 0
    for at, (column, page) in enumerate(_pages(body, summary)):
        if page.values > rows:
            raise _damaged()
        size += page.size
        if size > max_bytes or at >= MAX_PAGES:
            raise _too_large(max_bytes)
        if page.encoding == _DELTA_BYTE_ARRAY:
            message = "is written as DELTA_BYTE_ARRAY, whose size shows only when unpacked; write it PLAIN"
            raise DataError(message, column=column)


def _check_kind(name: str, kind: Any) -> None:
    """Let in what a row has one small value of. One of the others may stand for many, or for megabytes."""
    import pyarrow as pa  # noqa: PLC0415 - as above

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    taken = (
        pa.types.is_floating, pa.types.is_integer, pa.types.is_decimal, pa.types.is_temporal, pa.types.is_boolean,
        pa.types.is_string, pa.types.is_large_string, pa.types.is_null,
    )  # fmt: skip
    if not any(check(kind) for check in taken):
        raise DataError(f"holds {kind} where the model takes numbers or text; convert it", column=name)


def _summary(body: bytes) -> dict[int, Any]:
    size = int.from_bytes(body[-_END:-4], "little")
    if not (body.startswith(b"PAR1") and body.endswith(b"PAR1") and size + _END <= len(body)):
        raise InputError(
            "the body cannot be read as a Parquet file: it is none, or is cut off or encrypted; write it again"
        )
    if size > MAX_SUMMARY:
        raise InputError(
            "the Parquet file has too many columns or groups of rows; write it with fewer groups"
        )
    return _struct(body, len(body) - _END - size)[0]


def _pages(body: bytes, summary: dict[int, Any]) -> Iterator[tuple[str, Page]]:
    """Yield the pages of every column of every group of rows, with the column's name."""
    try:
        if any(one.get(_LENGTH, 0) > _WIDEST for one in summary[_SCHEMA]):
            raise DataError("a column holds bytes where the model takes numbers or text; convert it")
        for group in summary[_GROUPS]:
            for chunk in group[_COLUMNS]:
                about = chunk[_ABOUT]
                name = b".".join(about[_COLUMN_NAME]).decode("utf-8", "replace")
                begin, end = _range(about, len(body))
                while begin < end:
                    head, begin = _struct(body, begin)
                    yield name, _page(head)
                    begin += head[_PACKED]
    except (LookupError, TypeError, AttributeError):
        # A field is missing, or is of another kind than the format says.
        raise _damaged() from None


def _range(about: dict[int, Any], size: int) -> tuple[int, int]:
    """Return where the pages of a column begin and end, as Arrow finds them."""
    begin, dictionary = about[_FIRST_PAGE], about.get(_FIRST_DICTIONARY, 0)
    if 0 < dictionary < begin:
        begin = dictionary
    end = begin + about[_COLUMN_SIZE]
    if not 0 <= begin <= end <= size:
        raise _damaged()
    return begin, end


def _page(head: dict[int, Any]) -> Page:
    place = next((one for one in (_DATA, _DATA_2, _DICTIONARY) if one in head), None)
    about = {1: 0} if place is None else head[place]
    if not isinstance(about, dict):
        raise _damaged()
    encoding = about.get(4 if place == _DATA_2 else 2, 0)
    numbers = (head.get(_SIZE), about.get(1), encoding, head.get(_PACKED))
    if not all(isinstance(one, int) and one >= 0 for one in numbers):
        raise _damaged()
    return Page(head[_SIZE], about[1], encoding)


def _struct(body: bytes, at: int, depth: int = 0) -> tuple[dict[int, Any], int]:
    """Read a struct in Thrift's compact form; return its fields by number and where it ends."""
    found: dict[int, Any] = {}
    number = 0
    try:
        while body[at]:
            step, kind = divmod(body[at], 16)
            at += 1
            if step:
                number += step
            else:
                number, at = _integer(body, at)
            if number in found:
                raise _damaged()
            found[number], at = _value(body, at, kind, depth)
    except IndexError:
        raise _damaged() from None
    return found, at + 1


def _value(body: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    match kind:
        case _Kind.TRUE | _Kind.FALSE:
            found: tuple[Any, int] = kind == _Kind.TRUE, at
        case _Kind.BYTE:
            found = body[at], at + 1
        case _Kind.I16 | _Kind.I32 | _Kind.I64:
            found = _integer(body, at)
        case _Kind.DOUBLE:
            found = None, at + _WORD
        case _Kind.BINARY:
            length, at = _varint(body, at)
            found = body[at : at + length], at + length
        case _Kind.LIST | _Kind.SET if depth < _DEPTH:
            found = _list(body, at, depth)
        case _Kind.STRUCT if depth < _DEPTH:
            found = _struct(body, at, depth + 1)
        case _:
            raise _damaged()
    return found


def _list(body: bytes, at: int, depth: int) -> tuple[list[Any], int]:
    length, kind = divmod(body[at], 16)
    at += 1
    if length == 15:  # noqa: PLR2004 - a longer one has its length behind
        length, at = _varint(body, at)
    found = []
    for _ in range(length):
        # Each takes a byte at least, or the body ends: nobody allocates what is only said.
        value, at = (
            (body[at], at + 1) if kind in (_Kind.TRUE, _Kind.FALSE) else _value(body, at, kind, depth + 1)
        )
        found.append(value)
    return found, at


def _integer(body: bytes, at: int) -> tuple[int, int]:
    number, at = _varint(body, at)
    return (number >> 1) ^ -(number & 1), at


def _varint(body: bytes, at: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 70, 7):
        byte = body[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the highest bit says that more follows
            return number, at
    raise _damaged()


def _too_large(max_bytes: int) -> InputError:
    return InputError(f"the body unpacks to more than {max_bytes >> 20} MiB; send it in several requests")


def _damaged() -> InputError:
    return InputError("the summary or the pages of the Parquet file cannot be read; write it again")
