"""The worker's side of a job's child process: gives it its order, keeps what it tells, and kills it with all that it started."""

from __future__ import annotations

import json
import logging
import os
import selectors
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from aihub.delivery import steps
from aihub.errors import AIHubError, UnavailableError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping

    from sqlalchemy.engine import Connection

    from aihub.delivery.nursery import Child
    from aihub.delivery.runs import Run

FLUSH_S = 0.5
"""How often what the child tells is written down."""
SHOWN_ERROR_CHARS = 2000
MAX_LINE_BYTES = 256 << 20
STEPS = {"read data": "data", "validate": "validate"}
"""Steps of the job by what the child calls them; every other one belongs to the training."""
PATIENCE_S = 300.0
"""How long a training that is over waits for a database that is away."""
_LOG = logging.getLogger(__name__)


class ChildError(AIHubError):
    """The child said what is wrong, or died of it."""

    def __init__(self, message: str, *, code: str = "child_died") -> None:
        super().__init__(message)
        self.code = code  # type: ignore[misc]


def make(run: Run, order: Mapping[str, Any]) -> dict[str, Any]:
    """Have a child carry out `order` and return its result. Writes its steps, log and progress as they come.

    Raises
    ------
    ChildError
        The order could not be carried out.
    LeaseLostError, CancelledError
        The run was stopped; the child is dead.
    """
    child = run.nursery.take()
    try:
        with run.killing(child.kill):
            _send(child.process, order)
            return _listen(run, child)
    finally:
        child.close()


def _send(process: subprocess.Popen[bytes], order: Mapping[str, Any]) -> None:
    if process.stdin is None:
        raise AssertionError
    # A child that died already says why on its standard error.
    with suppress(BrokenPipeError):
        process.stdin.write(json.dumps(order).encode() + b"\n")
        process.stdin.flush()


def _listen(run: Run, child: Child) -> dict[str, Any]:
    """Read until the last line, and write down every so often what came."""
    process = child.process
    if process.stdout is None:
        raise AssertionError
    told, pending, flushed = _Told(run), bytearray(), monotonic()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if selector.select(FLUSH_S):
                piece = os.read(process.stdout.fileno(), 1 << 20)
                if not piece:
                    break
                pending += piece
                *lines, rest = pending.split(b"\n")
                pending = bytearray(rest)
                if len(pending) > MAX_LINE_BYTES:
                    raise ChildError("the training process told more than can be kept; report this")
                for line in lines:
                    told.take(json.loads(line))
            run.check()
            if monotonic() - flushed >= FLUSH_S:
                told.try_flush()
                flushed = monotonic()
    process.wait()
    _await_flush(run, told)
    if told.result is not None:
        return told.result
    raise _death(child) if told.error is None else _failure(**told.error)


def _await_flush(run: Run, told: _Told) -> None:
    """Write down the rest; where the database is away, wait for it a while: hours of training may be in it."""
    deadline = monotonic() + PATIENCE_S
    run.check()
    while monotonic() < deadline and not told.try_flush():
        sleep(1)
        run.check()
    told.flush()


def _failure(code: str, message: str) -> AIHubError:
    """Return what the child has failed by; a later try may help only where it says so."""
    return UnavailableError(message) if code == UnavailableError.code else ChildError(message, code=code)


def _death(child: Child) -> ChildError:
    # Libraries may have written gigabytes.
    child.errors.seek(max(0, child.errors.seek(0, os.SEEK_END) - 4 * SHOWN_ERROR_CHARS))
    said = child.errors.read().decode(errors="replace").strip()[-SHOWN_ERROR_CHARS:]
    code = child.process.returncode
    if code < 0:
        name = signal.Signals(-code).name
        why = ", perhaps because the machine ran out of memory" if -code == signal.SIGKILL else ""
        return ChildError(f"the training process was ended by {name}{why}; retry the job. {said}".strip())
    return ChildError(f"the training process ended with code {code}: {said or 'it said nothing'}")


@dataclass
class _Told:
    """What a child has told and what of it is not written yet."""

    run: Run
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    _events: list[tuple[datetime, dict[str, Any]]] = field(default_factory=list)
    _step: str = ""

    def take(self, document: dict[str, Any]) -> None:
        """Keep one line."""
        if "result" in document:
            self.result = document["result"]
        elif "error" in document:
            self.error = document["error"]
        else:
            self._events.append((datetime.now(UTC), document))

    def try_flush(self) -> bool:
        """Write down what came, or keep it for the next time where the database is away."""
        step = self._step
        try:
            self.flush()
        except UnavailableError as failure:
            # What the transaction began is taken back with it.
            self._step = step
            _LOG.warning("what job %s tells is kept for later: %s", self.run.lease.uid, failure)
            return False
        return True

    def flush(self) -> None:
        """Write down what came since the last time, in one transaction."""
        if not self._events:
            return
        with self.run.transaction() as connection:
            advanced: dict[str, Any] | None = None
            for at, event in self._events:
                if event["event"] == "StepAdvanced":
                    advanced = event
                    continue
                self._write(connection, at, event)
            if advanced is not None and self._step:
                steps.advance(connection, self.run.lease, self._step, advanced["fraction"])
        self._events.clear()

    def _write(self, connection: Connection, at: datetime, event: dict[str, Any]) -> None:
        lease = self.run.lease
        if event["event"] == "Remark":
            steps.write_log(connection, lease, [(at, "warning", self._step, event["text"])])
            return
        step = STEPS.get(event["step"], "train")
        if event["event"] == "StepStarted":
            if step != self._step:
                self._step = step
                steps.begin(connection, lease, step, now=at)
            return
        # The last step is over when its result is kept, and "package" belongs to the training.
        message = f"{event['step']}: {event['note'] or 'done'} ({event['duration_s']:.1f} s)"
        steps.write_log(connection, lease, [(at, "info", step, message)])
        if step != "validate" and event["step"] != "package":
            steps.finish(connection, lease, step, now=at, note=event["note"])
