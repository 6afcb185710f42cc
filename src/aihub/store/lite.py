"""The SQLite library that the hub uses, and turns between the writers of one process.

SQLite before 3.51.3 can lose or damage a WAL file when one connection writes while another resets the log (the
WAL-reset fault, also mended in 3.50.7 and 3.44.6). Many interpreters come with such a library, so a newer one is installed
beside it. Without WAL a commit costs several syncs instead of one, and readers wait for writers.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from aihub.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator


def has_wal_fault(version: tuple[int, ...]) -> bool:
    """Whether a SQLite library has the WAL-reset fault.

    >>> has_wal_fault((3, 40, 1)), has_wal_fault((3, 50, 7)), has_wal_fault((3, 51, 3))
    (True, False, False)
    """
    if version >= (3, 51, 3):
        return False
    return not ((3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45))


def driver() -> Any:
    """Return the module to open SQLite files with: the interpreter's own, or the newer one beside it where it is better."""
    if not has_wal_fault(sqlite3.sqlite_version_info):
        return sqlite3
    try:
        import pysqlite3  # noqa: PLC0415 - only where the interpreter's own has the fault
    except ImportError:
        return sqlite3
    return sqlite3 if has_wal_fault(pysqlite3.sqlite_version_info) else pysqlite3


class Turns:
    """First come, first served between the threads that want to write.

    SQLite lets one connection write at a time; the others ask again after ever longer pauses, so that a newcomer often
    overtakes who has waited for seconds. Threads of one process need not ask.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._is_taken = False

    @contextmanager
    def turn(self, timeout_s: float) -> Iterator[None]:
        """Wait for the turn and hold it until the block ends.

        Raises
        ------
        UnavailableError
            It did not come in time.
        """
        mine = threading.Event()
        with self._lock:
            if self._is_taken:
                self._waiting.append(mine)
            else:
                self._is_taken = True
                mine.set()
        if not mine.wait(timeout_s) and not self._withdrawn(mine):
            raise UnavailableError(
                f"other writers held the database for {timeout_s:.0f} s; repeat the request"
            )
        try:
            yield
        finally:
            with self._lock:
                if self._waiting:
                    self._waiting.popleft().set()
                else:
                    self._is_taken = False

    def _withdrawn(self, mine: threading.Event) -> bool:
        """Leave the line; True where the turn has come in the meantime after all."""
        with self._lock:
            if mine.is_set():
                return True
            self._waiting.remove(mine)
            return False
