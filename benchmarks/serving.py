"""What a prediction costs over HTTP, beside a bare handler and other servers.

    python benchmarks/serving.py [--quick] [--peer-python PATH]

LightGBM, 100 trees of depth 7, 10 features. Every server is one process under uvicorn (uvloop, httptools) with one thread in
the libraries, asked over keep-alive connections on loopback. CPU is that of the server's process, all threads: the hub's
includes checking the credential and the schema, and writing every prediction to disk; folding the log into windows is a
worker's and measured by benchmarks/monitoring.py. `--peer-python` names an interpreter
that has mlserver and mlserver-lightgbm. The last line is one JSON object:

cpu_us_per_request  CPU of the hub per one-row request, microseconds (median of the rounds)
asgi_ratio          throughput per CPU of the hub over that of a bare ASGI handler around the same fast call
mlserver_ratio      CPU per request of MLServer (all in one process, its leanest setting) over the hub's, same rows; null
                    without the peer
rows100_vs_bare     CPU of the hub per request of 100 rows over a bare `booster.predict` of them, in the same run
p99_ms              99th percentile at 70 % of saturation, one row, from the time at which a request was due
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ.setdefault(_name, "1")

import lightgbm  # noqa: E402 - the number of threads is read when a library is loaded
import numpy as np  # noqa: E402 - the number of threads is read when a library is loaded

from _serving_load import Result, answered, closed_loop, cpu_s, open_loop, request, resident_mb, wait_until_up  # noqa: E402 - as above
from _serving_servers import NAMES  # noqa: E402 - as above
from aihub.auth import bootstrap  # noqa: E402 - as above
from aihub.hub import opened  # noqa: E402 - as above
from aihub.registry import boosters  # noqa: E402 - as above
from aihub.registry.artifacts import Manifest, pack  # noqa: E402 - as above
from aihub.registry.external import ExternalModel  # noqa: E402 - as above
from aihub.registry.lineage import collect  # noqa: E402 - as above
from aihub.settings import Settings  # noqa: E402 - as above
from aihub.store.credentials import new_token  # noqa: E402 - as above

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
PATH = "/models/load/predict"
MAX_SECONDS = 60.0
"""No server is asked for longer at once."""


def model(home: Path) -> lightgbm.Booster:
    """Train the model of the reference figures and write it to `home`."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20_000, 10))
    y = x @ rng.normal(size=10) + np.sin(3 * x[:, 0]) + rng.normal(size=len(x))
    given = {"max_depth": 7, "num_leaves": 127, "verbose": -1, "num_threads": 1, "seed": 0}
    booster = lightgbm.train(given, lightgbm.Dataset(x, y, feature_name=NAMES), 100)
    booster.save_model(str(home / "model.txt"))
    return booster


def hub_with(home: Path) -> str:
    """Register and deploy the model; return an API key."""
    token = new_token()
    (home / "key").write_text(token)
    now = datetime.now(UTC)
    settings = Settings(home=home / "hub", mlflow_tracking_uri="off", bootstrap_key=token)
    with opened(settings) as hub:
        bootstrap(hub, now)
        found = ExternalModel(boosters.load(boosters.parse((home / "model.txt").read_bytes())))
        digest = hub.artifacts.put(pack(found.to_files(), Manifest(kind=found.kind, name="load")))
        config = {"model_type": "forecast", "features": NAMES, "target": "y", "algorithm": "lgbm", "seed": 0}
        lineage = collect(config, {"sha256": "0" * 64, "rows": 1}, requested_by="bench", now=now)
        for _ in range(2):
            hub.registry.register_version(
                "load", digest, lineage, status="candidate", actor="bench", now=now, report={"passed": True}
            )
        hub.registry.deploy("load", 1, actor="bench", reason="benchmark", now=now)
    return token


