"""Procrastinate on the same PostgreSQL: no-op jobs, one worker process, timed by the database's own events."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import procrastinate
import psycopg


async def run(url: str, count: int, concurrency: int) -> dict[str, Any]:
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url))

    async def noop(number: int) -> None:
        del number

    task = app.task(noop, name=f"noop_{concurrency}", queue=f"q{concurrency}")
    async with app.open_async():
        if not await app.check_connection_async():
            await app.schema_manager.apply_schema_async()
        with psycopg.connect(url) as connection:
            before = connection.execute("SELECT coalesce(max(id), 0) FROM procrastinate_jobs").fetchone()
        assert before is not None
        await task.batch_defer_async(*({"number": number} for number in range(count)))
        started = time.perf_counter()
        await app.run_worker_async(
            queues=[f"q{concurrency}"], concurrency=concurrency, wait=False, install_signal_handlers=False
        )
        elapsed = time.perf_counter() - started
    with psycopg.connect(url) as connection:
        done = connection.execute(
            "SELECT count(*) FROM procrastinate_jobs WHERE queue_name = %s AND status = 'succeeded' AND id > %s",
            (f"q{concurrency}", before[0]),
        ).fetchone()
    assert done is not None
    assert done[0] == count, f"{done[0]} of {count} jobs are done"
    return {"per_s": count / elapsed}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))))
