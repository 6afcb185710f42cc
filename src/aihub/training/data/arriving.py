"""A table that arrives piece by piece: looked at while it does, so that a wrong one is refused before it is all there."""

from __future__ import annotations

import csv
import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aihub.errors import DataError
from aihub.training.data.limits import DEFAULT_LIMITS, MIB, Limits
from aihub.training.data.sources import HEAD_BYTES, refuse_no_table, sniff
from aihub.training.data.spool import FALLBACK

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_SEPARATORS = b",;\t|"
_OPENING = re.compile(rb"(?:^|[,;\t|])\s*\"")
_BOUNDARY = re.compile(rb"--[^,;\t|]{10,80}\r?")
"""First line of a form with a file in it, as browsers and `curl -F` send it."""
_UTF8_MARK, _WIDE_MARKS = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")
_FIRST_ROWS = 3
_OUTPUT_BYTES = MIB
_GZIP = 31


@dataclass(frozen=True)
class Arrived:
    """What came: ``csv``, ``csv.gz`` or ``parquet``, with its columns and the number of its rows."""

    format: str
    columns: tuple[str, ...]
    rows: int


class ArrivingTable:
    """Feed it the pieces, then `finish`; both raise `DataError` with column and row as soon as something is wrong.

    Parameters
    ----------
    label
        Name of the file, for messages.
    """

    def __init__(self, label: str, limits: Limits = DEFAULT_LIMITS) -> None:
        self._label = label
        self._limits = limits
        self._head = b""
        self._kind = ""
        self._size = 0
        self._text = _ArrivingText(label, limits)
        self._start = b""
        self._begun = False
        self._gzip = zlib.decompressobj(_GZIP)
        self._unpacked = 0

    def feed(self, piece: bytes) -> None:
        """Look at the next bytes.

        Raises
        ------
        DataError
            What came so far cannot be the beginning of a table that would be read.
        """
        self._size += len(piece)
        if not self._kind:
            self._head += piece
            if len(self._head) < HEAD_BYTES:
                return
            piece = self._begin()
        self._look(piece)

    def finish(self, path: Path) -> Arrived:
        """Say what came; `path` is the file that it was written to, in which Parquet keeps its columns at the end.

        Raises
        ------
        DataError
            It ends too early, has no rows, or is beyond the limits.
        """
        if self._size == 0:
            raise DataError("is empty. Send a table with a header line.", file=self._label)
        if not self._kind:
            self._look(self._begin())
        if self._kind == "parquet":
            return _parquet(path, self._label, self._limits)
        if self._kind == "gzip" and (not self._gzip.eof or self._gzip.unused_data):
            raise DataError("ends in the middle of the gzip stream. Transfer it again.", file=self._label)
        if not self._begun:
            self._judge_start()
            self._text.feed(self._start)
        columns, rows = self._text.finish()
        return Arrived("csv.gz" if self._kind == "gzip" else "csv", columns, rows)

    def _begin(self) -> bytes:
        head, self._head = self._head, b""
        self._kind = sniff(head)
        if self._kind not in {"text", "gzip", "parquet"}:
            raise DataError(
                f"is {self._kind}, which is not taken. Send CSV, CSV in gzip, or Parquet.", file=self._label
            )
        return head

    def _look(self, piece: bytes) -> None:
        if self._kind == "text":
            self._feed_text(piece)
        elif self._kind == "gzip":
            for part in self._inflated(piece):
                self._feed_text(part)

    def _feed_text(self, piece: bytes) -> None:
        if not self._begun:
            self._start += piece
            if len(self._start) < HEAD_BYTES:
                return
            piece = self._start
            self._judge_start()
        self._text.feed(piece)

    def _judge_start(self) -> None:
        self._begun = True
        packed_in = "gzip" if self._kind == "gzip" else ""
        if not self._start.startswith(_WIDE_MARKS):
            refuse_no_table(self._start[:HEAD_BYTES], label=self._label, packed_in=packed_in)

    def _inflated(self, piece: bytes) -> Iterator[bytes]:
        try:
            while piece:
                if self._gzip.eof:
                    # A gzip file may be several, one behind the other.
                    self._gzip = zlib.decompressobj(_GZIP)
                part = self._gzip.decompress(piece, _OUTPUT_BYTES)
                self._unpacked += len(part)
                self._refuse_bomb()
                if part:
                    yield part
                piece = self._gzip.unconsumed_tail or self._gzip.unused_data
                if self._gzip.eof and not piece.strip(b"\0"):
                    return
        except zlib.error:
            raise DataError("is a damaged gzip file. Transfer it again.", file=self._label) from None

    def _refuse_bomb(self) -> None:
        limits = self._limits
        if self._unpacked > max(limits.ratio_from_bytes, limits.ratio * self._size):
            raise DataError(
                f"unpacks to more than {limits.ratio} times its size, like a decompression bomb. Send it unpacked.",
                file=self._label,
            )


