"""The lines of a CSV that arrives piece by piece: how many, how long, and whether one has more fields than the header."""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING

from aihub.errors import DataError
from aihub.training.data.limits import MIB, Limits
from aihub.training.data.spool import FALLBACK

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SEPARATORS = b",;\t|"
_OPENING = re.compile(rb"(?:^|[,;\t|])\s*\"")
_BOUNDARY = re.compile(rb"--[^,;\t|]{10,80}\r?")
"""First line of a form with a file in it, as browsers and `curl -F` send it."""
_UTF8_MARK, WIDE_MARKS = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")
_FIRST_ROWS = 3


class ArrivingText:
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
        """Take the next bytes; raise `DataError` where they show that this is no table within the limits."""
        self.size += len(piece)
        if self.size > self.limits.text_bytes:
            raise self._wrong(
                f"is more than {self.limits.text_bytes // MIB} MiB of text. Send Parquet, or split the file."
            )
        if self.size == len(piece) and piece.startswith(WIDE_MARKS):
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
        """Names of the columns and number of rows; raise `DataError` where the text ends too soon or held no rows."""
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