def rollback(home: Path, port: int, message: bytes) -> tuple[float, int]:
    """Deploy and roll back in this process while the server is asked 500 times a second; milliseconds, failed requests.

    The time runs from the call of the rollback to the first answer of the old version by the other process.
    """

    def until(version: int) -> float:
        began = time.perf_counter()
        while answered(port, message)["version"] != version:
            if time.perf_counter() - began > 10:
                raise TimeoutError(f"version {version} does not answer")
        return time.perf_counter() - began

    with (
        opened(Settings(home=home / "hub", mlflow_tracking_uri="off")) as hub,
        ThreadPoolExecutor(1) as threads,
    ):
        load = threads.submit(open_loop, port, message, 500, 6)
        took = []
        for _ in range(3):
            hub.registry.deploy("load", 2, actor="bench", reason="benchmark", now=datetime.now(UTC))
            until(2)
            began = time.perf_counter()
            hub.registry.rollback("load", actor="bench", reason="benchmark", now=datetime.now(UTC))
            until(1)
            took.append(1000 * (time.perf_counter() - began))
        return statistics.median(took), load.result().failed


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(command: list[str], port: int, path: str, *, cwd: Path | None = None) -> Iterator[int]:
    """Run a server until the block ends; yields its process id."""
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(command, cwd=cwd, stdout=log, stderr=log) as process,
    ):
        try:
            wait_until_up(port, path, 60)
            yield process.pid
        except TimeoutError:
            log.seek(0)
            print(log.read().decode(errors="replace")[-2000:], file=sys.stderr)
            raise
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()


@contextmanager
def folding(home: Path, kind: str) -> Iterator[None]:
    """Run beside the hub what folds its log into windows, as a worker does."""
    if kind != "hub":
        yield
        return
    command = [sys.executable, str(HERE / "_serving_servers.py"), "worker", "0", str(home)]
    with subprocess.Popen(command) as process:
        try:
            yield
        finally:
            process.kill()


