"""One job in the hands of one worker: fenced transactions, recorded steps, and the way to stop it."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aihub.delivery import lease as leases
from aihub.delivery import steps
from aihub.delivery.nursery import Nursery
from aihub.store.engine import read, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sqlalchemy.engine import Connection

    from aihub.delivery.job_records import JobState
    from aihub.delivery.lease import Lease
    from aihub.hub import Hub


_LOG = logging.getLogger(__name__)


class ReleasedError(Exception):
    """The worker shuts down: the job goes back to the queue."""


@dataclass
class Run:
    """What the function of a kind works with. It ends the job in its last transaction (`end`)."""

    hub: Hub
    lease: Lease
    nursery: Nursery = field(default_factory=Nursery)
    _reason: Exception | None = None
    _killers: list[Callable[[], None]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def named(self) -> dict[str, str]:
        """Return what log lines about the job are found by: its id, its tenant, and the request that asked for it."""
        asked = next((word for word in self.lease.source.split() if word.startswith("req_")), None)
        return {
            "job_id": self.lease.uid,
            "tenant": self.lease.tenant,
            **({"request_id": asked} if asked else {}),
        }

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Open a transaction of the job's tenant in which the lease is held until it commits.

        Raises
        ------
        LeaseLostError, CancelledError
            Nothing may be written any more.
        """
        self.check()
        with write(self.hub.engine, tenant=self.lease.tenant) as connection:
            leases.hold(connection, self.lease)
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a transaction that only reads what the job's tenant may see."""
        with read(self.hub.engine, tenant=self.lease.tenant) as connection:
            yield connection

    def outputs(self) -> dict[str, dict[str, Any]]:
        """Return what the steps that are done have left, by name."""
        with self.reading() as connection:
            return steps.outputs(connection, self.lease)

    def begin(self, name: str) -> None:
        """Note that a step begins."""
        with self.transaction() as connection:
            steps.begin(connection, self.lease, name, now=datetime.now(UTC))

    def finish(
        self, connection: Connection, name: str, *, note: str = "", output: Mapping[str, Any] | None = None
    ) -> None:
        """Note that a step is over, and log it, in the transaction of its effect."""
        now = datetime.now(UTC)
        steps.finish(connection, self.lease, name, now=now, note=note, output=output)
        steps.write_log(connection, self.lease, [(now, "info", name, note or "done")])
        _LOG.info("job.step", extra={"step": name, "note": note})

    def end(self, connection: Connection, state: JobState, **values: Any) -> None:
        """Give the job up with its new state, in the transaction of its last effect."""
        now = datetime.now(UTC) if state.is_over else None
        leases.end(connection, self.lease, state, now=now, **values)
        error = values.get("error") or {}
        said = {"state": state.value, "code": error.get("code")}
        _LOG.info("job.ended" if state.is_over else "job.left", extra=said)

    def stop(self, reason: Exception) -> None:
        """Make the run end with `reason`, and kill what it has started. From any thread."""
        with self._lock:
            self._reason = self._reason or reason
            killers = list(self._killers)
        for kill in killers:
            kill()

    def check(self) -> None:
        """Raise the reason for which the run is to stop, where there is one."""
        if self._reason is not None:
            raise self._reason

    @contextmanager
    def killing(self, kill: Callable[[], None]) -> Iterator[None]:
        """Have `kill` called should the run be stopped within the block."""
        with self._lock:
            self._killers.append(kill)
        try:
            self.check()
            yield
        finally:
            with self._lock:
                self._killers.remove(kill)