class _ArrivingText:
    """Lines of a CSV: how many, how long, and whether one has more fields than the header."""

    def __init__(self, label: str, limits: Limits) -> None:
        self.label = label
        self.limits = limits
        self.size = 0
        self.rest = b""
        self.separator = b","
        self.columns: tuple[str, ...] = ()
        self.rows = 0
        self.header = b""
        self.has_carriage_returns = False
        self.opened: list[bytes] = []
        self.opened_size = 0

    def feed(self, piece: bytes) -> None:
        self.size += len(piece)
        if self.size > self.limits.text_bytes:
            raise self._wrong(
                f"is more than {self.limits.text_bytes // MIB} MiB of text. Send Parquet, or split the file."
            )
        if self.size == len(piece) and piece.startswith(_WIDE_MARKS):
            raise self._wrong("is UTF-16. Save it as UTF-8.")
        junk = piece.find(b"\0")
        if junk >= 0:
            lines_before = self.rest.count(b"\n") + piece.count(b"\n", 0, junk)
            raise self._wrong(
                "holds binary data (a zero byte), so it is no text table. Send CSV or Parquet.",
                row=(self.rows + lines_before + (1 if self.columns else 0)) or None,
            )
        lines = (self.rest + piece).split(b"\n")
        self.rest = lines.pop()
        self._take(lines)
        if len(self.rest) > self.limits.line_bytes:
            raise self._too_long()

    def finish(self) -> tuple[tuple[str, ...], int]:
        last, self.rest = self.rest, b""
        self._take([last])
        if self.opened:
            where = "begins here" if self.columns else "begins in the header line"
            row = self.rows + 1 if self.columns else None
            raise self._wrong(f"a quote that {where} does not end. Close it.", row=row)
        if not self.columns:
            raise self._wrong("is empty. Send a table with a header line.")
        if not self.rows and self.has_carriage_returns:
            raise self._wrong("has line ends of old Macs (CR only). Save it with LF or CRLF line ends.")
        if not self.rows:
            raise self._wrong("has a header but no rows. Send a table with data.")
        return self.columns, self.rows

    def _take(self, lines: Sequence[bytes]) -> None:
        for line, separators in self._records(lines):
            if not line.strip():
                continue
            if len(line) > self.limits.line_bytes:
                raise self._too_long()
            if not self.columns:
                self._read_header(line)
                continue
            self.rows += 1
            if separators >= len(self.columns):
                raise self._wrong(
                    f"has {separators + 1} fields, the header {len(self.columns)}{self._lonely()}. Correct the line.",
                    row=self.rows,
                )
        if self.rows > self.limits.rows:
            raise self._wrong(f"has more than {self.limits.rows} rows. Split it.")

    def _records(self, lines: Sequence[bytes]) -> Iterator[tuple[bytes, int]]:
        """Join lines that a quoted field spans; yield each with the number of separators outside of quotes."""
        for line in lines:
            has_odd = line.count(b'"') % 2 == 1
            if has_odd and not self.columns and not self.opened and not _OPENING.search(line):
                # A header such as 5" pipe: a quote inside of a name opens nothing.
                has_odd = False
            if not self.opened and not has_odd:
                yield line, self._width(line) - 1 if b'"' in line else line.count(self.separator)
                continue
            # An odd number of quotes: the field goes on in the next line, or ends here.
            is_end = bool(self.opened) and has_odd
            self.opened.append(line)
            self.opened_size += len(line) + 1
            if self.opened_size > self.limits.line_bytes:
                raise self._too_long()
            if is_end:
                whole = b"\n".join(self.opened)
                self.opened, self.opened_size = [], 0
                yield whole, self._width(whole) - 1

    def _width(self, line: bytes) -> int:
        try:
            fields = next(
                csv.reader([line.decode("utf-8", "replace")], delimiter=self.separator.decode()), [""]
            )
        except csv.Error:
            return 1
        return len(fields)

    def _read_header(self, line: bytes) -> None:
        line = line.removeprefix(_UTF8_MARK)
        if line.lower().startswith(b"@relation"):
            raise self._wrong("is ARFF, which is not taken. Save it as CSV.")
        if _BOUNDARY.fullmatch(line):
            raise self._wrong(
                "is a form with a file in it. Send the file itself as the body: curl --data-binary @FILE."
            )
        counts = {bytes([one]): line.count(bytes([one])) for one in _SEPARATORS}
        self.separator = max(counts, key=lambda one: counts[one])
        self.header = line
        line = line.rstrip(b"\r")
        self.has_carriage_returns = b"\r" in line
        try:
            text = line.decode()
        except UnicodeDecodeError:
            # As the table is read later.
            text = line.decode(FALLBACK, "replace")
        try:
            names = next(csv.reader([text], delimiter=self.separator.decode()), [])
        except csv.Error:
            names = text.split(self.separator.decode())
        self.columns = tuple(name.strip() for name in names)
        if len(self.columns) > self.limits.columns:
            raise self._wrong(
                f"has {len(self.columns)} columns, more than {self.limits.columns}. Keep those you need."
            )
        if not any(self.columns):
            raise self._wrong("has a header line without a name. Name the columns.")

    def _lonely(self) -> str:
        """Show a header that is probably none: a title, a comment, or what a spreadsheet writes first."""
        if self.rows > _FIRST_ROWS or len(self.columns) > 2:  # noqa: PLR2004 - "Date: 2024" or "sep=,"
            return ""
        first = self.header[:60].decode("utf-8", "replace")
        return f" (the first line, {first!r}; remove what stands above the names of the columns)"

    def _too_long(self) -> DataError:
        return self._wrong(
            f"has a line longer than {self.limits.line_bytes // 1024} KiB. "
            "Check for an open quote, wrong line ends or a table that lies on its side.",
            row=self.rows + 1,
        )

    def _wrong(self, message: str, *, row: int | None = None) -> DataError:
        return DataError(message, file=self.label, row=row)


def _parquet(path: Path, label: str, limits: Limits) -> Arrived:
    import pyarrow as pa  # noqa: PLC0415 - 0.1 s that a CSV does not need
    import pyarrow.parquet as pq  # noqa: PLC0415 - as above

    try:
        metadata = pq.read_metadata(path)
        names = tuple(str(name) for name in metadata.schema.to_arrow_schema().names)
        rows = int(metadata.num_rows)
    except (pa.ArrowException, OSError, ValueError):
        raise DataError("is a damaged or cut off Parquet file. Transfer it again.", file=label) from None
    if rows < 1:
        raise DataError("has no rows. Send a table with data.", file=label)
    if rows > limits.rows:
        raise DataError(f"has {rows} rows, more than {limits.rows}. Split it.", file=label)
    if len(names) > limits.columns:
        raise DataError(
            f"has {len(names)} columns, more than {limits.columns}. Keep those you need.", file=label
        )
    if rows * 8 * len(names) > limits.cells_bytes:
        size = rows * 8 * len(names) // MIB
        raise DataError(f"would take {size} MiB of memory. Keep fewer columns or rows.", file=label)
    return Arrived("parquet", names, rows)
