"""Files of data without an owner, and fetches of jobs that are stopped, on every database."""

from __future__ import annotations

import os
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from aihub.delivery import datasets, fetching, jobs, sweeping
from aihub.delivery import lease as leases
from aihub.delivery.jobs import JobState
from aihub.delivery.queue import Queue
from aihub.delivery.sweeping import owner_of, sweep
from aihub.delivery.worker import Worker
from aihub.store.engine import EVERY_TENANT, write
from deliveries import enqueue, identity, job, request, wait_for
from hubs import made_hub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy.engine import Engine

    from aihub.hub import Hub

NOW = datetime.now(UTC)
CSV = b"timestamp,load\n2024-01-01,1\n"


@pytest.fixture
def hub(database: Engine, tmp_path: Path) -> Iterator[Hub]:
    given = {"data_hosts": "127.0.0.1", "data_private_hosts": "127.0.0.1"}
    with made_hub(database, tmp_path / "home", **given) as opened:
        yield opened


def table(hub: Hub, content: bytes, *, is_recorded: bool = False, days: float = 2) -> Path:
    with datasets.Intake(hub.settings, "t.csv") as intake:
        intake.write(content)
        stored = intake.finish()
    if is_recorded:
        with write(hub.engine, tenant="default") as connection:
            by: dict[str, Any] = {"actor": "ann", "now": NOW, "audit": hub.audit}
            datasets.record(connection, stored, tenant="default", name="t.csv", **by)
    return aged(stored.path, days)


def aged(path: Path, days: float) -> Path:
    at = (NOW - timedelta(days=days)).timestamp()
    os.utime(path, (at, at))
    return path


def test_tables_without_a_row_go_after_a_day_and_others_stay(hub: Hub) -> None:
    kept = [table(hub, CSV, is_recorded=True), table(hub, CSV + b"2024-01-02,2\n", days=0.5)]
    lost = [table(hub, CSV + b"2024-01-03,3\n")]
    for path, days in (
        (datasets.folder(hub.settings) / ".a.tmp", 2),
        (hub.settings.home / "uploads" / ".b.tmp", 2),
    ):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
        lost.append(aged(path, days))
    young = datasets.folder(hub.settings) / ".c.tmp"
    young.write_bytes(b"")
    assert sweep(hub, NOW) == 3
    assert [path for path in lost if path.exists()] == []
    assert [path for path in [*kept, young] if not path.exists()] == []
    assert sweep(hub, NOW) == 0


def test_a_sweep_that_was_killed_is_made_good_by_the_next(hub: Hub) -> None:
    known, unknown = table(hub, CSV, is_recorded=True), table(hub, CSV + b"2024-01-03,3\n")
    for path in (known, unknown):
        path.rename(f"{path}.aside")
    sweep(hub, NOW)
    assert known.read_bytes() == CSV
    assert list(unknown.parent.glob(f"{unknown.name}*")) == []


def test_a_table_that_comes_again_while_it_is_swept_stays(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    path = table(hub, CSV)
    looked_up, asked = sweeping._known, []

    def known(engine: Engine, digests: Any) -> set[str]:
        found = looked_up(engine, digests)
        if not asked:
            table(hub, CSV, is_recorded=True)
        asked.append(found)
        return found

    monkeypatch.setattr(sweeping, "_known", known)
    assert sweep(hub, NOW) == 0
    assert path.read_bytes() == CSV


def test_what_a_killed_run_has_fetched_goes_at_once_and_that_of_a_live_one_stays(hub: Hub) -> None:
    (one,) = enqueue(hub.engine, "default", kind="long")
    with write(hub.engine, tenant=EVERY_TENANT) as connection:
        (lease,) = Queue("w1", ("default",)).claim(connection, 1)
    folder = fetching.folder(hub.settings)
    folder.mkdir(parents=True)
    live, earlier = folder / f"{owner_of(lease)}.0a", folder / f"{one.uid}-0.0a"
    others = [earlier, folder / "job_none-1.0b", folder / "strange"]
    for path in (live, *others):
        path.write_bytes(b"")
    sweep(hub, NOW)
    assert list(folder.iterdir()) == [live]
    with write(hub.engine, tenant=EVERY_TENANT) as connection:
        leases.end(connection, lease, JobState.COMPLETED, now=NOW)
    sweep(hub, NOW)
    assert list(folder.iterdir()) == []


def test_a_job_that_fetches_from_a_dripping_source_is_cancelled_and_leaves_nothing(hub: Hub) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_drip, args=(server,), daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/t.csv"
        ann = identity()
        with write(hub.engine, tenant="default") as connection:
            given: dict[str, Any] = {"identity": ann, "now": NOW, "audit": hub.audit}
            made = jobs.submit(connection, request(tenant_id=None, data={"url": url}), **given)
        worker = Worker(hub, concurrency=1, grace_s=0.2, periodics=())
        worker.start()
        try:
            root = datasets.folder(hub.settings)
            wait_for(lambda: list(root.glob(".*.tmp")))
            with write(hub.engine, tenant="default") as connection:
                jobs.cancel(connection, made.uid, **given)
            wait_for(lambda: job(hub.engine, made.uid).state is JobState.CANCELLED)
            wait_for(lambda: not [path for path in root.rglob("*") if path.is_file()])
        finally:
            worker.stop()


def _drip(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + CSV)
        try:
            while True:
                connection.sendall(b"2")
                time.sleep(0.02)
        except OSError:
            return
