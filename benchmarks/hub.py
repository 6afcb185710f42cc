"""What the hub costs around the work: accepting, queueing, waiting, listing, and training through it.

    python benchmarks/hub.py [--quick] [--only PART ...] [--peer-python PATH]

Real processes on loopback, SQLite where it says so, a private PostgreSQL that syncs to disk elsewhere; one run, all parts
by themselves. The last line is one JSON object:

submit_p99_ms                POST /ai/training/jobs to 201 at 50 a second, `aihub serve` on SQLite, from the moment it was due
deliveries_vs_procrastinate  no-op jobs a second of one `aihub worker` over those of one Procrastinate worker (its better
                             of concurrency 1 and 16) on the same PostgreSQL
two_workers_vs_one           the same with two worker processes over one
waiting_10k_mb               resident memory of a worker process beside 10,000 waiting approvals
waiting_10k_core_share       share of one core that it takes
overhead                     what submit to registered takes longer than the bare reading and training of the same rows in a
                             process of its own, over the latter (over ten seconds where it is shorter, as in a quick run);
                             both with their imports behind them, in turn, the median of the pairs
list_p99_ms                  slowest of the pages of versions and audit events, at 10,000 versions and 1,000,000 events
                             (50,000 in a quick run)
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ.setdefault(_name, "1")

import httpx  # noqa: E402 - the number of threads is read when a library is loaded
import sqlalchemy as sa  # noqa: E402 - as above

from aihub.delivery import jobs  # noqa: E402 - as above
from aihub.hub import Hub, opened  # noqa: E402 - as above
from aihub.settings import Settings  # noqa: E402 - as above
from aihub.store.access_tables import audit, tenants  # noqa: E402 - as above
from aihub.store.engine import write  # noqa: E402 - as above
from aihub.store.job_tables import approvals  # noqa: E402 - as above
from aihub.store.job_tables import jobs as job_table  # noqa: E402 - as above
from aihub.store.job_tables import workers as worker_table  # noqa: E402 - as above
from aihub.store.tables import models, versions  # noqa: E402 - as above

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from databases import private_server  # noqa: E402 - as above

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TENANT = "bench"
BIN = Path(sys.executable).parent
KEY = f"hub_{secrets.token_hex(8)}_{secrets.token_urlsafe(32)}"
CONCURRENCY = 16


@dataclass(frozen=True)
class Run:
    """Where a run puts its files, whether it is short, and which interpreter has the peer."""

    folder: Path
    quick: bool
    python: str


def settings(home: Path, database: str = "") -> Settings:
    return Settings(home=home, database_url=database, mlflow_tracking_uri="off")


def environment(given: Settings) -> dict[str, str]:
    return {
        **os.environ,
        "AIHUB_HOME": str(given.home),
        "AIHUB_DATABASE_URL": given.store_url,
        "AIHUB_MLFLOW_TRACKING_URI": "off",
        "AIHUB_BOOTSTRAP_KEY": KEY,
        "AIHUB_RATE_LIMIT_PER_S": "0",
        "AIHUB_LOG_LEVEL": "warning",
    }


@contextmanager
def process(given: Settings, *words: str, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run an `aihub` command beside us and end it."""
    with tempfile.TemporaryFile() as log:
        running = subprocess.Popen(
            [BIN / "aihub", *words], env={**environment(given), **more}, stdout=log, stderr=log
        )
        try:
            yield running
        finally:
            running.terminate()
            try:
                running.wait(30)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()
            if running.returncode not in (0, -15):
                log.seek(0)
                sys.stderr.write(log.read().decode(errors="replace")[-2000:])


@contextmanager
def server(given: Settings, command: str = "serve", **more: str) -> Iterator[httpx.Client]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    client = httpx.Client(
        base_url=f"http://127.0.0.1:{port}",
        headers={"Authorization": f"Bearer {KEY}", "X-AIHub-Tenant": TENANT},
        timeout=60,
    )
    with process(given, command, AIHUB_PORT=str(port), **more) as running, client:
        deadline = time.monotonic() + 60
        while True:
            try:
                if client.get("/health").status_code == 200:
                    break
            except httpx.TransportError:
                pass
            if running.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"aihub {command} did not start")
            time.sleep(0.02)
        yield client


def make_tenant(hub: Hub, **rules: Any) -> None:
    now = datetime.now(UTC)
    row = {"tenant_id": TENANT, "created_by": "bench", "created_at": now, "rules": rules, "is_active": True}
    with write(hub.engine, tenant="*") as connection:
        connection.execute(sa.insert(tenants).values(row))


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


