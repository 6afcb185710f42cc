"""A PostgreSQL server that tests can kill and start again, on one port and one folder."""

from __future__ import annotations

import shutil
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from pathlib import Path

START_TIMEOUT_S = 60


@dataclass
class MortalServer:
    """The server of a folder; `close` removes the folder, too."""

    command: list[str]
    url: str
    folder: Path
    options: dict[str, Any]
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers; anew while what is left of the one before keeps it from starting."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            with (self.folder / "log").open("ab") as log:
                self.process = subprocess.Popen(self.command, stdout=log, stderr=log, **self.options)
            while self.process.poll() is None:
                if self._answers():
                    return
                assert time.monotonic() < deadline, "PostgreSQL does not answer"
                time.sleep(0.05)
            said = (self.folder / "log").read_text()[-2000:]
            assert time.monotonic() < deadline, f"PostgreSQL did not start: {said}"
            time.sleep(0.2)

    def _answers(self) -> bool:
        # The bare driver: a pool loses a connection whose first question the starting server does not answer.
        try:
            with psycopg.connect(self.url, connect_timeout=5):
                return True
        except psycopg.OperationalError:
            return False

    def kill(self) -> None:
        """`kill -9`, as the system does when memory is short; its children find out and go."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """Stop it and remove what it wrote."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
