"""Monitoring: what it costs to take actuals in, to fold predictions, to ask for the performance, and to roll back.

1. Actuals in bulk: many meters, 24 hours each a day, joined with their predictions, into SQLite; CPU seconds.
2. Predictions: ten features and an interval each, in batches, logged and folded; CPU microseconds a prediction.
3. `performance` of a year at ten thousand and at ten million predictions (the same days and version): ratio of medians.
4. Rollback of a served model by the watch's own transaction: milliseconds from the request to the first answer of the
   old version, and requests that failed meanwhile, 500 a second from threads in the same process.

Run: ``python benchmarks/monitoring.py [--quick]``. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.monitoring.context import FixedContexts, VersionContext
from aihub.monitoring.grid import FeatureGrid
from aihub.monitoring.observations import Observations
from aihub.monitoring.parsing import ActualTable
from aihub.monitoring.predictions import PredictionBatch, PredictionIds
from aihub.store import schema
from aihub.store.engine import create
from aihub.validation.profile import Profile

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = [f"x{i}" for i in range(10)]
FEATURES = tuple(f"f{i}" for i in range(10))
START = np.datetime64("2025-01-01T00", "us")
HOUR = np.timedelta64(1, "h")
DAY = np.timedelta64(1, "D")
SMALL, LARGE = 10_000, 10_000_000


@contextmanager
def observed() -> Iterator[Observations]:
    """Observations in a new SQLite file, of a version with a training profile of ten features."""
    rng = np.random.default_rng(0)
    profile = Profile.of({name: rng.normal(10, 3, 20_000) for name in FEATURES})
    context = VersionContext(grid=FeatureGrid.of(profile), promised={"mae": 5.0})
    with tempfile.TemporaryDirectory() as folder:
        engine = create(f"sqlite:///{folder}/monitoring.db")
        schema.upgrade(engine)
        yield Observations(engine, FixedContexts(context))
        engine.dispose()


def predictions(
    day: int, meters: list[str], rng: np.random.Generator, ids: PredictionIds, *, features: bool
) -> PredictionBatch:
    """One day of hourly predictions of all meters."""
    n = 24 * len(meters)
    value = rng.gamma(5, 20, n)
    made_ms = int((START + day * DAY).astype(np.int64)) // 1000
    return PredictionBatch(
        tenant="t",
        model="m",
        version=1,
        ids=ids.take(n, now_ms=made_ms),
        prediction=value,
        lower=value - 8,
        upper=value + 8,
        series=meters * 24,
        target=np.repeat(START + day * DAY + np.arange(24) * HOUR, len(meters)),
        features={name: rng.normal(10, 3, n) for name in FEATURES} if features else {},
    )


def ingest(days: int) -> dict[str, float]:
    """CPU cost of predictions and actuals of a thousand meters."""
    meters = [f"meter-{i}" for i in range(1000)]
    rng, ids = np.random.default_rng(1), PredictionIds()
    fold_s = actual_s = 0.0
    rows = 0
    with observed() as observations:
        for day in range(days + 1):
            if day == 1:  # what the first day imports is paid once a process
                fold_s = actual_s = 0.0
                rows = 0
            batch = predictions(day, meters, rng, ids, features=True)
            before = time.process_time()
            observations.ingest_predictions([batch])
            observations.fold("t", "m")
            fold_s += time.process_time() - before
            actual = batch.prediction + rng.normal(0, 5, len(batch))
            assert batch.target is not None
            table = ActualTable.of(actual, target=batch.target, series=batch.series)
            before = time.process_time()
            receipt = observations.ingest_actuals("t", "m", table, now=day_after(day))
            actual_s += time.process_time() - before
            assert receipt.matched == len(batch), receipt
            rows += len(batch)
    return {"actuals_per_s": rows / actual_s, "fold_us": fold_s / rows * 1e6}


def day_after(day: int) -> datetime:
    return datetime(2025, 1, 1, tzinfo=UTC) + timedelta(days=day + 1)


@contextmanager
def filled(rows: int, days: int) -> Iterator[Observations]:
    """Yield a year (or `days`) of hourly predictions with actuals, `rows` in all."""
    rng, ids = np.random.default_rng(2), PredictionIds()
    per_hour = max(1, rows // (days * 24))
    meters = [f"meter-{i}" for i in range(per_hour)]
    with observed() as observations:
        for day in range(days):
            batch = predictions(day, meters, rng, ids, features=rows <= SMALL * 10)
            if (
                rows > SMALL * 10
            ):  # the windows of features cost the same; making ten million rows of them takes minutes
                few = predictions(day, meters[:1], rng, ids, features=True)
                observations.ingest_predictions([few])
            observations.ingest_predictions([batch])
            assert batch.target is not None
            observations.ingest_actuals(
                "t",
                "m",
                ActualTable.of(batch.prediction + 1, target=batch.target, series=batch.series),
                now=day_after(day),
            )
        yield observations


def asked(observations: Observations, days: int, times: int) -> list[float]:
    """Milliseconds of one answer each."""
    start = datetime(2025, 1, 1, 5, tzinfo=UTC)
    took = []
    for _ in range(times):
        before = time.perf_counter()
        json.dumps(observations.performance("t", "m", start, start + timedelta(days=days)).to_dict())
        took.append((time.perf_counter() - before) * 1000)
    return took


def performance(large: int, days: int, times: int) -> dict[str, float]:
    """Median of an answer over `days` at 10,000 and at `large` predictions, asked in turn."""
    with filled(SMALL, days) as few, filled(large, days) as many:
        asked(few, days, 2), asked(many, days, 2)
        small, big = [], []
        for _ in range(times):
            small += asked(few, days, 1)
            big += asked(many, days, 1)
    return {
        "performance_ms": statistics.median(big),
        "performance_small_ms": statistics.median(small),
        "performance_10m_vs_10k": statistics.median(big) / statistics.median(small),
    }


def rollback(times: int) -> dict[str, float]:
    """Roll back as the watch does while the pool of the same process is asked 500 times a second."""
    from aihub.hub import opened  # noqa: PLC0415 - the parts above need none of it
    from aihub.serving.answering import answer_question  # noqa: PLC0415 - as above
    from aihub.serving.protocol import Question  # noqa: PLC0415 - as above
    from aihub.settings import Settings  # noqa: PLC0415 - as above
    from serving import hub_with, model  # noqa: PLC0415 - as above

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        model(home)
        hub_with(home)
        row = [0.1] * 10
        failed, asked_n, stop = [], [0], threading.Event()
        with opened(Settings(home=home / "hub", mlflow_tracking_uri="off")) as hub:
            pool = hub.serving_pool()
            pool.start()

            def version() -> int:
                route = pool.find("default", "load", "production")
                assert route is not None
                found = json.loads(
                    answer_question(pool, route, Question(records=[dict(zip(NAMES, row, strict=True))]))
                )
                return int(found["version"])

            def ask() -> None:
                due = time.perf_counter()
                while not stop.is_set():
                    try:
                        version()
                    except Exception as error:  # noqa: BLE001 - whatever it is, a request has failed
                        failed.append(error)
                    asked_n[0] += 1
                    due += 1 / 500
                    time.sleep(max(0.0, due - time.perf_counter()))

            load = threading.Thread(target=ask)
            load.start()
            took = [_rolled_back(hub, version) for _ in range(times)]
            stop.set()
            load.join()
            pool.stop()
    print(
        f"rollback in one process  {statistics.median(took):12.1f} ms, {len(failed)} of {asked_n[0]:,} requests failed"
    )
    return {"rollback_ms": statistics.median(took), "rollback_failed_requests": len(failed)}


def _rolled_back(hub: Any, version: Any) -> float:
    from aihub.delivery.deployments import rollback as carry_out  # noqa: PLC0415 - as above
    from aihub.delivery.orders import RollbackOrder  # noqa: PLC0415 - as above
    from aihub.store.engine import write  # noqa: PLC0415 - as above

    hub.registry.deploy("load", 2, actor="bench", reason="benchmark", now=datetime.now(UTC))
    while version() != 2:
        time.sleep(0.001)
    time.sleep(0.3)
    before = time.perf_counter()
    with write(hub.engine, tenant="default") as connection:
        order = RollbackOrder(model="load", actor="bench", reason="benchmark")
        carry_out(connection, hub.registry, order, datetime.now(UTC))
    while version() != 1:
        time.sleep(0.0005)
    return (time.perf_counter() - before) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer days and predictions: under a minute")
    options = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f}")
    found: dict[str, Any] = ingest(10 if options.quick else 40)
    print(f"actuals a second of CPU  {found['actuals_per_s']:12,.0f}")
    print(f"a prediction, us of CPU  {found['fold_us']:12.2f}")
    large = 1_000_000 if options.quick else LARGE
    found |= performance(large, 60 if options.quick else 365, 9 if options.quick else 25)
    print(f"performance at {large:,}  {found['performance_ms']:12.2f} ms")
    print(
        f"performance at {SMALL:,}      {found['performance_small_ms']:12.2f} ms, ratio {found['performance_10m_vs_10k']:.2f}"
    )
    found |= rollback(3 if options.quick else 15)
    print(json.dumps({**found, "large": large}))


if __name__ == "__main__":
    main()
