"""Which job is next: fair between tenants, in order of priority within one.

First comes the tenant with the fewest running jobs, then the one that was served longest ago. Only then its own
priorities and the age of its jobs count, so that 10,000 jobs of one tenant, however urgent, delay the first job of another
by one running job at most. Claims are made one at a time, so that a tenant's limit holds exactly.
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

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
    SELECT waiting.tenant_id AS tenant, coalesce(busy.jobs, 0) AS running, coalesce(queue_turns.turn, 0) AS turn
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


def share(standings: Sequence[Standing], slots: int) -> list[str]:
    """Return whose job takes each of the free slots, in order; pure.

    >>> share([Standing("a", 3, 9, 9), Standing("b", 0, 8, 9), Standing("c", 1, 0, 1)], 4)
    ['b', 'b', 'b', 'a']
    """
    latest = max((standing.turn for standing in standings), default=0)
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

    def has_due(self, connection: Connection) -> bool:
        """Whether there may be something to claim. Reads only: this is what an idle worker asks on SQLite."""
        query = sa.select(jobs.c.id).where(
            sa.text("state = 'queued'"),
            jobs.c.queue.in_(self.queues),
            jobs.c.run_after <= clock.now(connection),
        )
        return connection.execute(query.limit(1)).first() is not None

    def claim(self, connection: Connection, slots: int) -> list[Lease]:
        """Take up to `slots` jobs, the fairest first; writes their leases and the turns of their tenants."""
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _CLAIM_LOCK})
        claimed: list[Lease] = []
        for queue in self.queues:
            while len(claimed) < slots:
                found = self._claim_round(connection, queue, slots - len(claimed))
                claimed += found
                if not found:
                    break
        return claimed

    def _claim_round(self, connection: Connection, queue: str, slots: int) -> list[Lease]:
        """Claim for the tenants whose turn it is; fewer than `slots` where one has less queued than its share."""
        standings = self._standings(connection, queue)
        while standings:
            turns = share(standings, slots)
            if not turns:
                return []
            heads = _heads(connection, queue, turns)
            if heads:
                break
            # All that these tenants have queued is not due yet; the next ones are asked.
            standings = [standing for standing in standings if standing.tenant not in turns]
        else:
            return []
        leases = self._take(connection, heads)
        if leases:
            _write_turns(connection, queue, leases, max(standing.turn for standing in standings))
        return leases

    def _standings(self, connection: Connection, queue: str) -> list[Standing]:
        rows = connection.execute(sa.text(_STANDINGS), {"queue": queue}).all()
        if rows and monotonic() - self._rules_read > RULES_FOR_S:
            found = connection.execute(sa.select(tenants.c.tenant_id, tenants.c.rules))
            self._rules = {row.tenant_id: _limit(row.rules) for row in found}
            self._rules_read = monotonic()
        usual = TenantRules().max_running_jobs
        return [
            Standing(row.tenant, row.running, row.turn, self._rules.get(row.tenant, usual)) for row in rows
        ]

    def _take(self, connection: Connection, ids: list[int]) -> list[Lease]:
        statement = (
            sa.update(jobs)
            .where(jobs.c.id.in_(ids), jobs.c.state == "queued")
            .values(
                state="running",
                worker=self.worker,
                attempts=jobs.c.attempts + 1,
                lease_token=jobs.c.lease_token + 1,
                lease_until=clock.ahead(connection, self.lease_s),
                started_at=sa.func.coalesce(jobs.c.started_at, clock.now(connection)),
            )
            .returning(jobs)
        )
        taken = {row["id"]: Lease.from_row(row) for row in connection.execute(statement).mappings()}
        return [taken[number] for number in ids if number in taken]


def _heads(connection: Connection, queue: str, turns: Sequence[str]) -> list[int]:
    """Return the first jobs of the tenants in the order of their turns; one round trip."""
    due = clock.now(connection)
    parts = [
        sa.select(
            sa.select(jobs.c.id, jobs.c.tenant_id)
            .where(
                sa.text("state = 'queued'"),
                jobs.c.queue == queue,
                jobs.c.tenant_id == tenant,
                jobs.c.run_after <= due,
            )
            .order_by(jobs.c.priority, jobs.c.id)
            .limit(count)
            .subquery()
        )
        for tenant, count in Counter(turns).items()
    ]
    heads: dict[str, deque[int]] = defaultdict(deque)
    for row in connection.execute(parts[0] if len(parts) == 1 else sa.union_all(*parts)):
        heads[row.tenant_id].append(row.id)
    return [heads[tenant].popleft() for tenant in turns if heads[tenant]]


def _write_turns(connection: Connection, queue: str, leases: Sequence[Lease], latest: int) -> None:
    from sqlalchemy.dialects import postgresql, sqlite

    turns = {lease.tenant: latest + number for number, lease in enumerate(leases, 1)}
    rows = [{"queue": queue, "tenant_id": tenant, "turn": turn} for tenant, turn in sorted(turns.items())]
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(queue_turns)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["queue", "tenant_id"], set_={"turn": statement.excluded.turn}
        ),
        rows,
    )


def _limit(rules: Mapping[str, Any]) -> int:
    return int(rules.get("max_running_jobs", TenantRules().max_running_jobs))
