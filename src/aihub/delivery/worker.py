"""The worker: takes jobs as slots become free, keeps their leases alive, and goes when it is told.

Four kinds of threads: the loop that claims, the pulse that renews leases and looks for cancellations, one per job that
runs, and one that runs what is done every so often. A PostgreSQL listener wakes the loop at once.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import uuid
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import TYPE_CHECKING

import sqlalchemy as sa
import structlog

from aihub.delivery import lease as leases
from aihub.delivery import steps
from aihub.delivery.kinds import KINDS
from aihub.delivery.lease import LEASE_S, CancelledError, LeaseLostError
from aihub.delivery.nursery import Nursery
from aihub.delivery.periodic import run_if_due
from aihub.delivery.queue import Queue
from aihub.delivery.requests import DEFAULT_QUEUE
from aihub.delivery.runs import ReleasedError, Run
from aihub.delivery.slots import execute
from aihub.delivery.tasks import PERIODICS
from aihub.delivery.waking import Listener
from aihub.errors import AIHubError
from aihub.store.engine import EVERY_TENANT, read, write
from aihub.store.job_tables import workers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aihub.delivery.kinds import Kind
    from aihub.delivery.lease import Lease
    from aihub.delivery.periodic import Periodic
    from aihub.hub import Hub

LOOK_S = 0.5
"""How often a worker looks whether its jobs were cancelled or lost."""
POLL_S = 0.1
"""How often an idle worker looks for jobs where nothing wakes it."""
LISTENING_POLL_S = 2.0
"""The same where PostgreSQL wakes it: for jobs that were put off until a time."""
TICK_S = 1.0
LONGEST_REST_S = 60.0
"""How long at most until a worker looks again whether a task is due that others may have done."""
PAUSE_S = 1.0
"""Wait after the database did not answer."""
GRACE_S = 10.0
FORGOTTEN_S = 86_400.0
"""After how long the row of a worker that was killed is removed."""
_LOG = logging.getLogger(__name__)


class Worker:
    """Runs jobs of some queues in this process; several workers may share a database.

    Parameters
    ----------
    grace_s
        How long jobs may go on after `stop` before they are given back to the queue.
    """

    def __init__(
        self,
        hub: Hub,
        *,
        queues: Sequence[str] = (DEFAULT_QUEUE,),
        concurrency: int = 1,
        kinds: Sequence[Kind] = KINDS,
        periodics: Sequence[Periodic] = PERIODICS,
        lease_s: float = LEASE_S,
        grace_s: float = GRACE_S,
    ) -> None:
        self.hub = hub
        self.name = f"{socket.gethostname()[:30]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._queue = Queue(self.name, tuple(queues), lease_s)
        self._concurrency = concurrency
        self._kinds = {kind.name: kind for kind in kinds}
        self._periodics = tuple(periodics)
        self._lease_s = lease_s
        self._grace_s = grace_s
        self._running: dict[Lease, tuple[Run, threading.Thread]] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self._reaps_from = 0.0
        self._nursery = Nursery()
        self._listener = Listener(hub.engine, self._wake)

    def start(self) -> None:
        """Begin to take jobs. Writes the worker's row."""
        with write(self.hub.engine, tenant=EVERY_TENANT) as connection:
            long_ago = datetime.now(UTC) - timedelta(seconds=FORGOTTEN_S)
            connection.execute(sa.delete(workers).where(workers.c.seen_at < long_ago))
            self._sign_in(connection)
        self._listener.start()
        loops: list[tuple[str, Callable[[], None]]] = [("loop", self._claim_and_run), ("pulse", self._pulse)]
        if self._periodics:
            loops.append(("periodic", self._run_periodics))
        for name, target in loops:
            thread = threading.Thread(target=target, name=f"worker-{name}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def _sign_in(self, connection: sa.Connection) -> None:
        now = datetime.now(UTC)
        row = {"host": socket.gethostname()[:256], "pid": os.getpid(), "queues": list(self._queue.queues)}
        row |= {"id": self.name, "concurrency": self._concurrency, "started_at": now, "seen_at": now}
        connection.execute(sa.insert(workers).values(row))

    def stop(self) -> None:
        """Take no more jobs, give those that run a little time, then give them back to others. Idempotent."""
        if self._stopped.is_set():
            return
        self._stopping.set()
        self._wake.set()
        deadline = monotonic() + self._grace_s
        # First the loop that claims: what it has just taken is then among those that run.
        for thread in self._threads[:1]:
            thread.join(self._lease_s)
        for _, thread in self._current():
            thread.join(max(0.0, deadline - monotonic()))
        for run, _ in self._current():
            run.stop(ReleasedError())
        for _, thread in self._current():
            thread.join(self._lease_s)
        # The pulse renews until the last job is given back.
        self._stopped.set()
        self._listener.stop()
        self._nursery.close()
        for thread in self._threads:
            thread.join(self._lease_s)
        try:
            with write(self.hub.engine, tenant=EVERY_TENANT) as connection:
                connection.execute(sa.delete(workers).where(workers.c.id == self.name))
        except AIHubError as error:
            _LOG.warning("worker %s goes without saying so: %s", self.name, error)

    def wake(self) -> None:
        """Look for jobs at once."""
        self._wake.set()

    @property
    def running(self) -> int:
        """Jobs that run now."""
        return len(self._running)

    def _current(self) -> list[tuple[Run, threading.Thread]]:
        with self._lock:
            return list(self._running.values())

    # The loop that claims ------------------------------------------------------------------------------------------

    def _claim_and_run(self) -> None:
        finished: list[Lease] = []
        while not self._stopping.is_set() or finished:
            self._wake.clear()
            try:
                claimed = self._turn(finished)
                finished = self._begin(claimed)
            except AIHubError as error:
                _LOG.warning("no jobs are taken: %s", error)
            except Exception:  # noqa: BLE001 - the border of the loop: without it the worker would live and do nothing
                _LOG.exception("no jobs are taken")
            else:
                if not claimed:
                    self._wake.wait(LISTENING_POLL_S if self._listener.is_listening else POLL_S)
                continue
            self._stopping.wait(PAUSE_S)
            if self._stopping.is_set():
                return

    def _turn(self, finished: list[Lease]) -> list[Lease]:
        """Complete the quick jobs of the turn before and claim the next ones, in one transaction."""
        free = 0 if self._stopping.is_set() else self._concurrency - self.running
        engine = self.hub.engine
        if not finished:
            if free <= 0:
                return []
            with read(engine, tenant=EVERY_TENANT) as connection:
                if not self._queue.has_due(connection):
                    return []
        with write(engine, tenant=EVERY_TENANT) as connection:
            if finished:
                self._complete(connection, finished)
            return self._queue.claim(connection, free) if free > 0 else []

    def _complete(self, connection: sa.Connection, finished: list[Lease]) -> None:
        now = datetime.now(UTC)
        # Only of those that are completed by us: others may have taken one meanwhile.
        steps.record_all(connection, leases.complete_all(connection, finished, now=now), now=now)

    def _begin(self, claimed: list[Lease]) -> list[Lease]:
        """Start the claimed jobs; returns those that are done already."""
        quick: list[Lease] = []
        for lease in claimed:
            kind = self._kinds.get(lease.kind)
            if kind is not None and kind.quick is not None:
                try:
                    kind.quick([lease])
                except Exception:  # noqa: BLE001 - one job must not take along those that were claimed with it
                    _LOG.exception("job %s is left to others", lease.uid)
                else:
                    quick.append(lease)
            else:
                self._start(lease, kind)
        return quick

    def _start(self, lease: Lease, kind: Kind | None) -> None:
        run = Run(self.hub, lease, self._nursery)
        thread = threading.Thread(target=self._work, args=(run, kind), name=lease.uid, daemon=True)
        with self._lock:
            self._running[lease] = (run, thread)
            # Within the lock: a stop that finds the thread here can wait for it.
            thread.start()

    def _work(self, run: Run, kind: Kind | None) -> None:
        # Every line of this thread, and the end of the job, can be found by the job and by the request that asked for it.
        structlog.contextvars.bind_contextvars(**run.named())
        taken = {"worker": self.name, "attempt": run.lease.attempts, "queue": run.lease.queue}
        _LOG.info("job.taken", extra=taken)
        try:
            execute(run, _unknown if kind is None or kind.run is None else kind.run)
        except AIHubError as error:
            # The database is away: the lease runs out, and whoever is there then goes on.
            _LOG.warning("job %s is left to others: %s", run.lease.uid, error)
        except Exception:  # noqa: BLE001 - the border of the thread
            _LOG.exception("job %s is left to others", run.lease.uid)
        finally:
            with self._lock:
                del self._running[run.lease]
            self._wake.set()

    # The pulse -----------------------------------------------------------------------------------------------------

    def _pulse(self) -> None:
        beat = 0.0
        while not self._stopped.wait(LOOK_S):
            try:
                self._look()
                if monotonic() >= beat:
                    self._beat()
                    beat = monotonic() + self._lease_s / 4
                    self._nursery.prepare()
            except AIHubError as error:
                # Trainings go on: whether the lease still counts is asked again before anything is written.
                _LOG.warning("leases are not renewed: %s", error)
                # The others cannot renew theirs either: they are given the time to when the database is back.
                self._reaps_from = monotonic() + self._lease_s / 2
            except Exception:  # noqa: BLE001 - the border of the pulse: without it every job would be lost
                _LOG.exception("leases are not renewed")

    def _look(self) -> None:
        with self._lock:
            running = {lease: run for lease, (run, _) in self._running.items()}
        if not running:
            return
        with read(self.hub.engine, tenant=EVERY_TENANT) as connection:
            found = leases.look(connection, list(running))
        for lease in found.lost:
            running[lease].stop(LeaseLostError(f"worker {self.name} has lost job {lease.uid}"))
        for lease in found.cancelled:
            running[lease].stop(CancelledError(f"job {lease.uid} was cancelled"))

    def _beat(self) -> None:
        """Renew the leases, take over those of dead workers, and say that this one lives."""
        with self._lock:
            held = list(self._running)
        now = datetime.now(UTC)
        with read(self.hub.engine, tenant=EVERY_TENANT) as connection:
            has_dead = monotonic() >= self._reaps_from and leases.has_expired(connection)
        with write(self.hub.engine, tenant=EVERY_TENANT) as connection:
            leases.renew(connection, held, lease_s=self._lease_s)
            mine = sa.update(workers).where(workers.c.id == self.name)
            if not connection.execute(mine.values(seen_at=now)).rowcount:
                # It slept so long that it was forgotten.
                self._sign_in(connection)
            if has_dead:
                leases.reap(connection, now=now)
                self._wake.set()

    # What is done every so often -----------------------------------------------------------------------------------

    def _run_periodics(self) -> None:
        under_way: dict[str, threading.Thread] = {}
        looked: dict[str, float] = {}
        while not self._stopping.wait(TICK_S):
            for task in self._periodics:
                before = under_way.get(task.name)
                rest = min(task.every_s, LONGEST_REST_S)
                if (before is not None and before.is_alive()) or monotonic() < looked.get(
                    task.name, 0.0
                ) + rest:
                    continue
                looked[task.name] = monotonic()
                thread = threading.Thread(
                    target=self._run_periodic, args=(task,), name=task.name, daemon=True
                )
                thread.start()
                under_way[task.name] = thread

    def _run_periodic(self, task: Periodic) -> None:
        try:
            run_if_due(self.hub, task, runner=self.name)
        except AIHubError as error:
            _LOG.warning("%s is not run: %s", task.name, error)
        except Exception:  # noqa: BLE001 - the border of a task: it is tried again
            _LOG.exception("%s failed", task.name)


def _unknown(run: Run) -> None:
    raise AIHubError(
        f"this worker does not know jobs of kind {run.lease.kind!r}; upgrade it, then retry the job"
    )