def measure(pid: int, port: int, message: bytes, count: int) -> tuple[float, Result]:
    """CPU microseconds per request, and what came back."""
    closed_loop(port, message, max(50, count // 10))
    time.sleep(0.4)
    before = cpu_s(pid)
    result = closed_loop(port, message, count)
    time.sleep(0.4)  # the log's writer belongs to the requests
    if result.failed:
        raise RuntimeError(f"{result.failed} of {result.done} requests failed")
    return (cpu_s(pid) - before) / result.done * 1e6, result


def mlserver(python: str, home: Path, record: dict[str, float], count: int) -> float | None:
    """CPU microseconds per one-row request of MLServer, None where it is not installed."""
    check = [python, "-c", "import mlserver, mlserver_lightgbm"]
    if subprocess.run(check, check=False, capture_output=True).returncode:
        print("MLServer: not installed in", python)
        return None
    folder = home / "load"
    folder.mkdir(exist_ok=True)
    port, grpc, metrics = free_port(), free_port(), free_port()
    (folder / "model.bst").write_text((home / "model.txt").read_text())
    settings = {
        "host": "127.0.0.1", "http_port": port, "grpc_port": grpc, "metrics_port": metrics, "parallel_workers": 0, "debug": False,
    }  # fmt: skip
    (folder / "settings.json").write_text(json.dumps(settings))
    described = {
        "name": "load",
        "implementation": "mlserver_lightgbm.LightGBMModel",
        "parameters": {"uri": "./model.bst"},
    }
    (folder / "model-settings.json").write_text(json.dumps(described))
    data = [[record[name] for name in NAMES]]
    inputs = {"name": "x", "shape": [1, len(NAMES)], "datatype": "FP64", "data": data}
    message = request("/v2/models/load/infer", json.dumps({"inputs": [inputs]}).encode(), {})
    command = [str(Path(python).parent / "mlserver"), "start", "."]
    with server(command, port, "/v2/models/load/ready", cwd=folder) as pid:
        return measure(pid, port, message, count)[0]


def bare_predict_us(booster: lightgbm.Booster, rows: np.ndarray) -> float:
    """CPU microseconds of `booster.predict` on one thread."""
    took = []
    for _ in range(7):
        began = time.process_time()
        for _ in range(60):
            booster.predict(rows, num_threads=1)
        took.append((time.process_time() - began) / 60 * 1e6)
    return statistics.median(took)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--requests", type=int, default=0, help="Also send so many and report the memory.")
    given = parser.parse_args()
    count = 6_000 if given.quick else 40_000
    rounds = 1 if given.quick else 3
    with tempfile.TemporaryDirectory(prefix="aihub-serving-") as folder:
        home = Path(folder)
        figures = run(home, given, count, rounds)
    print(json.dumps(figures))


def run(home: Path, given: argparse.Namespace, count: int, rounds: int) -> dict[str, Any]:
    booster, token = model(home), hub_with(home)
    rows = np.random.default_rng(1).normal(size=(100, 10))
    records = [dict(zip(NAMES, row, strict=True)) for row in rows.tolist()]
    auth = {"Authorization": f"Bearer {token}"}
    one = request(PATH, json.dumps({"records": records[:1]}).encode(), auth)
    by_column = {name: rows[:, at].tolist() for at, name in enumerate(NAMES)}
    hundred = request(PATH, json.dumps({"columns": by_column}).encode(), auth)
    hundred_records = request(PATH, json.dumps({"records": records}).encode(), auth)
    cpu: dict[str, list[float]] = {}
    per_s: dict[str, float] = {}
    hundreds, listed, bare, p99 = [], [], [], []
    for _ in range(rounds):
        for kind in ("asgi", "fastapi", "pydantic", "hub"):
            port = free_port()
            command = [sys.executable, str(HERE / "_serving_servers.py"), kind, str(port), str(home)]
            with server(command, port, "/health" if kind == "hub" else "/docs") as pid, folding(home, kind):
                found, result = measure(pid, port, one, count)
                cpu.setdefault(kind, []).append(found)
                per_s[kind] = max(per_s.get(kind, 0), result.done / result.took_s)
                if kind == "hub":
                    hundreds.append(measure(pid, port, hundred, count // 6)[0])
                    bare.append(bare_predict_us(booster, rows))
                    listed.append(measure(pid, port, hundred_records, count // 12)[0])
                    rate = 0.7 * result.done / result.took_s
                    steady = open_loop(port, one, rate, 3 if given.quick else 10)
                    p99.append(steady.quantile_ms(0.99))
                    print(
                        f"hub at {rate:.0f}/s: p50 {steady.quantile_ms(0.5):.2f} ms, p99 {p99[-1]:.2f} ms, failed {steady.failed}"
                    )
                    back_ms, failed = rollback(home, port, one)
                    print(f"rollback by another process at 500/s: {back_ms:.0f} ms, {failed} requests failed")
                    if given.requests:
                        memory(pid, port, one, given.requests)
    for kind, found in cpu.items():
        print(
            f"{kind:>9}: {statistics.median(found):7.1f} us of CPU per request, {per_s[kind]:7.0f} requests/s"
        )
    peer = mlserver(given.peer_python, home, records[0], count // 6)
    hub = statistics.median(cpu["hub"])
    if peer is not None:
        print(f" mlserver: {peer:7.1f} us of CPU per request")
    print(
        f"100 rows: hub {statistics.median(hundreds):.0f} us (columns), {statistics.median(listed):.0f} us (records), "
        f"booster.predict {statistics.median(bare):.0f} us"
    )
    return {
        "cpu_us_per_request": round(hub, 1),
        "asgi_ratio": round(statistics.median(cpu["asgi"]) / hub, 3),
        "mlserver_ratio": None if peer is None else round(peer / hub, 2),
        "rows100_vs_bare": round(statistics.median(h / b for h, b in zip(hundreds, bare, strict=True)), 3),
        "p99_ms": round(statistics.median(p99), 2),
    }


def memory(pid: int, port: int, message: bytes, total: int) -> None:
    """Print the memory after each tenth of `total` requests."""
    for part in range(10):
        closed_loop(port, message, total // 10)
        print(f"after {(part + 1) * total // 10:>9,} requests: {resident_mb(pid):.1f} MB")


if __name__ == "__main__":
    main()