BODY = {
    "tenant_id": TENANT,
    "model_type": "forecast",
    "config": {
        "model_type": "forecast",
        "algorithm": "lgbm",
        "hyperparameters": {"n_estimators": 100, "learning_rate": 0.1, "max_depth": 7},
        "features": ["temperature", "humidity"],
        "target": "load",
        "validation_split": 0.2,
    },
    "priority": "high",
}


def submit(run: Run) -> dict[str, float]:
    """Open loop: each request is due at its time, however long the ones before it took."""
    given = settings(run.folder / "submit")
    with opened(given) as hub:
        make_tenant(hub)
    data = run.folder / "submitted.csv"
    data.write_text("timestamp,temperature,humidity,load\n")
    body = {**BODY, "data": {"path": str(data)}}
    count, rate = (150, 50) if run.quick else (1500, 50)
    latencies: list[float] = []

    def one(client: httpx.Client, due: float) -> None:
        answer = client.post("/ai/training/jobs", json=body)
        assert answer.status_code == 201, answer.text
        latencies.append(time.perf_counter() - due)

    with server(given, AIHUB_DATA_ROOTS=str(run.folder)) as client:
        for _ in range(20):
            one(client, time.perf_counter())
        latencies.clear()
        start = time.perf_counter() + 0.1
        threads = []
        for number in range(count):
            due = start + number / rate
            time.sleep(max(0.0, due - time.perf_counter()))
            thread = threading.Thread(target=one, args=(client, due))
            thread.start()
            threads.append(thread)
        for thread in threads:
            thread.join()
    assert len(latencies) == count
    print(f"submit: {count} at {rate}/s: p50 {statistics.median(latencies) * 1e3:.1f} ms")
    return {"submit_p99_ms": percentile(latencies, 0.99) * 1e3}


def drain(given: Settings, count: int, workers: int) -> float:
    """Jobs a second from the first claim to the last end; the jobs come when all workers are ready."""
    words = ("worker", "--queues", "default", "--concurrency", str(CONCURRENCY))
    with opened(given) as hub, ExitStack() as running:
        with write(hub.engine, tenant="*") as connection:
            connection.execute(sa.delete(job_table))
        for _ in range(workers):
            running.enter_context(process(given, *words))
        await_count(hub, sa.select(sa.func.count()).select_from(worker_table), workers)
        # What a worker does once when it has started is behind it.
        time.sleep(1)
        now = datetime.now(UTC)
        with write(hub.engine, tenant=TENANT) as connection:
            for _ in range(count):
                jobs.enqueue(
                    connection, tenant=TENANT, kind="noop", payload={}, submitted_by="bench", now=now
                )
        done = job_table.c.state == "completed"
        await_count(hub, sa.select(sa.func.count()).where(done), count)
        times = sa.select(sa.func.min(job_table.c.started_at), sa.func.max(job_table.c.finished_at))
        with write(hub.engine, tenant="*") as connection:
            first, last = connection.execute(times.where(done)).one()
    return count / (last - first).total_seconds()


def await_count(hub: Hub, query: sa.Select[tuple[int]], count: int) -> None:
    deadline = time.monotonic() + 240
    while True:
        with write(hub.engine, tenant="*") as connection:
            found = connection.execute(query).scalar_one()
        if found == count:
            return
        assert time.monotonic() < deadline, f"{found} of {count}"
        time.sleep(0.2)


def deliveries(run: Run) -> dict[str, float]:
    count, rounds = (800, 1) if run.quick else (6000, 3)
    with private_server(is_durable=True) as url:
        given = settings(run.folder / "deliveries", url)
        with opened(given) as hub:
            make_tenant(hub, max_running_jobs=1000)
        ones, twos, peers = [], [], []
        for _ in range(rounds):
            ones.append(drain(given, count, 1))
            twos.append(drain(given, count, 2))
            peers.append(max(peer(run.python, url, count, concurrency) for concurrency in (1, CONCURRENCY)))
    print(f"deliveries/s: one worker {ones}, two {twos}, Procrastinate {peers}")
    return {
        "deliveries_vs_procrastinate": statistics.median(ones) / statistics.median(peers),
        "two_workers_vs_one": statistics.median(twos) / statistics.median(ones),
    }


