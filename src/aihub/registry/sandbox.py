"""A child process that reads what we do not trust: it may crash, hang or be taken over, and the caller goes on.

The child is a fresh interpreter with an empty environment in an empty folder, in a session of its own; it confines
itself (`aihub.registry.confinement`) before the first byte of the file reaches it. The parent gives up at a deadline,
kills the whole session, and takes nothing from it but bounded JSON and bytes.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Self

from aihub.errors import ArtifactError
from aihub.registry import frames

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_ANSWER_HEADER = 4 << 20
_CHUNK = 1 << 16
_BOOT = "import sys,json;a=json.loads(sys.argv[1]);sys.path[:]=a['path'];from aihub.registry.child import main;main(a)"
_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    # One thread: the child is limited to its own process, and two libraries may each start a pool.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    # joblib would ask for semaphores, which the child may not have, and warn.
    "JOBLIB_MULTIPROCESSING": "0",
}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What reading a file of unknown origin may cost.

    Attributes
    ----------
    timeout_s
        Longest time that reading may take.
    memory_bytes
        Address space of the child process.
    """

    timeout_s: float = 20.0
    memory_bytes: int = 4 << 30


class Child:
    """A confined interpreter that answers requests until it is closed.

    Parameters
    ----------
    memory_bytes
        Address space that it may use.
    cpu_s
        Processor seconds that it may use in its life.
    """

    def __init__(self, *, memory_bytes: int = Limits.memory_bytes, cpu_s: int = 60) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="aihub-child-", ignore_cleanup_errors=True)
        search_path = [os.path.abspath(path) for path in sys.path if path and os.path.exists(path)]  # noqa: PTH100, PTH110
        arguments = {"path": search_path, "memory_bytes": memory_bytes, "cpu_s": cpu_s}
        # -I: no environment, no user folder; -S: no .pth file is run, the search path is ours as it is.
        command = [sys.executable, "-I", "-S", "-c", _BOOT, json.dumps(arguments)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_ENVIRONMENT,
            cwd=self._folder.name,
            start_new_session=True,
            bufsize=0,
        )
        for pipe in (self._input, self._output):
            os.set_blocking(pipe.fileno(), False)

    @property
    def _input(self) -> IO[bytes]:
        assert self._process.stdin is not None  # noqa: S101 - asked for above
        return self._process.stdin

    @property
    def _output(self) -> IO[bytes]:
        assert self._process.stdout is not None  # noqa: S101 - asked for above
        return self._process.stdout

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def ask(
        self, request: Mapping[str, Any], blob: bytes = b"", *, timeout_s: float, max_blob: int
    ) -> tuple[dict[str, Any], bytes]:
        """Send a request and wait for its answer.

        Raises
        ------
        ArtifactError
            The child refused the file, died, said nonsense, or did not answer within `timeout_s`. After the last
            three it is gone.
        """
        deadline = time.monotonic() + timeout_s
        try:
            self._send(frames.encode(request, blob), deadline)
            head = self._receive(frames.HEAD.size, deadline)
            length, size = frames.sizes(head, max_header=MAX_ANSWER_HEADER, max_blob=max_blob)
            answer = frames.header(self._receive(length, deadline))
            content = self._receive(size, deadline)
        except TimeoutError:
            self.close()
            message = f"the model file could not be read within {timeout_s:g} s; it is damaged, hostile or too large"
            raise ArtifactError(message) from None
        except (OSError, EOFError, frames.FrameError) as error:
            raise ArtifactError(self._obituary(error)) from None
        if answer.get("ok") is not True:
            reason = str(answer.get("error", "no reason given"))[:2000]
            raise ArtifactError(reason)
        return answer, content

    def _obituary(self, error: Exception) -> str:
        self.close()
        code = self._process.returncode
        if code is not None and code < 0:
            try:
                name = signal.Signals(-code).name
            except ValueError:
                name = str(-code)
            return f"the model file ended the process that read it ({name}); it is damaged or hostile: save it again"
        return f"the process that read the model file gave up: {error}; it is damaged, hostile or too large"

    def _send(self, data: bytes, deadline: float) -> None:
        view = memoryview(data)
        while view:
            self._wait(self._input, selectors.EVENT_WRITE, deadline)
            with contextlib.suppress(BlockingIOError):
                view = view[os.write(self._input.fileno(), view[:_CHUNK]) :]

    def _receive(self, count: int, deadline: float) -> bytes:
        parts: list[bytes] = []
        while count:
            self._wait(self._output, selectors.EVENT_READ, deadline)
            try:
                part = os.read(self._output.fileno(), min(count, 1 << 20))
            except BlockingIOError:
                continue
            if not part:
                raise EOFError("it ended without an answer")
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    @staticmethod
    def _wait(pipe: IO[bytes], event: int, deadline: float) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, event)
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError

    def close(self) -> None:
        """End the child and everything it started. Idempotent."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        for pipe in (self._input, self._output):
            with contextlib.suppress(OSError):
                pipe.close()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
