"""Which version was being asked when the process died, and which versions must not be asked again.

A native library that crashes takes the process with it, and a restart would load the same version and crash again. So
every call into a version is marked in a small file that is mapped into memory (50 nanoseconds a call, and the kernel
keeps what was written when the process is gone). The next process reads the marks of the dead ones.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import mmap
import os
import secrets
import struct
from typing import TYPE_CHECKING

from aihub.registry.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

CRASHES_ALLOWED = 1
"""A version is not asked again after its second crash."""
CRASHES = "crashes.json"
MAX_SLOTS = 4096
_DIGEST_BYTES = 64
_SIZE = 8 + MAX_SLOTS * _DIGEST_BYTES


class BlackBox:
    """Marks of this process, and the crashes of those before it.

    Parameters
    ----------
    folder
        Made where it is missing. The serving processes of a hub share it.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.crashes: Mapping[str, int] = self._read_the_dead()
        # Not the process id alone: containers that share the folder have the same ones.
        self._path = folder / f"{os.getpid()}-{secrets.token_hex(4)}.marks"
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        # Held while the process lives, in whatever container: who can take it knows that it is dead.
        fcntl.flock(self._file, fcntl.LOCK_EX)
        os.ftruncate(self._file, _SIZE)
        self._map = mmap.mmap(self._file, _SIZE)
        # The slot (counted from 1) of the version that is asked now; 0 between calls.
        self.mark = ctypes.c_int64.from_buffer(self._map)
        self._used = 0

    def slot(self, digest: str) -> int:
        """Give a version its slot; beyond `MAX_SLOTS` versions in one process, 0: it is not watched."""
        if self._used >= MAX_SLOTS:
            return 0
        begin = 8 + self._used * _DIGEST_BYTES
        self._map[begin : begin + _DIGEST_BYTES] = digest.encode()[:_DIGEST_BYTES].ljust(_DIGEST_BYTES)
        self._used += 1
        return self._used

    def is_banned(self, digest: str) -> bool:
        """Whether the version has ended more than `CRASHES_ALLOWED` processes."""
        return self.crashes.get(digest, 0) > CRASHES_ALLOWED

    def forgive(self, digests: Iterable[str]) -> None:
        """Forget the crashes of versions that have answered for a while: a process may also die of other things."""
        kept = {digest: count for digest, count in self.crashes.items() if digest not in set(digests)}
        if len(kept) < len(self.crashes):
            self.crashes = kept
            write_atomically(self._folder / CRASHES, json.dumps(kept, sort_keys=True).encode())

    def close(self) -> None:
        """Forget this process: it ends well."""
        del self.mark
        with contextlib.suppress(BufferError):  # a request that is still being answered holds the mark
            self._map.close()
        os.close(self._file)
        self._path.unlink(missing_ok=True)

    def _read_the_dead(self) -> Mapping[str, int]:
        counts = self._counts()
        is_changed = False
        for path in sorted(self._folder.glob("*.marks")):
            if _lives(path):
                continue
            digest = _marked(path)
            if digest:
                counts[digest] = counts.get(digest, 0) + 1
                is_changed = True
            path.unlink(missing_ok=True)
        if is_changed:
            write_atomically(self._folder / CRASHES, json.dumps(counts, sort_keys=True).encode())
        return counts

    def _counts(self) -> dict[str, int]:
        try:
            found = json.loads((self._folder / CRASHES).read_bytes())
            return {str(digest): int(count) for digest, count in found.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}


def _lives(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _marked(path: Path) -> str | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if len(content) != _SIZE:
        return None
    slot = int(struct.unpack_from("<q", content)[0])
    if not 0 < slot <= MAX_SLOTS:
        return None
    begin = 8 + (slot - 1) * _DIGEST_BYTES
    return content[begin : begin + _DIGEST_BYTES].decode("ascii", "replace").strip() or None