def peer(python: str, url: str, count: int, concurrency: int) -> float:
    script = Path(__file__).with_name("_hub_peer.py")
    done = subprocess.run(
        [python, script, url, str(count), str(concurrency)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if done.returncode:
        raise RuntimeError(f"the peer failed: {done.stderr[-1500:]}")
    answer = json.loads(done.stdout.splitlines()[-1])
    return float(answer["per_s"])


def waiting(run: Run) -> dict[str, float]:
    """Run a worker beside 10,000 jobs that wait for a person."""
    given = settings(run.folder / "waiting")
    with opened(given) as hub:
        make_tenant(hub)
        fill_waiting(hub, 10_000)
    with process(given, "worker", "--concurrency", "4") as running:
        time.sleep(2)
        before = cpu_s(running.pid)
        period = 4 if run.quick else 60
        time.sleep(period)
        used = cpu_s(running.pid) - before
        memory = int(Path(f"/proc/{running.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return {"waiting_10k_mb": memory / 1e6, "waiting_10k_core_share": used / period}


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def fill_waiting(hub: Hub, count: int) -> None:
    now = datetime.now(UTC)
    fill_versions(hub, 1)
    with write(hub.engine, tenant=TENANT) as connection:
        model = connection.execute(sa.select(models.c.id)).scalar_one()
        first = fill_numbers(connection, model, range(2, count + 2), now)
        rows = [
            {
                "tenant_id": TENANT, "uid": f"job_{number:08d}", "kind": "train", "queue": "default", "priority": 50,
                "state": "waiting", "payload": {}, "submitted_by": "bench", "created_at": now, "run_after": now,
            }
            for number in range(count)
        ]  # fmt: skip
        connection.execute(sa.insert(job_table), rows)
        numbers = list(connection.scalars(sa.select(job_table.c.id).order_by(job_table.c.id)))
        rows = [
            {
                "tenant_id": TENANT, "uid": f"apr_{number:08d}", "job_id": job, "model_id": model, "version_id": version,
                "environment": "production", "artifact_digest": "0" * 64, "report_digest": None, "expected_sequence": 0,
                "rule": {}, "state": "pending", "requested_by": "bench", "created_at": now,
                "expires_at": now + timedelta(days=3),
            }
            for number, (job, version) in enumerate(zip(numbers, first, strict=True))
        ]  # fmt: skip
        connection.execute(sa.insert(approvals), rows)


def fill_versions(hub: Hub, count: int) -> None:
    now = datetime.now(UTC)
    with write(hub.engine, tenant=TENANT) as connection:
        connection.execute(sa.insert(models).values(tenant_id=TENANT, name="load", created_at=now))
        model = connection.execute(sa.select(models.c.id)).scalar_one()
        fill_numbers(connection, model, range(1, count + 1), now)


def fill_numbers(connection: Any, model: int, numbers: range, now: datetime) -> list[int]:
    config = {"model_type": "forecast", "algorithm": "lgbm", "features": ["temperature"], "target": "load"}
    lineage = {
        "config": config, "data": {"sha256": "0" * 64, "rows": 10_000}, "seed": 42, "requested_by": "bench",
        "created_at": now.isoformat(), "git_commit": None, "git_dirty": None, "packages": {}, "config_hash": "",
    }  # fmt: skip
    rows = [
        {
            "tenant_id": TENANT, "uid": f"{number:032x}", "model_id": model, "number": number, "major": 1, "minor": 0,
            "patch": number, "git_commit": f"{number:040x}", "status": "candidate", "digest": "0" * 64,
            "size_bytes": 1_000_000, "kind": "forecast/1", "lineage": lineage,
            "metrics": {"mae": 40.0, "rmse": 55.0, "mape": 4.0}, "notes": [], "created_by": "bench", "created_at": now,
        }
        for number in numbers
    ]  # fmt: skip
    connection.execute(sa.insert(versions), rows)
    query = sa.select(versions.c.id).where(versions.c.number >= numbers.start).order_by(versions.c.number)
    return list(connection.scalars(query))


def lists(run: Run) -> dict[str, float]:
    """Ask for pages of long lists, first and deep, one after the other."""
    given = settings(run.folder / "lists")
    events = 50_000 if run.quick else 1_000_000
    with opened(given) as hub:
        make_tenant(hub)
        fill_versions(hub, 10_000)
        fill_audit(hub, events)
    # A p99 of 40 would be the slowest of them.
    rounds = 50 if run.quick else 1000
    # What this process has loaded is not looked through for garbage while the server is timed.
    gc.freeze()
    worst: dict[str, float] = {}
    with server(given) as client:
        for path in (
            "/models", "/models/load/versions", "/models/load/versions/9999", "/models/load/deployments", "/audit",
            "/audit?action=model.deployed", "/audit?subject=model:load", "/ai/training/jobs", "/approvals",
        ):  # fmt: skip
            page, times = path, []
            for _ in range(rounds):
                start = time.perf_counter()
                answer = client.get(page)
                times.append(time.perf_counter() - start)
                assert answer.status_code == 200, answer.text
                cursor = answer.json().get("next")
                glue = "&" if "?" in path else "?"
                page = f"{path}{glue}cursor={cursor}" if cursor else path
            worst[path] = percentile(times, 0.99) * 1e3
    print("list p99 ms:", {path: round(value, 1) for path, value in worst.items()})
    return {"list_p99_ms": max(worst.values())}


def fill_audit(hub: Hub, count: int) -> None:
    """Write a chain of events in large batches; the hashes are true ones."""
    now, previous, batch = datetime.now(UTC), "0" * 64, []
    with write(hub.engine, tenant=TENANT) as connection:
        for number in range(1, count + 1):
            row = {
                "tenant_id": TENANT, "sequence": number, "at": now, "actor": "bench",
                "action": "model.deployed" if number % 100 == 0 else "version.registered",
                "subject": f"model:load{'' if number % 10 == 0 else number % 7}", "before": None,
                "after": {"version": number}, "reason": "", "source": "bench",
            }  # fmt: skip
            signed = hub.audit.hash_of(previous, row)
            batch.append({**row, "previous_hash": previous, "hash": signed})
            previous = signed
            if len(batch) == 20_000 or number == count:
                connection.execute(sa.insert(audit), batch)
                batch = []


TEN_S = 10.0
BARE = """
import json, sys
from pathlib import Path
from aihub.delivery.child import _preload
_preload()
from aihub.training.config import TrainingConfig
from aihub.training.data import load
from aihub.training.trainer import train
print("ready", flush=True)
config = TrainingConfig.model_validate(json.loads(sys.stdin.readline()))
train(config, load(Path(sys.argv[1]), config))
print("trained", flush=True)
"""


def overhead(run: Run) -> dict[str, float]:
    """Train the same rows with the same configuration, bare and through the hub, in turn.

    Both have their imports behind them when the clock starts: the hub keeps a child ready while there is work.
    """
    from aihub.training.synthetic import generate_forecast_data  # noqa: PLC0415 - one part of several

    data = run.folder / "load.csv"
    generate_forecast_data(26_000, seed=7).write_csv(data)
    trees = 90 if run.quick else 300
    config: dict[str, Any] = {
        **BODY["config"],  # type: ignore[dict-item]
        "hyperparameters": {"n_estimators": trees, "learning_rate": 0.03},
    }
    small = {**config, "hyperparameters": {"n_estimators": 1}}
    bares, hubs = [], []
    given = settings(run.folder / "overhead")
    with opened(given) as hub:
        make_tenant(hub)
    with server(given, "up", AIHUB_DATA_ROOTS=str(run.folder)) as client:
        through_hub(client, "first", small, data)
        for turn in range(1 if run.quick else 5):
            # A child is made ready within a few seconds behind a job, and is so for ten minutes.
            time.sleep(3)
            hubs.append(through_hub(client, f"load{turn}", config, data))
            time.sleep(3)
            bares.append(bare(config, data))
    ratios = [(hubs_s - bare_s) / max(bare_s, TEN_S) for hubs_s, bare_s in zip(hubs, bares, strict=True)]
    print(f"training: bare {bares} s, through the hub {hubs} s, overheads {ratios}")
    return {"overhead": statistics.median(ratios)}


def bare(config: dict[str, Any], data: Path) -> float:
    """Seconds from the order to the end of a training in a process that waits for it."""
    with subprocess.Popen(
        [sys.executable, "-c", BARE, data], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        start = time.perf_counter()
        process.stdin.write(json.dumps(config) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "trained\n"
        return time.perf_counter() - start


def through_hub(client: httpx.Client, name: str, config: dict[str, Any], data: Path) -> float:
    """Seconds from the submission to the end of a job that trains, judges and registers."""
    body = {**BODY, "name": name, "config": config, "data": {"path": str(data)}, "environment": "none"}
    start = time.perf_counter()
    job = client.post("/ai/training/jobs", json=body).json()
    while True:
        state = client.get(f"/ai/training/jobs/{job['job_id']}").json()
        if state["status"] in ("completed", "failed", "cancelled"):
            break
        time.sleep(0.05)
    took = time.perf_counter() - start
    assert state["status"] == "completed", state
    return took


PARTS = {
    "submit": submit,
    "deliveries": deliveries,
    "waiting": waiting,
    "overhead": overhead,
    "lists": lists,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="under a minute, coarser figures")
    parser.add_argument("--only", nargs="*", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--peer-python", default=sys.executable, help="interpreter that has Procrastinate")
    given = parser.parse_args()
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="aihub-bench-") as folder:
        for name in given.only:
            found |= PARTS[name](Run(Path(folder), given.quick, given.peer_python))
    print(json.dumps({name: round(value, 4) for name, value in found.items()}))


if __name__ == "__main__":
    main()
