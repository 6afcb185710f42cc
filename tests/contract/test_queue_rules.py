"""Whatever tenants and workers do, in whatever order: the rules of the queue hold."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from aihub.delivery import jobs, lease
from aihub.delivery.queue import Queue
from aihub.store.access_tables import tenants
from aihub.store.engine import EVERY_TENANT, read, write
from aihub.store.job_tables import jobs as rows
from databases import sqlite_at
from deliveries import AUDIT, NOW, enqueue, identity

if TYPE_CHECKING:
    from aihub.delivery.lease import Lease

TENANTS = ("a", "b", "c")
LIMITS = {"a": 2, "b": 4, "c": 1}


class QueueRules(RuleBasedStateMachine):
    """A queue on SQLite beside a model of it in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.engine = sqlite_at(Path(self.folder.name) / "hub.db")
        with write(self.engine, tenant=EVERY_TENANT) as connection:
            for tenant in TENANTS:
                row = {"tenant_id": tenant, "created_by": "x", "created_at": NOW, "is_active": True}
                connection.execute(
                    sa.insert(tenants).values(**row, rules={"max_running_jobs": LIMITS[tenant]})
                )
        self.queued: dict[str, tuple[str, int, int]] = {}  # uid -> tenant, priority, id
        self.held: list[Lease] = []
        self.lost: list[Lease] = []
        self.over: set[str] = set()
        self.served: dict[str, int] = dict.fromkeys(TENANTS, 0)
        self.clock = 0

    def teardown(self) -> None:
        self.engine.dispose()
        self.folder.cleanup()

    def running(self, tenant: str) -> int:
        return sum(one.tenant == tenant for one in self.held)

    @rule(
        tenant=st.sampled_from(TENANTS),
        priority=st.sampled_from(list(jobs.Priority)),
        count=st.integers(1, 5),
    )
    def submit(self, tenant: str, priority: int, count: int) -> None:
        for job in enqueue(self.engine, tenant, count, priority=priority):
            self.queued[job.uid] = (tenant, priority, job.id)

    @rule(slots=st.integers(1, 6))
    def claim(self, slots: int) -> None:
        with write(self.engine, tenant=EVERY_TENANT) as connection:
            found = Queue("w", ("default",)).claim(connection, slots)
        for one in found:
            waiting = {t for t, _, _ in self.queued.values() if self.running(t) < LIMITS[t]}
            fairest = min(waiting, key=lambda t: (self.running(t), self.served[t]))
            assert (self.running(one.tenant), self.served[one.tenant]) == (
                self.running(fairest),
                self.served[fairest],
            )
            mine = {uid: rest for uid, rest in self.queued.items() if rest[0] == one.tenant}
            assert one.uid == min(mine, key=lambda uid: mine[uid][1:])
            del self.queued[one.uid]
            self.held.append(one)
            self.clock += 1
            self.served[one.tenant] = self.clock
        if len(found) < slots:
            assert not [t for t, _, _ in self.queued.values() if self.running(t) < LIMITS[t]]

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def complete(self, data: Any) -> None:
        one = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        with write(self.engine, tenant=EVERY_TENANT) as connection:
            lease.complete_all(connection, [one], now=NOW)
        self.over.add(one.uid)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def die(self, data: Any) -> None:
        """The worker of a job is not heard of any more, and the job is taken from it."""
        one = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        with write(self.engine, tenant=EVERY_TENANT) as connection:
            past = datetime(2020, 1, 1, tzinfo=UTC)
            connection.execute(sa.update(rows).where(rows.c.id == one.job_id).values(lease_until=past))
            assert lease.reap(connection, now=NOW) == [one.uid]
            row = connection.execute(sa.select(rows).where(rows.c.id == one.job_id)).mappings().one()
        self.lost.append(one)
        if row["state"] == "queued":
            self.queued[one.uid] = (one.tenant, row["priority"], one.job_id)
        else:
            assert one.attempts == lease.MAX_ATTEMPTS
            self.over.add(one.uid)

    @precondition(lambda self: self.lost)
    @rule()
    def wake_up(self) -> None:
        """Whoever lost a job tries to write all the same."""
        with write(self.engine, tenant=EVERY_TENANT) as connection:
            assert lease.complete_all(connection, self.lost, now=NOW) == []
            lease.release(connection, self.lost)

    @precondition(lambda self: self.queued)
    @rule(data=st.data())
    def cancel(self, data: Any) -> None:
        uid = data.draw(st.sampled_from(sorted(self.queued)))
        tenant = self.queued.pop(uid)[0]
        with write(self.engine, tenant=tenant) as connection:
            jobs.cancel(connection, uid, identity=identity(tenant), now=NOW, audit=AUDIT)
        self.over.add(uid)

    @invariant()
    def every_job_is_where_the_model_says(self) -> None:
        with read(self.engine, tenant=EVERY_TENANT) as connection:
            found = {row.uid: row.state for row in connection.execute(sa.select(rows.c.uid, rows.c.state))}
        assert {uid for uid, state in found.items() if state == "queued"} == set(self.queued)
        assert {uid for uid, state in found.items() if state == "running"} == {one.uid for one in self.held}
        assert all(found[uid] in ("completed", "cancelled", "failed") for uid in self.over)
        assert all(self.running(tenant) <= LIMITS[tenant] for tenant in TENANTS)


QueueRules.TestCase.settings = settings(max_examples=12, stateful_step_count=25, deadline=None)
TestQueueRules = QueueRules.TestCase
