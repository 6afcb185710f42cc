"""Which job is next: fair between tenants, in order of priority within one.

First comes the tenant with the fewest running jobs, then the one that was served longest ago. Only then its own
priorities and the age of its jobs count, so that 10,000 jobs of one tenant, however urgent, delay the first job of another
by one running job at most.

Workers claim beside each other, each what the others have not locked. Only where a tenant comes near the number of
jobs that it may run are claims made one at a time, so that the limit holds exactly: a claim counts for the others when it
is on the disk, which takes longer than everything else about it.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from aihub.delivery.lease import LEASE_S, Lease
from aihub.delivery.policy import TenantRules
from aihub.store import clock
from aihub.store.access_tables import tenants
from aihub.store.engine_tables import queue_turns
from aihub.store.job_tables import jobs
from aihub.store.models import insert_unless_there

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection

RULES_FOR_S = 2.0
"""How long a tenant's limits are believed before they are read again."""
_CLAIM_LOCK = 0x6169686A
# Written out: a parameter would keep the partial indexes from being used. The recursion steps from tenant to tenant
# through the index, so that 10,000 queued jobs of one tenant cost no more than one. The order is the whole key of the index:
# min() is worked out row by row where the planner believes that there are few.
_STANDINGS = """
    WITH RECURSIVE waiting AS (
        SELECT (SELECT tenant_id FROM jobs WHERE state = 'queued' AND queue = :queue
                ORDER BY queue, tenant_id, priority, id LIMIT 1) AS tenant_id
        UNION ALL
        SELECT (SELECT tenant_id FROM jobs WHERE state = 'queued' AND queue = :queue
                  AND tenant_id > waiting.tenant_id
                ORDER BY queue, tenant_id, priority, id LIMIT 1)
        FROM waiting WHERE waiting.tenant_id IS NOT NULL
    ), busy AS (
        SELECT tenant_id, count(*) AS jobs FROM jobs WHERE state = 'running' GROUP BY tenant_id
    )
    SELECT waiting.tenant_id AS tenant, coalesce(busy.jobs, 0) AS running, coalesce(queue_turns.turn, 0) AS turn,
           (SELECT coalesce(max(turn), 0) FROM queue_turns WHERE queue = :queue) AS latest,
           (SELECT coalesce(sum(concurrency), 0) FROM workers) AS fleet
    FROM waiting
    LEFT JOIN busy ON busy.tenant_id = waiting.tenant_id
    LEFT JOIN queue_turns ON queue_turns.queue = :queue AND queue_turns.tenant_id = waiting.tenant_id
    WHERE waiting.tenant_id IS NOT NULL
"""


@dataclass(frozen=True)
class Standing:
    """A tenant that has queued jobs: how many of its jobs run, when its last turn was, and how many may run."""

    tenant: str
    running: int
    turn: int
    limit: int


@dataclass(frozen=True)
class Field:
    """Who waits in a queue, the turn that was the latest of all, and how many jobs all workers can run."""

    standings: tuple[Standing, ...]
    latest: int
    fleet: int

    def is_tight(self, slots: int) -> bool:
        """Whether claims beside each other could take a tenant beyond its limit.

        What others are taking is not seen before it is committed, but it is never more than all workers can run.
        Twice that leaves room for workers that are just starting.

        >>> Field((Standing("a", 3, 1, 40),), 1, 16).is_tight(2), Field((Standing("a", 5, 1, 40),), 1, 16).is_tight(2)
        (False, True)
        """
        most = 2 * (self.fleet + slots)
        return any(one.running < one.limit < one.running + most for one in self.standings)


def share(standings: Sequence[Standing], slots: int, *, latest: int) -> list[str]:
    """Return whose job takes each of the free slots, in order; pure.

    >>> share([Standing("a", 3, 9, 9), Standing("b", 0, 8, 9), Standing("c", 1, 0, 1)], 4, latest=9)
    ['b', 'b', 'b', 'a']
    """
    heap = [(s.running, s.turn, s.tenant, s.limit) for s in standings if s.running < s.limit]
    heapq.heapify(heap)
    turns: list[str] = []
    while heap and len(turns) < slots:
        running, _, tenant, limit = heapq.heappop(heap)
        turns.append(tenant)
        if running + 1 < limit:
            heapq.heappush(heap, (running + 1, latest + len(turns), tenant, limit))
    return turns


