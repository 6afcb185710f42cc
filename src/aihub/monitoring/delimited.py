"""Actuals as CSV, also as a spreadsheet of another country writes them; what would be read wrong is refused or rejected."""

from __future__ import annotations

import csv
import io
import zlib
from typing import TYPE_CHECKING

import polars as pl

from aihub.errors import DataError
from aihub.training.data.sources import HEAD_BYTES, refuse_no_table, sniff

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

LABEL = "actuals"
_MORE = "more"
"""Column of what a line holds behind the last column of the header."""
_SEPARATORS = ",;\t|"
_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff")
_MARK = b"\xef\xbb\xbf"
_PACKED = (b"\x28\xb5\x2f\xfd", b"\x78\x01", b"\x78\x9c", b"\x78\xda")
"""Beginnings of what the reader of CSV would unpack by itself, however much that is."""
_GZIP = 31
_HEADER_BYTES = 1 << 20
_DECIMAL_COMMA = r"^\s*([-+]?\d+),(\d+)\s*$"


def read(
    body: bytes, *, used: Sequence[str], numbers: Sequence[str], max_bytes: int
) -> tuple[pl.DataFrame, NDArray[np.bool_]]:
    """Read a CSV as columns of text.

    Parameters
    ----------
    used
        Names of which there may be one column each.
    numbers
        Names of columns in which a decimal comma is read, where commas do not part the columns.
    max_bytes
        What a gzip may unpack to.

    Returns
    -------
    tuple
        The columns, and which rows have more fields than the header: of those nobody knows which field is which.

    Raises
    ------
    DataError
        It is no text table in UTF-8, two columns have one name, or a quote does not end.
    """
    text = _checked(_unpacked(body, max_bytes))
    separator, names, lines = _header(text)
    twice = next((name for name in used if names.count(name) > 1), None)
    if twice is not None:
        raise DataError("two columns have this name. Remove or rename one.", file=LABEL, column=twice)
    columns = [f"c{at}" for at in range(len(names))]
    # A header of our own: with a column more than theirs, so that no field is lost unseen.
    header = separator.join((*columns, _MORE)).encode() + b"\n"
    try:
        frame = pl.read_csv(
            io.BytesIO(header + _without_lines(text, lines)),
            separator=separator,
            infer_schema=False,
            truncate_ragged_lines=True,
        )
    except pl.exceptions.PolarsError as error:
        raise _unreadable(text, separator, error) from None
    is_longer = frame.get_column(_MORE).is_not_null().to_numpy()
    place = {name: column for column, name in zip(columns, names, strict=True)}
    frame = frame.select(pl.col(column).alias(name) for name, column in place.items())
    if separator != ",":
        commas = pl.col([name for name in numbers if name in place])
        frame = frame.with_columns(commas.str.replace(_DECIMAL_COMMA, "${1}.${2}"))
    return frame, is_longer


def _unpacked(body: bytes, max_bytes: int) -> bytes:
    if sniff(body[:HEAD_BYTES]) == "gzip":
        unpacker = zlib.decompressobj(_GZIP)
        try:
            text = unpacker.decompress(body, max_bytes + 1)
        except zlib.error:
            raise DataError("is a damaged gzip file. Send it again.", file=LABEL) from None
        if len(text) > max_bytes:
            raise DataError(
                f"unpacks to more than {max_bytes >> 20} MiB. Send it in several requests.", file=LABEL
            )
        if not unpacker.eof or unpacker.unused_data:
            raise DataError("is no single whole gzip stream. Send it again.", file=LABEL)
        refuse_no_table(text[:HEAD_BYTES], label=LABEL, packed_in="gzip")
        return text
    if body.startswith(_PACKED):
        raise DataError("is compressed in a way that is not taken. Send CSV, or CSV in gzip.", file=LABEL)
    return body


def _checked(text: bytes) -> bytes:
    """Return text of UTF-8 without its mark."""
    if text.startswith(_WIDE_MARKS):
        raise DataError("is UTF-16. Save it as UTF-8.", file=LABEL)
    refuse_no_table(text[:HEAD_BYTES], label=LABEL)
    try:
        text.decode()
    except UnicodeDecodeError as error:
        row = text.count(b"\n", 0, error.start) or None
        raise DataError("is not UTF-8. Save it as UTF-8.", file=LABEL, row=row) from None
    text = text.removeprefix(_MARK)
    if b"\n" not in text and b"\r" in text.strip():
        raise DataError("has line ends of old Macs (CR only). Save it with LF or CRLF line ends.", file=LABEL)
    return text


def _header(text: bytes) -> tuple[str, list[str], int]:
    """Return separator, names, and the lines up to the first row; a name in quotes may hold line ends."""
    head = text[:_HEADER_BYTES].decode("utf-8", "ignore")
    lines = head.split("\n")
    first = next((line for line in lines if line.strip()), None)
    if first is None:
        raise DataError("is empty. Send a header line and rows.", file=LABEL)
    separator = max(_SEPARATORS, key=first.count)
    reader = csv.reader((line + "\n" for line in lines), delimiter=separator)
    try:
        names = next(record for record in reader if any(name.strip() for name in record))
    except (csv.Error, StopIteration):
        raise DataError("has a header line that cannot be read. Name the columns.", file=LABEL) from None
    return separator, [name.strip() for name in names], reader.line_num


def _without_lines(text: bytes, lines: int) -> bytes:
    at = 0
    for _ in range(lines):
        at = text.find(b"\n", at) + 1 or len(text)
    return text[at:]


def _unreadable(text: bytes, separator: str, error: Exception) -> DataError:
    """Say which row it is; only called where the fast reader gave up."""
    rows = 0
    try:
        for _ in csv.reader(_lines(text), delimiter=separator, strict=True):
            rows += 1
    except csv.Error as found:
        reason = f"cannot be read ({found}). Close or remove the quote that is open there."
        return DataError(reason, file=LABEL, row=rows or None)
    return DataError(f"cannot be read ({str(error).splitlines()[0][:120]}). Correct the table.", file=LABEL)


def _lines(text: bytes) -> Iterator[str]:
    return iter(io.TextIOWrapper(io.BytesIO(text), encoding="utf-8", errors="replace", newline=""))
