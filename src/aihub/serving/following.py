"""Knowing soon that something else serves: PostgreSQL tells (LISTEN), SQLite is asked for its data version.

SQLite counts the commits of others in its file; asking for the count costs microseconds, so that every process knows of a
deployment within some 20 milliseconds. On PostgreSQL a notice arrives with the commit; every `POLL_S` the tables are
looked at as well, so that a lost notice or connection delays a swap and never prevents it.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from aihub.store.deployments import CHANNEL
from aihub.store.lite import driver

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

SQLITE_POLL_S = 0.02
POLL_S = 0.5
RECONNECT_S = 2.0


class Follower:
    """Waits for the next time at which the tables should be looked at."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._is_postgresql = engine.dialect.name == "postgresql"
        self._connection: Any = None
        self._seen: int | None = None
        self._looked_at = 0.0
        self._connect_at = 0.0

    def wait(self) -> bool:
        """Wait some milliseconds; whether the tables should be looked at now."""
        told = self._listen() if self._is_postgresql else self._ask()
        if told or time.monotonic() - self._looked_at >= POLL_S:
            self._looked_at = time.monotonic()
            return True
        return False

    def close(self) -> None:
        """Close the connection of its own."""
        if self._connection is not None:
            with contextlib.suppress(Exception):  # it is of no use any more, whatever it says
                self._connection.close()
            self._connection = None

    def _ask(self) -> bool:
        time.sleep(SQLITE_POLL_S)
        library = driver()
        try:
            if self._connection is None:
                self._connection = library.connect(
                    str(self._engine.url.database), timeout=0.1, check_same_thread=False, isolation_level=None
                )
            (count,) = self._connection.execute("PRAGMA data_version").fetchone()
        except library.Error:
            # Somebody writes at this moment: ask again.
            return False
        is_new = bool(count != self._seen)
        self._seen = count
        return is_new

    def _listen(self) -> bool:
        import psycopg  # noqa: PLC0415 - only with PostgreSQL

        try:
            if self._connection is None:
                if time.monotonic() < self._connect_at:
                    time.sleep(0.05)
                    return False
                self._connect_at = time.monotonic() + RECONNECT_S
                raw = self._engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
                self._connection = psycopg.connect(raw, autocommit=True, connect_timeout=5)
                self._connection.execute(f"LISTEN {CHANNEL}")
                return True
            return any(True for _ in self._connection.notifies(timeout=0.1, stop_after=1))
        except (psycopg.Error, OSError):
            self.close()
            time.sleep(0.05)
            return False
