"""Looks at every byte of a text once: limits, encoding, binary junk; leaves a clean UTF-8 file to parse."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aihub.errors import DataError
from aihub.training.data.limits import MIB
from aihub.training.data.sources import COMPRESSED, HEAD_BYTES, Source, pieces, refuse_no_table
from aihub.training.data.table import DataNote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aihub.training.data.limits import Limits

_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
FALLBACK = "cp1252"
_NEWLINE, _NUL = 10, 0


@dataclass(frozen=True)
class TextFile:
    """A UTF-8 file without byte-order mark that keeps the limits, and what had to be done for that."""

    path: Path
    notes: tuple[DataNote, ...]


def spool(source: Source, folder: Path, limits: Limits) -> TextFile:
    """Check the text of `source`; copy it into `folder` where it is compressed or in another encoding.

    Raises
    ------
    DataError
        The text is too large, binary, in an unknown encoding, or has a line that is too long.
    """
    if source.kind == "text":
        # Known before anything is read; what unpacks is counted while it does.
        _refuse_bomb(source.size_bytes, source, limits)
    encoding = _marked_encoding(source)
    is_copied = source.kind in COMPRESSED or source.kind == "zip" or encoding is not None
    packed_in = source.kind if source.kind in COMPRESSED else ""
    if encoding is None or encoding == "utf-8-sig":
        refuse_no_table(next(pieces(source), b"")[:HEAD_BYTES], label=source.label, packed_in=packed_in)
    copy = folder / "table.txt"
    try:
        if not is_copied:
            _drain(_checked(pieces(source), source, limits))
            return TextFile(source.path, ())
        _write(copy, _checked(_decoded(pieces(source), encoding or "utf-8"), source, limits))
        marked = encoding in (None, "utf-8-sig")
        return TextFile(copy, () if marked else (_encoding_note(encoding or ""),))
    except UnicodeDecodeError as error:
        if encoding is not None:
            raise DataError(
                f"is not valid {encoding} ({error.reason}). Save it as UTF-8.", file=source.label
            ) from None
    try:
        _write(copy, _checked(_decoded(pieces(source), FALLBACK), source, limits))
    except UnicodeDecodeError:
        raise DataError(
            "is neither UTF-8 nor Windows-1252 text. Save it as UTF-8.", file=source.label
        ) from None
    return TextFile(copy, (_encoding_note(FALLBACK),))


def _encoding_note(encoding: str) -> DataNote:
    return DataNote(code="encoding", message=f"The file is not UTF-8; it was read as {encoding}.")


def _marked_encoding(source: Source) -> str | None:
    head = next(pieces(source), b"")[:4]
    return next((name for mark, name in _BOMS if head.startswith(mark)), None)


def _decoded(stream: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """Decode, and encode again as UTF-8."""
    decoder = codecs.getincrementaldecoder(encoding)()
    for piece in stream:
        yield decoder.decode(piece).encode()
    yield decoder.decode(b"", final=True).encode()


def _checked(stream: Iterator[bytes], source: Source, limits: Limits) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    total, since_newline = 0, 0
    for piece in stream:
        total += len(piece)
        _refuse_bomb(total, source, limits)
        decoder.decode(piece)
        array = np.frombuffer(piece, dtype=np.uint8)
        if (array == _NUL).any():
            raise DataError(
                "holds binary data (a zero byte), so it is no text table. Send CSV, Parquet or ARFF.",
                file=source.label,
            )
        ends = np.flatnonzero(array == _NEWLINE)
        if len(ends):
            longest = max(since_newline + int(ends[0]), int(np.diff(ends).max(initial=0)))
            since_newline = len(piece) - int(ends[-1]) - 1
        else:
            since_newline += len(piece)
            longest = since_newline
        if max(longest, since_newline) > limits.line_bytes:
            raise DataError(
                f"has a line longer than {limits.line_bytes // 1024} KiB. "
                "Check for an open quote, wrong line ends or a table that lies on its side.",
                file=source.label,
            )
        yield piece
    decoder.decode(b"", final=True)


def _refuse_bomb(total: int, source: Source, limits: Limits) -> None:
    if total > limits.text_bytes:
        raise DataError(
            f"{'is' if source.kind == 'text' else 'unpacks to'} more than {limits.text_bytes // MIB} MiB. "
            "Send Parquet, or split the file.",
            file=source.label,
        )
    is_bomb = total > limits.ratio_from_bytes and total > limits.ratio * source.size_bytes
    if is_bomb and source.kind != "text":
        raise DataError(
            f"unpacks to more than {limits.ratio} times its size, like a decompression bomb. Send it unpacked.",
            file=source.label,
        )


def _write(target: Path, stream: Iterator[bytes]) -> None:
    with target.open("wb") as file:
        for piece in stream:
            file.write(piece)


def _drain(stream: Iterator[bytes]) -> None:
    for _ in stream:
        pass
