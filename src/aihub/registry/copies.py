"""Copies on this machine of files that lie in a bucket: bounded, shared by several processes.

A copy's time of change says when it was last used. What was used within the grace time is never removed, so that a path
that was handed out can be opened, and what a running API serves is there when it starts again without network.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from aihub.registry.files import sweep

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK = ".lock"
WORK = ".work"
LEFTOVER_AGE_S = 86_400.0
"""A temporary file older than this has no writer any more."""
CHUNK_BYTES = 1 << 20


def root_of(path: Path) -> Path:
    """Return the folder of the copies that a file belongs to: names are two levels deep."""
    return path.parent.parent


def digest_of_file(path: Path) -> str:
    """Return the SHA-256 digest of a file's content. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def use(path: Path, digest: str) -> bool:
    """Whether a whole copy lies at `path`; if so it counts as used now. Raises OSError."""
    try:
        # Locked out are those who remove copies: one that was seen here stays for the grace time.
        with _locked(root_of(path), fcntl.LOCK_SH):
            os.utime(path)
        return digest_of_file(path) == digest
    except FileNotFoundError:
        return False


def touch(path: Path) -> None:
    """Let a copy count as used now, if it is there."""
    with suppress(OSError):
        os.utime(path)


def trim(root: Path, *, limit_bytes: int, grace_s: float, now_s: float) -> int:
    """Remove the copies that were not used for longest until the rest fits, and what killed processes left behind.

    Returns how many copies were removed. Never removes one that was used within `grace_s`. Raises OSError.
    """
    sweep(root, older_than_s=LEFTOVER_AGE_S, now_s=now_s)
    _sweep_workspaces(root, now_s)
    found = sorted(_copies(root))
    excess, removed = sum(size for _, size, _ in found) - limit_bytes, 0
    for _, size, path in found:
        if excess <= 0:
            break
        with _locked(root, fcntl.LOCK_EX), suppress(FileNotFoundError):
            # Looked at again: somebody may have used it since.
            if now_s - path.stat().st_mtime > grace_s:
                path.unlink()
                excess -= size
                removed += 1
    return removed


def _copies(root: Path) -> Iterator[tuple[float, int, Path]]:
    for path in root.glob("??/*"):
        with suppress(FileNotFoundError):
            status = path.stat()
            if not path.name.startswith("."):
                yield status.st_mtime, status.st_size, path


@contextmanager
def workspace(root: Path) -> Iterator[Path]:
    """Yield an empty folder on the same file system, which is gone afterwards. Raises OSError."""
    folder = root / WORK / secrets.token_hex(12)
    folder.mkdir(parents=True)
    try:
        with _held(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def link(path: Path, target: Path) -> None:
    """Let a file be found at `target` too, also when its first name is removed. Raises OSError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, target)
    except FileNotFoundError:
        raise
    except OSError:  # a file system without links says so in many ways
        shutil.copyfile(path, target)


def _sweep_workspaces(root: Path, now_s: float) -> None:
    for folder in (root / WORK).glob("*"):
        with suppress(OSError):
            # A process that lives holds its folder; a new one may not hold it yet.
            if now_s - folder.stat().st_mtime > LEFTOVER_AGE_S:
                with _held(folder):
                    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _locked(root: Path, operation: int) -> Iterator[None]:
    root.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, operation)
        yield
    finally:
        os.close(descriptor)
