"""Wake a worker the moment a job is there: PostgreSQL's LISTEN. Elsewhere the worker looks by itself."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import SQLAlchemyError

from aihub.store.job_rows import CHANNEL

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

RECONNECT_S = 2.0
CHECK_S = 0.5
_LOG = logging.getLogger(__name__)


class Listener:
    """Sets an event for every notification; `is_listening` is false where nobody would notify."""

    def __init__(self, engine: Engine, wake: threading.Event) -> None:
        self._engine = engine
        self._wake = wake
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.is_listening = False

    def start(self) -> None:
        """Listen in a thread of its own, on PostgreSQL."""
        if self._engine.dialect.name == "postgresql":
            self._thread = threading.Thread(target=self._listen, name="worker-listener", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(RECONNECT_S + CHECK_S)

    def _listen(self) -> None:
        import psycopg

        while not self._stopping.is_set():
            try:
                self._receive()
            except (psycopg.Error, SQLAlchemyError) as error:
                _LOG.info("not listening, polling instead: %s", error)
            self.is_listening = False
            self._stopping.wait(RECONNECT_S)

    def _receive(self) -> None:
        raw: Any = self._engine.raw_connection()
        try:
            connection = raw.driver_connection
            # No transaction may stay open: it would never see a notification.
            connection.autocommit = True
            connection.execute(f"LISTEN {CHANNEL}")
            self.is_listening = True
            self._wake.set()
            while not self._stopping.is_set():
                for _ in connection.notifies(timeout=CHECK_S, stop_after=1):
                    self._wake.set()
        finally:
            # Not back to the pool: it listens.
            raw.invalidate()
