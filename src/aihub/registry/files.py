"""Reading and writing single files so that nothing surprising happens: no hang, no half-written state."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from aihub.errors import ArtifactError, UnavailableError

if TYPE_CHECKING:
    from pathlib import Path

MAX_FILE_BYTES = 1 << 30
"""Largest model file that is read."""
_CHUNK = 1 << 20
_TEMPORARY = ".tmp"


def read_regular(path: Path, *, limit: int = MAX_FILE_BYTES) -> bytes:
    """Return the content of a regular file.

    Raises
    ------
    ArtifactError
        The path is missing, empty, larger than `limit` bytes, not readable, or not a regular file: a folder, a
        symbolic link, a pipe or a device.
    """
    # NONBLOCK: opening a pipe without a writer would otherwise wait for ever.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        raise ArtifactError(_why_not_open(path, error)) from error
    except ValueError as error:
        raise ArtifactError(f"{str(path)!r} is not a path: {error}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ArtifactError(f"{path} is not a regular file; pass the path of a model file")
        if status.st_size == 0:
            raise ArtifactError(f"{path} is empty; the model was not saved completely, save it again")
        if status.st_size > limit:
            raise ArtifactError(f"{path} has {status.st_size:,} bytes, more than the {limit:,} that are read")
        # The file may grow while it is read: what is beyond the limit is never taken.
        content = _read_up_to(descriptor, limit + 1)
    finally:
        os.close(descriptor)
    if len(content) > limit:
        raise ArtifactError(f"{path} grew beyond the {limit:,} bytes that are read")
    return content


def _read_up_to(descriptor: int, count: int) -> bytes:
    parts: list[bytes] = []
    while count and (part := os.read(descriptor, min(count, 16 * _CHUNK))):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _why_not_open(path: Path, error: OSError) -> str:
    match error.errno:
        case errno.ENOENT:
            return f"{path} does not exist; check the path"
        case errno.ELOOP:
            return f"{path} is a symbolic link; pass the file that it points to"
        case errno.EACCES | errno.EPERM:
            return f"{path} cannot be read by this user; change its permissions"
        case _:
            return f"{path} cannot be opened: {error.strerror}; pass the path of a model file"


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path`, so that a kill or a full disk at any moment leaves the old file or the new one.

    Raises
    ------
    UnavailableError
        The disk is full or the folder cannot be written; the old state is untouched.
    """
    folder = path.parent
    temporary = folder / f".{path.name}.{secrets.token_hex(8)}{_TEMPORARY}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            _write_and_sync(temporary, content)
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        _sync_folder(folder)
    except OSError as error:
        message = f"{path} could not be written: {error.strerror}; free space or fix the folder, then repeat"
        raise UnavailableError(message) from error


def _write_and_sync(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view[:_CHUNK]) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    # Without this the rename itself may be lost with the power.
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep(folder: Path, *, older_than_s: float, now_s: float) -> int:
    """Remove what killed writers left behind under `folder`, and return how many files that were."""
    removed = 0
    for path in folder.rglob(f".*{_TEMPORARY}"):
        with suppress(OSError):
            if now_s - path.stat().st_mtime > older_than_s:
                path.unlink()
                removed += 1
    return removed
