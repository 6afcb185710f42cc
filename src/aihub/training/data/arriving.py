"""A table that arrives piece by piece: looked at while it does, so that a wrong one is refused before it is all there."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aihub.errors import DataError
from aihub.training.data.arriving_text import WIDE_MARKS, ArrivingText
from aihub.training.data.limits import DEFAULT_LIMITS, MIB, Limits
from aihub.training.data.sources import HEAD_BYTES, refuse_no_table, sniff

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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
        self._text = ArrivingText(label, limits)
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
        if not self._start.startswith(WIDE_MARKS):
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
