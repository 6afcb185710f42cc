"""A worker that can be made to die: `python mortal_worker.py LEASE_S [POINT]`, settings from the environment.

POINT is where it kills itself with SIGKILL: ``register:in`` within the transaction of the step, before its commit;
``register:after`` right behind the commit; ``child`` while the training runs. Without one it works until SIGTERM.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from aihub.delivery import nursery
from aihub.delivery.kinds import Kind
from aihub.delivery.pipeline import train
from aihub.delivery.runs import Run
from aihub.delivery.worker import Worker
from aihub.hub import opened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

POINT = sys.argv[2] if len(sys.argv) > 2 else ""


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class MortalRun(Run):
    """Dies where it is told to."""

    last = ""

    def finish(self, connection: Connection, name: str, **fields: Any) -> None:
        super().finish(connection, name, **fields)
        self.last = name
        if f"{name}:in" == POINT:
            die()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        with super().transaction() as connection:
            yield connection
        if f"{self.last}:after" == POINT:
            die()


class TellingNursery(nursery.Nursery):
    """Says which child it gives."""

    def take(self) -> nursery.Child:
        child = super().take()
        print(f"child {child.process.pid}", flush=True)  # noqa: T201 - what the test reads
        if POINT == "child":
            threading.Timer(1.0, die).start()
        return child


def mortal(run: Run) -> None:
    train(MortalRun(run.hub, run.lease, TellingNursery()))


def telling(run: Run) -> None:
    run.nursery = TellingNursery()
    train(run)


asked = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: asked.set())
with opened() as hub:
    kind = Kind("train", run=mortal if POINT else telling)
    worker = Worker(hub, kinds=[kind], periodics=(), lease_s=float(sys.argv[1]), grace_s=0.5)
    worker.start()
    asked.wait()
    worker.stop()
