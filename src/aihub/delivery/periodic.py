"""What is done every so often, by one process at a time however many there are."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING

import sqlalchemy as sa

from aihub.errors import AIHubError
from aihub.store import clock
from aihub.store.engine import EVERY_TENANT, read, write
from aihub.store.engine_tables import periodics
from aihub.store.models import insert_unless_there

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy.engine import Connection

    from aihub.hub import Hub

LEASE_S = 300.0
"""Seconds after which a task whose runner died is run by another."""
SPARE_S = 5.0
LONGEST_RUN_S = 3600.0
"""For how long a task that is under way is kept from others: after that it is held to hang."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Periodic:
    """A task and how often it is done; `run` may be repeated at any time without harm.

    Attributes
    ----------
    is_shared
        Whether processes may do it at the same time, because it divides the work itself: nothing is written for its turn.
    """

    name: str
    every_s: float
    run: Callable[[Hub, datetime], object]
    is_shared: bool = False


def run_if_due(hub: Hub, task: Periodic, *, runner: str, lease_s: float = LEASE_S) -> bool:
    """Run a task where it is due and nobody else is at it; what it raises is kept in its row. Returns whether it ran.

    A shared task is run at once: its caller sees to the time.
    """
    if task.is_shared:
        task.run(hub, datetime.now(UTC))
        return True
    if not _claim(hub, task, runner, lease_s):
        return False
    error = ""
    try:
        with _kept(hub, task, runner, lease_s):
            task.run(hub, datetime.now(UTC))
    except AIHubError as failure:
        error = str(failure)
    except Exception as failure:  # noqa: BLE001 - the border of a task: the others go on, and this one is tried again
        error = f"{type(failure).__name__}: {failure}"
        _LOG.exception("periodic task %s failed", task.name)
    with write(hub.engine, tenant=EVERY_TENANT) as connection:
        connection.execute(
            sa.update(periodics)
            .where(periodics.c.name == task.name, periodics.c.runner == runner)
            .values(
                runner=None,
                lease_until=None,
                last_at=clock.now(connection),
                next_at=clock.ahead(connection, task.every_s),
                last_error=error[:2000],
            )
        )
    return True


@contextmanager
def _kept(hub: Hub, task: Periodic, runner: str, lease_s: float) -> Iterator[None]:
    """Renew the lease while the block runs."""
    over = threading.Event()
    began = monotonic()

    def renew() -> None:
        while not over.wait(lease_s / 3) and monotonic() - began < LONGEST_RUN_S:
            try:
                with write(hub.engine, tenant=EVERY_TENANT) as connection:
                    mine = (periodics.c.name == task.name) & (periodics.c.runner == runner)
                    until = clock.ahead(connection, lease_s)
                    connection.execute(sa.update(periodics).where(mine).values(lease_until=until))
            except AIHubError as failure:
                _LOG.warning("the lease of %s is not renewed: %s", task.name, failure)

    thread = threading.Thread(target=renew, name=f"{task.name}-lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _claim(hub: Hub, task: Periodic, runner: str, lease_s: float) -> bool:
    with read(hub.engine, tenant=EVERY_TENANT) as connection:
        known = connection.execute(_mine(task)).first() is not None
        due = not known or connection.execute(_mine(task).where(_is_due(connection, task))).first()
    if not due:
        return False
    with write(hub.engine, tenant=EVERY_TENANT) as connection:
        if not known:
            row = {"name": task.name, "next_at": datetime(2000, 1, 1, tzinfo=UTC)}
            insert_unless_there(connection, periodics, row)
        done = connection.execute(
            sa.update(periodics)
            .where(periodics.c.name == task.name, _is_due(connection, task))
            .values(runner=runner, lease_until=clock.ahead(connection, lease_s))
        )
        return bool(done.rowcount)


def _mine(task: Periodic) -> sa.Select[tuple[str]]:
    return sa.select(periodics.c.name).where(periodics.c.name == task.name)


def _is_due(connection: Connection, task: Periodic) -> sa.ColumnElement[bool]:
    def is_over(column: sa.Column[datetime], longest_s: float) -> sa.ColumnElement[bool]:
        # What lies further ahead than it ever is put was written before the clock was put back.
        return (column <= clock.now(connection)) | (column > clock.ahead(connection, longest_s + SPARE_S))

    free = periodics.c.lease_until.is_(None) | is_over(periodics.c.lease_until, LEASE_S)
    return is_over(periodics.c.next_at, task.every_s) & free
