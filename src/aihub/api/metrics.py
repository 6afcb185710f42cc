"""What Prometheus reads: requests as they are counted here, queues and workers as the database has them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from aihub.store.engine import EVERY_TENANT, read
from aihub.store.job_tables import approvals, jobs, workers
from aihub.store.tables import outbox

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.engine import Connection, Engine

_TENANT = re.compile(rb'[{,]tenant="((?:[^"\\]|\\.)*)"')
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
WORKER_SILENT_S = 60.0
"""A worker that was not seen for so long counts as gone."""


class Metrics:
    """Metrics of one process; `registry` takes those of other parts too."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "aihub_http_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self.durations = Histogram(
            "aihub_http_request_seconds",
            "Time to answer.",
            ["method", "route"],
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        self.jobs = Gauge("aihub_jobs", "Active jobs.", ["queue", "state"], registry=self.registry)
        self.approvals = Gauge("aihub_approvals_pending", "Approvals that wait.", registry=self.registry)
        self.outbox = Gauge(
            "aihub_outbox_pending", "Effects outside that are still to come.", registry=self.registry
        )
        self.workers = Gauge("aihub_workers", "Workers seen within the last minute.", registry=self.registry)

    def observe(self, method: str, route: str, status: int, took_s: float) -> None:
        """Count one request."""
        self.requests.labels(method, route, str(status or 499)).inc()
        self.durations.labels(method, route).observe(took_s)

    def scrape(self, engine: Engine, now: datetime, *, tenant: str | None) -> bytes:
        """Return metrics as text; asks the database for those that are its.

        Parameters
        ----------
        tenant
            Leaves out what is said of other tenants; None: everything.
        """
        with read(engine, tenant=EVERY_TENANT) as connection:
            self._read(connection, now)
        text = generate_latest(self.registry)
        return text if tenant is None else _of_tenant(text, tenant)

    def _read(self, connection: Connection, now: datetime) -> None:
        self.jobs.clear()
        active = (
            sa.select(jobs.c.queue, jobs.c.state, sa.func.count())
            .where(jobs.c.state.in_(("queued", "running", "waiting")))
            .group_by(jobs.c.queue, jobs.c.state)
        )
        for queue, state, count in connection.execute(active):
            self.jobs.labels(queue, state).set(count)
        self.approvals.set(_count(connection, approvals, approvals.c.state == "pending"))
        self.outbox.set(_count(connection, outbox, outbox.c.done_at.is_(None)))
        self.workers.set(live_workers(connection, now))


def _of_tenant(text: bytes, tenant: str) -> bytes:
    own = tenant.encode()
    lines = text.splitlines(keepends=True)
    return b"".join(line for line in lines if (named := _TENANT.search(line)) is None or named[1] == own)


def live_workers(connection: Connection, now: datetime) -> int:
    """Count the workers that were seen lately."""
    return _count(connection, workers, workers.c.seen_at > now - timedelta(seconds=WORKER_SILENT_S))


def _count(connection: Connection, table: sa.Table, where: sa.ColumnElement[bool]) -> int:
    return connection.scalar(sa.select(sa.func.count()).select_from(table).where(where)) or 0
