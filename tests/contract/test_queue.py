"""Claims, leases, fencing and fairness, on every database."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from aihub.delivery import jobs, lease
from aihub.delivery.jobs import JobState
from aihub.delivery.queue import Queue
from aihub.store.access_tables import tenants
from aihub.store.engine import EVERY_TENANT, read, write
from aihub.store.job_tables import jobs as rows
from aihub.store.job_tables import workers
from deliveries import AUDIT, NOW, enqueue, identity

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from aihub.delivery.lease import Lease

DEFAULT = ("default",)


def claim(database: Engine, slots: int, worker: str = "w1") -> list[Lease]:
    with write(database, tenant=EVERY_TENANT) as connection:
        return Queue(worker, DEFAULT).claim(connection, slots)


def complete(database: Engine, *leases: Lease) -> None:
    with write(database, tenant=EVERY_TENANT) as connection:
        lease.complete_all(connection, leases, now=NOW)


def state_of(database: Engine, uid: str, tenant: str = "default") -> jobs.Job:
    with read(database, tenant=tenant) as connection:
        return jobs.get(connection, uid, tenant=tenant)


def reap(database: Engine) -> list[str]:
    with write(database, tenant=EVERY_TENANT) as connection:
        return lease.reap(connection, now=NOW)


def expire(database: Engine) -> None:
    """Let the leases of all workers run out."""
    with write(database, tenant=EVERY_TENANT) as connection:
        past = datetime(2020, 1, 1, tzinfo=UTC)
        connection.execute(sa.update(rows).where(rows.c.state == "running").values(lease_until=past))


def allow(database: Engine, tenant: str, running: int) -> None:
    row = {"tenant_id": tenant, "created_by": "ann", "created_at": NOW, "is_active": True}
    with write(database, tenant=EVERY_TENANT) as connection:
        connection.execute(sa.insert(tenants).values(**row, rules={"max_running_jobs": running}))


def test_priority_then_age_within_a_tenant(database: Engine) -> None:
    (low,) = enqueue(database, "a", priority=jobs.Priority.LOW)
    (first,) = enqueue(database, "a", priority=jobs.Priority.HIGH)
    (second,) = enqueue(database, "a", priority=jobs.Priority.HIGH)
    assert [found.uid for found in claim(database, 3)] == [first.uid, second.uid, low.uid]


def test_ten_thousand_jobs_of_one_tenant_delay_another_by_one_running_job_at_most(database: Engine) -> None:
    allow(database, "greedy", 1000)
    (template,) = enqueue(database, "greedy", priority=jobs.Priority.HIGH)
    copied = ", ".join(
        column.name for column in rows.c if column.name not in ("id", "uid") and not column.computed
    )
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9999) "
    with write(database, tenant=EVERY_TENANT) as connection:
        copy = f"INSERT INTO jobs (uid, {copied}) {numbers}SELECT 'j' || i, {copied} FROM n, jobs WHERE uid = :uid"  # noqa: S608 - names of our columns
        connection.execute(sa.text(copy), {"uid": template.uid})
    running = claim(database, 2)
    assert {found.tenant for found in running} == {"greedy"}
    (late,) = enqueue(database, "modest", priority=jobs.Priority.LOW)
    complete(database, running[0])
    started = time.perf_counter()
    assert [found.uid for found in claim(database, 1)] == [late.uid]
    # A few milliseconds on a quiet machine; a claim that read each of the rows would take more than this.
    assert time.perf_counter() - started < 3.0


def test_the_tenant_that_was_served_longest_ago_is_next(database: Engine) -> None:
    for tenant in ("a", "b", "c"):
        enqueue(database, tenant, 2)
    served = []
    for _ in range(6):
        (found,) = claim(database, 1)
        served.append(found.tenant)
        complete(database, found)
    assert served == ["a", "b", "c"] * 2


def test_a_tenant_with_less_running_comes_first(database: Engine) -> None:
    enqueue(database, "a", 5)
    assert len(claim(database, 2)) == 2
    enqueue(database, "b", 5)
    assert [found.tenant for found in claim(database, 4)] == ["b", "b", "a", "b"]


def test_no_more_jobs_of_a_tenant_run_than_it_may(database: Engine) -> None:
    allow(database, "a", 2)
    enqueue(database, "a", 5)
    running = claim(database, 5)
    assert len(running) == 2
    assert claim(database, 5) == []
    complete(database, running[0])
    assert len(claim(database, 5)) == 1


def test_a_job_that_is_not_due_keeps_no_other_from_running(database: Engine) -> None:
    enqueue(database, "a", run_after=datetime.now(UTC) + timedelta(hours=1))
    (due,) = enqueue(database, "b")
    assert [found.uid for found in claim(database, 1)] == [due.uid]
    assert claim(database, 1) == []


def test_a_worker_takes_from_its_own_queues_only(database: Engine) -> None:
    enqueue(database, "a", queue="large")
    assert claim(database, 1) == []
    with write(database, tenant=EVERY_TENANT) as connection:
        assert len(Queue("w", ("default", "large")).claim(connection, 1)) == 1


def test_workers_that_claim_at_once_never_share_a_job(database: Engine) -> None:
    allow(database, "a", 1000)
    enqueue(database, "a", 60)
    taken: list[str] = []

    def work(name: str) -> None:
        while found := claim(database, 4, worker=name):
            taken.extend(one.uid for one in found)
            complete(database, *found)

    threads = [threading.Thread(target=work, args=(f"w{number}",)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(taken) == len(set(taken)) == 60


def test_claims_far_from_a_limit_do_not_wait_for_each_other(postgresql: Engine) -> None:
    allow(postgresql, "a", 1000)
    enqueue(postgresql, "a", 5)
    # The first time that a tenant is served has a row of its own.
    complete(postgresql, *claim(postgresql, 1))
    with write(postgresql, tenant=EVERY_TENANT) as connection:
        first = Queue("w1", DEFAULT).claim(connection, 2)
        # The other's claim is not committed; where the second waited for it, this would never end.
        second = claim(postgresql, 2, worker="w2")
    assert len({one.uid for one in (*first, *second)}) == 4


def test_claims_near_a_limit_are_made_one_at_a_time(postgresql: Engine) -> None:
    allow(postgresql, "a", 3)
    enqueue(postgresql, "a", 9)
    late: list[Lease] = []
    other = threading.Thread(target=lambda: late.extend(claim(postgresql, 2, worker="w2")))
    with write(postgresql, tenant=EVERY_TENANT) as connection:
        assert len(Queue("w1", DEFAULT).claim(connection, 2)) == 2
        other.start()
        other.join(0.3)
        assert other.is_alive()
    other.join(30)
    assert len(late) == 1


@pytest.mark.parametrize("limit", [5, 1000])
def test_a_limit_holds_whatever_workers_do_at_once(postgresql: Engine, limit: int) -> None:
    allow(postgresql, "a", limit)
    enqueue(postgresql, "a", 60)
    enqueue(postgresql, "b", 20)
    row = {"host": "h", "pid": 1, "queues": ["default"], "concurrency": 4, "started_at": NOW, "seen_at": NOW}
    with write(postgresql, tenant=EVERY_TENANT) as connection:
        connection.execute(sa.insert(workers), [{**row, "id": f"w{number}"} for number in range(4)])
    most: list[int] = []
    running = sa.select(sa.func.count()).where(rows.c.state == "running", rows.c.tenant_id == "a")

    def work(name: str) -> None:
        while found := claim(postgresql, 4, worker=name):
            with read(postgresql, tenant=EVERY_TENANT) as connection:
                most.append(connection.scalar(running) or 0)
            complete(postgresql, *found)

    threads = [threading.Thread(target=work, args=(f"w{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert 0 < max(most) <= min(limit, 16)


def test_a_lease_that_ran_out_is_taken_over_and_its_holder_is_fenced(database: Engine) -> None:
    enqueue(database, "default")
    (paused,) = claim(database, 1, worker="paused")
    assert reap(database) == []
    expire(database)
    assert reap(database) == [paused.uid]
    with pytest.raises(lease.LeaseLostError), write(database, tenant="default") as connection:
        lease.hold(connection, paused)
    (taken,) = claim(database, 1, worker="other")
    assert taken.token > paused.token
    complete(database, paused)
    with write(database, tenant="default") as connection:
        lease.renew(connection, [paused])
        assert lease.look(connection, [paused, taken]).lost == {paused}
        lease.hold(connection, taken)
    assert state_of(database, taken.uid).worker == "other"
    with read(database, tenant="default") as connection:
        lines = jobs.logs(connection, state_of(database, taken.uid))
    assert [line.message for line in lines] == ["worker paused was not heard of any more; another goes on"]


def test_a_lease_that_is_renewed_is_kept(database: Engine) -> None:
    enqueue(database, "default")
    (held,) = claim(database, 1)
    expire(database)
    with write(database, tenant=EVERY_TENANT) as connection:
        lease.renew(connection, [held])
    assert reap(database) == []


def test_a_job_that_kills_every_worker_fails_and_says_so(database: Engine) -> None:
    (job,) = enqueue(database, "default")
    for _ in range(lease.MAX_ATTEMPTS):
        assert len(claim(database, 1)) == 1
        expire(database)
        assert reap(database) == [job.uid]
    assert claim(database, 1) == []
    dead = state_of(database, job.uid)
    assert dead.state is JobState.FAILED
    assert dead.error is not None
    assert dead.error["code"] == "worker_died"
    assert "given up" in dead.error["message"]


def test_a_job_that_is_given_back_is_not_counted(database: Engine) -> None:
    enqueue(database, "default")
    (held,) = claim(database, 1)
    with write(database, tenant=EVERY_TENANT) as connection:
        lease.release(connection, [held])
    (again,) = claim(database, 1)
    assert (again.uid, again.attempts) == (held.uid, 1)


def test_a_cancelled_job_stops_at_its_next_write(database: Engine) -> None:
    enqueue(database, "default")
    (held,) = claim(database, 1)
    with write(database, tenant="default") as connection:
        jobs.cancel(connection, held.uid, identity=identity(), now=NOW, audit=AUDIT)
    with write(database, tenant="default") as connection:
        assert lease.look(connection, [held]).cancelled == {held}
        with pytest.raises(lease.CancelledError):
            lease.hold(connection, held)


def test_a_cancelled_job_of_a_dead_worker_is_cancelled(database: Engine) -> None:
    enqueue(database, "default")
    (held,) = claim(database, 1)
    with write(database, tenant="default") as connection:
        jobs.cancel(connection, held.uid, identity=identity(), now=NOW, audit=AUDIT)
    expire(database)
    assert reap(database) == [held.uid]
    assert state_of(database, held.uid).state is JobState.CANCELLED


def test_an_idle_worker_sees_whether_something_is_due(database: Engine) -> None:
    queue = Queue("w", DEFAULT)
    with read(database, tenant=EVERY_TENANT) as connection:
        assert not queue.has_due(connection)
    enqueue(database, "a")
    with read(database, tenant=EVERY_TENANT) as connection:
        assert queue.has_due(connection)


def put_back_clock(database: Engine) -> None:
    """Let an hour less have passed than every stored time says."""
    hour = timedelta(hours=1)
    with write(database, tenant=EVERY_TENANT) as connection:
        for row in connection.execute(sa.select(rows)).mappings().all():
            names = ("created_at", "run_after", "lease_until")
            later = {name: row[name] + hour for name in names if row[name] is not None}
            connection.execute(sa.update(rows).where(rows.c.id == row["id"]).values(later))


def test_a_job_is_due_at_once_though_the_clock_is_put_back_or_the_submitters_is_ahead(
    database: Engine,
) -> None:
    (ahead,) = enqueue(database, "default", now=datetime.now(UTC) + timedelta(minutes=5))
    put_back_clock(database)
    with read(database, tenant=EVERY_TENANT) as connection:
        assert Queue("w", DEFAULT).has_due(connection)
    assert [one.uid for one in claim(database, 1)] == [ahead.uid]


def test_leases_from_before_the_clock_was_put_back_are_cut_to_their_length(database: Engine) -> None:
    enqueue(database, "default", 2)
    alive, dead = claim(database, 2)
    put_back_clock(database)
    with read(database, tenant=EVERY_TENANT) as connection:
        assert lease.has_expired(connection)
    assert reap(database) == []
    with write(database, tenant=EVERY_TENANT) as connection:
        assert not lease.has_expired(connection)
        until = connection.scalar(sa.select(rows.c.lease_until).where(rows.c.id == dead.job_id))
        assert until is not None
        assert until < datetime.now(UTC) + timedelta(seconds=lease.LEASE_S + 5)
        lease.hold(connection, alive)
