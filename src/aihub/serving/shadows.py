"""Work beside the answers: what nobody waits for, on one thread, bounded."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

CAPACITY = 1_000


class Shadows:
    """Asks shadow versions; what it cannot keep up with is counted and left out."""

    def __init__(self) -> None:
        self._queue: queue.Queue[Callable[[], None] | None] = queue.Queue(CAPACITY)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self.asked = 0
        self.failed = 0
        self.left_out = 0

    def put(self, work: Callable[[], None]) -> None:
        """Do `work` later; never waits."""
        if self._thread is None:
            self._start()
        try:
            self._queue.put_nowait(work)
        except queue.Full:
            self.left_out += 1

    def stop(self) -> None:
        """Do what waits, and stop."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(10)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="aihub-shadow", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while (work := self._queue.get()) is not None:
            try:
                work()
                self.asked += 1
            except Exception:  # noqa: BLE001 - border of the thread: a shadow's fault is nobody's but its own
                self.failed += 1