@dataclass
class Queue:
    """Claims jobs for one worker."""

    worker: str
    queues: tuple[str, ...]
    lease_s: float = LEASE_S
    _rules: dict[str, int] = field(default_factory=dict)
    _rules_read: float = float("-inf")
    _is_alone: bool = False

    def has_due(self, connection: Connection) -> bool:
        """Whether there may be something to claim. Reads only: this is what an idle worker asks on SQLite."""
        query = sa.select(jobs.c.id).where(
            sa.text("state = 'queued'"),
            jobs.c.queue.in_(self.queues),
            _is_due(clock.now(connection)),
        )
        return connection.execute(query.limit(1)).first() is not None

    def claim(self, connection: Connection, slots: int) -> list[Lease]:
        """Take up to `slots` jobs, the fairest first; writes their leases and the turns of their tenants."""
        claimed: list[Lease] = []
        # SQLite lets one transaction write at a time.
        self._is_alone = connection.dialect.name == "sqlite"
        for queue in self.queues:
            while len(claimed) < slots:
                found = self._claim_round(connection, queue, slots - len(claimed), may_wait=not claimed)
                claimed += found
                if not found:
                    break
        return claimed

    def _claim_round(self, connection: Connection, queue: str, slots: int, *, may_wait: bool) -> list[Lease]:
        """Claim for the tenants whose turn it is; fewer than `slots` where one has less queued than its share."""
        found = self._field(connection, queue)
        if not self._is_alone and found.is_tight(slots):
            if not may_wait:
                # With rows locked already, waiting for others might be waiting for each other.
                return []
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _CLAIM_LOCK})
            self._is_alone = True
            found = self._field(connection, queue)
        standings = list(found.standings)
        while standings:
            turns = share(standings, slots, latest=found.latest)
            if not turns:
                return []
            leases = self._take(connection, queue, turns)
            if leases:
                _write_turns(connection, queue, leases, found)
                return leases
            # All that these tenants have queued is not due yet, or in other hands; the next ones are asked.
            standings = [standing for standing in standings if standing.tenant not in turns]
        return []

    def _field(self, connection: Connection, queue: str) -> Field:
        rows = connection.execute(sa.text(_STANDINGS), {"queue": queue}).all()
        if rows and monotonic() - self._rules_read > RULES_FOR_S:
            rules = connection.execute(sa.select(tenants.c.tenant_id, tenants.c.rules))
            self._rules = {row.tenant_id: _limit(row.rules) for row in rules}
            self._rules_read = monotonic()
        usual = TenantRules().max_running_jobs
        standings = tuple(
            Standing(row.tenant, row.running, row.turn, self._rules.get(row.tenant, usual)) for row in rows
        )
        return Field(standings, rows[0].latest, int(rows[0].fleet)) if rows else Field((), 0, 0)

    def _take(self, connection: Connection, queue: str, turns: Sequence[str]) -> list[Lease]:
        """Take the first jobs of the tenants that nobody else is taking, in the order of the turns; one round trip."""
        first = _first_jobs(queue, Counter(turns), clock.now(connection)).cte("first_jobs")
        statement = (
            sa.update(jobs)
            .where(jobs.c.id.in_(sa.select(first.c.id)), jobs.c.state == "queued")
            .values(
                state="running",
                worker=self.worker,
                attempts=jobs.c.attempts + 1,
                claims=jobs.c.claims + 1,
                lease_token=jobs.c.lease_token + 1,
                lease_until=clock.ahead(connection, self.lease_s),
                started_at=sa.func.coalesce(jobs.c.started_at, clock.now(connection)),
            )
            .returning(jobs)
        )
        taken: dict[str, deque[Lease]] = defaultdict(deque)
        rows = connection.execute(statement).mappings().all()
        for row in sorted(rows, key=lambda row: (row["priority"], row["id"])):
            taken[row["tenant_id"]].append(Lease.from_row(row))
        return [taken[tenant].popleft() for tenant in turns if taken[tenant]]


def _is_due(now: sa.ColumnElement[datetime]) -> sa.ColumnElement[bool]:
    # What was never put off is due whatever the clocks say: the submitter's may be ahead of the database's, or put back.
    return (jobs.c.run_after <= now) | (jobs.c.run_after <= jobs.c.created_at)


def _first_jobs(
    queue: str, counts: Mapping[str, int], now: sa.ColumnElement[datetime]
) -> sa.Select[Any] | sa.CompoundSelect[Any]:
    parts = [
        sa.select(
            sa.select(jobs.c.id)
            .where(
                sa.text("state = 'queued'"),
                jobs.c.queue == queue,
                jobs.c.tenant_id == tenant,
                _is_due(now),
            )
            .order_by(jobs.c.priority, jobs.c.id)
            .limit(count)
            .with_for_update(skip_locked=True)
            .subquery()
        )
        for tenant, count in counts.items()
    ]
    return parts[0] if len(parts) == 1 else sa.union_all(*parts)


def _write_turns(connection: Connection, queue: str, leases: Sequence[Lease], found: Field) -> None:
    """Note who was served; nothing where it is the one who was served last."""
    turns = {lease.tenant: found.latest + number for number, lease in enumerate(leases, 1)}
    before = {standing.tenant: standing.turn for standing in found.standings}
    if len(turns) == 1 and before[leases[0].tenant] == found.latest > 0:
        return
    known = {tenant: turn for tenant, turn in sorted(turns.items()) if before[tenant]}
    if known:
        # Where another worker is serving the same tenant, it is noting that; to wait for it would be to wait for its disk.
        free = (
            sa.select(queue_turns.c.tenant_id)
            .where(queue_turns.c.queue == queue, queue_turns.c.tenant_id.in_(known))
            .with_for_update(skip_locked=True)
        )
        connection.execute(
            sa.update(queue_turns)
            .where(queue_turns.c.queue == queue, queue_turns.c.tenant_id.in_(free))
            .values(turn=sa.case(known, value=queue_turns.c.tenant_id))
        )
    for tenant, turn in sorted(turns.items()):
        if tenant not in known:
            insert_unless_there(connection, queue_turns, {"queue": queue, "tenant_id": tenant, "turn": turn})


def _limit(rules: Mapping[str, Any]) -> int:
    return int(rules.get("max_running_jobs", TenantRules().max_running_jobs))
