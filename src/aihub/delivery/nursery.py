"""Starts the child processes of jobs, one of them ahead while there is work: most of a start is imports."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import IO

KEPT_FOR_S = 600.0
"""How long after the last training one is kept ready."""
_KEPT_VARIABLES = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "PYTHONPATH",
    "LD_LIBRARY_PATH",
    "VIRTUAL_ENV",
    "SYSTEMROOT",
)
"""What a child sees of the worker's environment: no address and no secret."""
_ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
)


@dataclass(frozen=True)
class Child:
    """A process in its own session, and the file that holds what it wrote to standard error."""

    process: subprocess.Popen[bytes]
    errors: IO[bytes]

    def kill(self) -> None:
        """Kill it with everything in its process group. Idempotent, from any thread."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Kill it and let go of it."""
        self.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            if stream is not None:
                # What could not be sent to a dead child is of no use any more.
                with suppress(BrokenPipeError):
                    stream.close()


def start() -> Child:
    """Start a child; it imports what every training needs and then waits for its order.

    It dies with the thread that calls this, on Linux, and with the process everywhere.
    """
    environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the child
    process = subprocess.Popen(
        # -P: a folder that happens to be the current one must not be imported from.
        [sys.executable, "-P", "-m", "aihub.delivery.child"],
        env={**environment, **dict.fromkeys(_ONE_THREAD, "1"), "PYTHONUTF8": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        start_new_session=True,
    )
    return Child(process, errors)


class Nursery:
    """Children for the jobs of one worker."""

    def __init__(self) -> None:
        self._spare: Child | None = None
        self._used_at = float("-inf")
        self._lock = threading.Lock()

    def take(self) -> Child:
        """Return a child: the one that is ready, else a new one."""
        with self._lock:
            self._used_at = monotonic()
            spare, self._spare = self._spare, None
        if spare is not None:
            if spare.process.poll() is None:
                return spare
            spare.close()
        return start()

    def prepare(self) -> None:
        """Have one ready while there was work of late. Call it from a thread that lives as long as the worker."""
        with self._lock:
            is_busy = monotonic() - self._used_at < KEPT_FOR_S
            if is_busy and self._spare is None:
                self._spare = start()
            elif not is_busy and self._spare is not None:
                self._spare.close()
                self._spare = None

    def close(self) -> None:
        """End the one that is ready."""
        with self._lock:
            if self._spare is not None:
                self._spare.close()
                self._spare = None
            self._used_at = float("-inf")
