"""Where the bytes of a table come from: a plain file, a compressed one, or one member of a zip archive."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import hashlib
import lzma
import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from aihub.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHUNK_BYTES = 1024 * 1024
MEMBER_SEPARATOR = "::"
_TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".arff", ".parquet", ".pq")
_BINARY_KINDS = {
    b"PAR1": "parquet",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ\x00": "xz",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"ARROW1": "Arrow IPC",
    b"\x89HDF": "HDF5",
    b"\xd0\xcf\x11\xe0": "Excel",
    b"SQLite format 3": "SQLite",
    b"\x80\x04": "pickle",
    b"\x80\x05": "pickle",
}
_OTHER_TEXTS = {
    b"<!doctype html": "a web page",
    b"<html": "a web page",
    b"<?xml": "XML",
    b'{"': "JSON",
    b"[{": "JSON",
    b"[[": "JSON",
}
_LFS_MARK = b"version https://"
HEAD_BYTES = 16
_OPENERS: dict[str, Callable[..., Any]] = {"gzip": gzip.open, "xz": lzma.open, "bzip2": bz2.open}
COMPRESSED = ("gzip", "xz", "bzip2", "zstd")


@dataclass(frozen=True)
class Source:
    """A file on disk and, for an archive, which member of it is meant.

    Attributes
    ----------
    label
        The path as the caller gave it, for messages.
    kind
        ``text``, ``parquet``, ``zip``, one of `COMPRESSED`, or the name of a format that cannot be read.
    """

    path: Path
    member: str | None
    kind: str
    size_bytes: int

    @property
    def label(self) -> str:
        """The path as the caller gave it."""
        return f"{self.path}{MEMBER_SEPARATOR}{self.member}" if self.member else str(self.path)


def locate(path: Path | str) -> Source:
    """Find the file, and tell its format from its first bytes (a suffix may lie).

    Raises
    ------
    DataError
        There is no such file, it is empty, or not a regular file.
    """
    text, _, member = str(path).partition(MEMBER_SEPARATOR)
    file = Path(text)
    try:
        if not file.exists():
            near = did_you_mean(file.name, _names_beside(file))
            raise DataError(f"there is no such file.{near} Check the path.", file=text)
        if not file.is_file():
            raise DataError("is not a file. Name one CSV, Parquet or ARFF file.", file=text)
        size = file.stat().st_size
        if size == 0:
            raise DataError("is empty. Send a table with a header line.", file=text)
        with file.open("rb") as stream:
            kind = sniff(stream.read(HEAD_BYTES))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DataError(f"cannot be opened ({reason}). Check the path and its rights.", file=text) from None
    if member and kind != "zip":
        raise DataError(f"is no zip archive, so it has no member {member!r}. Leave out '::'.", file=text)
    return Source(file, member or None, kind, size)


def _names_beside(file: Path) -> list[str]:
    with contextlib.suppress(OSError):
        return sorted(entry.name for entry in os.scandir(file.parent))[:1000]
    return []


def sniff(head: bytes) -> str:
    """Tell a format from the first bytes of a file.

    >>> sniff(b"PAR1....")
    'parquet'
    """
    return next((kind for magic, kind in _BINARY_KINDS.items() if head.startswith(magic)), "text")


def refuse_no_table(head: bytes, *, label: str, packed_in: str = "") -> None:
    """Refuse what begins like something else than a text table, by the name of what it is.

    Raises
    ------
    DataError
        It is a web page, XML, JSON, a pointer of Git LFS, UTF-16 without its mark, or, inside of `packed_in`, a format of its own.
    """
    kind = sniff(head)
    if packed_in and kind != "text":
        raise DataError(f"holds {kind} inside of {packed_in}. Send what is inside.", file=label)
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    other = next((kind for mark, kind in _OTHER_TEXTS.items() if start.startswith(mark)), None)
    if start.startswith(_LFS_MARK):
        raise DataError(
            "is what Git LFS keeps in the place of a file. Fetch the file itself: git lfs pull (in GitHub Actions: "
            "lfs: true at the checkout).",
            file=label,
        )
    if other is not None:
        raise DataError(f"is {other}, not a table. Send CSV or Parquet.", file=label)
    if head.count(0) > len(head) // 3:
        raise DataError("looks like UTF-16. Save it as UTF-8.", file=label)


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def pick_member(source: Source) -> zipfile.ZipInfo:
    """Return the member of a zip archive that is the table.

    Raises
    ------
    DataError
        The archive is damaged or locked, holds no table, or several and the path names none of them.
    """
    try:
        with zipfile.ZipFile(source.path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise DataError(
            f"is a damaged zip archive ({error}). Send it again.", file=str(source.path)
        ) from None
    names = [entry.filename for entry in entries]
    if any(name.startswith("xl/") for name in names):
        raise DataError("is an Excel workbook. Save the sheet as CSV.", file=str(source.path))
    if source.member is not None:
        chosen = [entry for entry in entries if entry.filename == source.member]
        if not chosen:
            near = did_you_mean(source.member, names)
            raise DataError(f"holds no member {source.member!r}.{near}", file=str(source.path))
    else:
        chosen = [
            e
            for e in entries
            if e.filename.lower().endswith(_TABLE_SUFFIXES) and "__MACOSX" not in e.filename
        ]
    if len(chosen) != 1:
        listed = ", ".join(repr(e.filename) for e in chosen[:5])
        what = (
            f"holds {len(chosen)} tables ({listed}...)"
            if chosen
            else "holds no table (.csv, .arff, .parquet)"
        )
        raise DataError(
            f"{what}. Name the member: {source.path.name}::{(chosen or entries)[0].filename if entries else 'NAME'}.",
            file=str(source.path),
        )
    if chosen[0].flag_bits & 1:
        raise DataError("is locked with a password. Send it unlocked.", file=source.label)
    return chosen[0]


def pieces(source: Source) -> Iterator[bytes]:
    """Yield the decompressed bytes of a source, a mebibyte at a time.

    Raises
    ------
    DataError
        The compressed stream is damaged or cut off.
    """
    try:
        with _opened(source) as stream:
            while piece := stream.read(CHUNK_BYTES):
                yield piece
    except EOFError:
        raise DataError(
            f"ends in the middle of the {source.kind} stream. Transfer it again.", file=source.label
        ) from None
    except (
        OSError,
        zlib.error,
        lzma.LZMAError,
        zipfile.BadZipFile,
        NotImplementedError,
        ValueError,
    ) as error:
        raise DataError(
            f"is a damaged {source.kind} file ({error}). Transfer it again.", file=source.label
        ) from None


@contextlib.contextmanager
def _opened(source: Source) -> Iterator[IO[bytes]]:
    if source.kind == "zip":
        with zipfile.ZipFile(source.path) as archive, archive.open(pick_member(source)) as member:
            yield member
    elif source.kind == "zstd":
        import pyarrow as pa  # noqa: PLC0415 - the only reader of zstd that is at hand; 50 ms

        with pa.CompressedInputStream(pa.OSFile(str(source.path)), "zstd") as stream:
            yield stream
    else:
        opener: Callable[..., Any] = _OPENERS.get(source.kind, open)
        with opener(source.path, "rb") as stream:
            yield stream
