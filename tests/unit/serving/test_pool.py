from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import polars as pl
import pytest
import sqlalchemy as sa

from aihub.monitoring.context import VersionContext
from aihub.monitoring.parsing import tabled
from aihub.monitoring.predictions import unheard
from aihub.monitoring.windows import Windows
from aihub.registry.signing import load_signing, new_key
from aihub.serving import compiled
from aihub.serving.actuals import RecentActuals
from aihub.serving.answering import answer_question
from aihub.serving.blackbox import BlackBox
from aihub.serving.forecasts import Past
from aihub.serving.pool import WARM
from aihub.serving.protocol import Question
from aihub.store.engine import read, write
from aihub.store.job_tables import rollouts
from aihub.store.tables import models, versions

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from aihub.hub import Hub
    from aihub.registry.records import Version
    from aihub.serving.pool import ServingPool

NOW = datetime(2026, 1, 2, tzinfo=UTC)
KEY = ("default", "load", "production")
ROW = {"a": 0.5, "b": 0.1}


def ask(
    pool: ServingPool, *, model: str = "load", tenant: str = "default", subject: str = ""
) -> dict[str, Any]:
    route = pool.find(tenant, model, "production")
    assert route is not None
    found: dict[str, Any] = orjson.loads(answer_question(pool, route, Question(records=[ROW]), subject))
    return found


def until(condition: Callable[[], bool], timeout_s: float = 30.0) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < timeout_s
        time.sleep(0.002)
    return time.monotonic() - began


def roll_out(hub: Hub, version: Version, strategy: str, share: float) -> None:
    with write(hub.engine, tenant="default") as connection:
        row = connection.execute(
            sa.select(versions.c.id, versions.c.model_id)
            .join(models, models.c.id == versions.c.model_id)
            .where(models.c.name == version.model, versions.c.number == version.number)
        ).one()
        connection.execute(
            sa.insert(rollouts).values(
                tenant_id="default", uid=f"r{version.number}", model_id=row.model_id, version_id=row.id,
                environment="production", strategy=strategy, share=share, steps=[], state="active", actor="ann",
                reason="", started_at=NOW, stepped_at=NOW,
            )
        )  # fmt: skip


def test_it_follows_deployments_and_rollbacks(
    hub: Hub, pool: ServingPool, register: Callable[..., Version], deploy: Callable[..., Any]
) -> None:
    deploy(register(1.0))
    pool.start()
    assert ask(pool)["prediction"] == pytest.approx([0.5], abs=0.1)
    deploy(register(4.0))
    until(lambda: ask(pool)["version"] == 2)
    assert ask(pool)["prediction"] == pytest.approx([2.0], abs=0.2)
    hub.registry.rollback("load", actor="ann", reason="worse", now=NOW)
    assert until(lambda: ask(pool)["version"] == 1) < 1.0


def test_a_request_sees_one_version_while_it_is_swapped(
    pool: ServingPool, register: Callable[..., Version], deploy: Callable[..., Any]
) -> None:
    first, second = register(1.0), register(4.0)
    deploy(first)
    pool.start()
    wrong: list[Any] = []
    ended = threading.Event()

    def ask_on() -> None:
        while not ended.is_set():
            found = ask(pool)
            is_first = found["prediction"][0] < 1.0
            if is_first != (found["version"] == 1):
                wrong.append(found)

    threads = [threading.Thread(target=ask_on) for _ in range(2)]
    for thread in threads:
        thread.start()
    for version in (second, first, second, first):
        deploy(version)
        until(lambda version=version: ask(pool)["version"] == version.number)  # type: ignore[misc]
    ended.set()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_start_restores_what_serves_and_what_a_rollback_may_go_to(
    hub: Hub, pool: ServingPool, register: Callable[..., Version], deploy: Callable[..., Any]
) -> None:
    for slope in (1.0, 2.0, 3.0):
        deploy(register(slope))
    pool.start()
    assert ask(pool)["version"] == 3
    assert {number for number, _ in pool._warm[KEY].by_version} == {1, 2, 3}
    hub.registry.rollback("load", actor="ann", reason="worse", now=NOW)
    assert until(lambda: ask(pool)["version"] == 2) < 1.0
    for slope in range(4, 9):
        deploy(register(float(slope)))
        pool.refresh()
    assert len(pool._warm[KEY].by_version) == WARM + 1


def test_a_start_behind_the_server_loads_what_is_asked_for_first(
    pool: ServingPool,
    register: Callable[..., Version],
    deploy: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = {register(1.0, name=name).digest: name for name in ("load", "older", "newer")}
    for version in (register(2.0, name="load"), register(3.0, name="older"), register(4.0, name="newer")):
        names[version.digest] = version.model
        deploy(version)
    order: list[str] = []
    may_load, is_loaded = threading.Event(), threading.Event()

    def compile_version(path: Path, **given: Any) -> Any:
        assert may_load.wait(10)
        order.append(next(name for digest, name in names.items() if digest in str(path)))
        return compiled.compile_version(path, **given)

    monkeypatch.setattr("aihub.serving.pool.compile_version", compile_version)
    pool.start(on_loaded=is_loaded.set)
    assert len(pool.deployed) == 3
    assert {key[1] for key in pool.pending} == {"load", "older", "newer"}
    assert pool.find(*KEY) is None
    pool.ask(KEY)
    may_load.set()
    assert is_loaded.wait(10)
    assert order.index("load") < order.index("older"), "asked for: before what nobody waits for"
    assert order.index("newer") < order.index("older"), "the newest deployments come first"
    assert sorted(order) == ["load", "newer", "older"]
    assert not pool.pending


def test_what_is_deployed_during_a_long_start_is_not_kept_waiting_by_it(
    pool: ServingPool,
    register: Callable[..., Version],
    deploy: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("load", "b", "c", "d"):
        deploy(register(1.0, name=name))
    steps = threading.Semaphore(0)

    def compile_version(path: Path, **given: Any) -> Any:
        assert steps.acquire(timeout=60)
        time.sleep(0.03)
        return compiled.compile_version(path, **given)

    monkeypatch.setattr("aihub.serving.pool.compile_version", compile_version)
    monkeypatch.setattr("aihub.serving.pool.SLICE_S", 0.02)
    pool.start(on_loaded=lambda: None)
    pool.ask(KEY)
    steps.release(2)
    until(lambda: pool.find(*KEY) is not None)
    deploy(register(5.0))
    # The one that is being loaded, and then the swap: not the last one before it.
    steps.release(2)
    until(lambda: ask(pool)["version"] == 2)
    assert pool.pending
    steps.release(100)
    until(lambda: not pool.pending)


def test_a_version_that_cannot_be_loaded_leaves_the_one_before_in_place(
    hub: Hub, pool: ServingPool, register: Callable[..., Version], deploy: Callable[..., Any]
) -> None:
    deploy(register(1.0))
    pool.start()
    second = register(2.0)
    deploy_order = hub.artifacts.path(second.digest)
    deploy(second)
    deploy_order.write_bytes(b"damaged")
    pool._warm[KEY].by_version.pop((2, second.digest), None)
    pool._signature = None
    pool.refresh()
    assert ask(pool)["version"] == 1
    assert "version 2" in pool.failures[KEY]


def test_a_version_that_breaks_its_reader_keeps_no_other_out(
    pool: ServingPool,
    register: Callable[..., Version],
    deploy: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = register(1.0)
    deploy(broken)
    deploy(register(2.0), tenant="default", environment="staging")

    def compile_version(path: Path, **given: Any) -> Any:
        if broken.digest in str(path):
            raise KeyError("a field that nobody thought of")
        return compiled.compile_version(path, **given)

    monkeypatch.setattr("aihub.serving.pool.compile_version", compile_version)
    pool.start()
    assert pool.find("default", "load", "production") is None
    assert "nobody thought of" in pool.failures[KEY]
    assert pool.find("default", "load", "staging") is not None


def test_what_is_not_wanted_any_more_is_not_tried_for_ever(
    hub: Hub, pool: ServingPool, register: Callable[..., Version], deploy: Callable[..., Any]
) -> None:
    deploy(register(1.0))
    second = register(2.0)
    deploy(second)
    hub.artifacts.path(second.digest).write_bytes(b"damaged")
    pool.refresh()
    assert "version 2" in pool.failures[KEY]
    hub.registry_of("default").rollback("load", actor="ann", reason="it does not load", now=NOW)
    pool._retry_at = dict.fromkeys(pool._retry_at, 0.0)
    pool.refresh()
    assert ask(pool)["version"] == 1
    assert not pool.refresh()


def test_tenants_and_environments_are_apart(
    pool: ServingPool, register: Callable[..., Version], deploy: Callable[..., Any]
) -> None:
    deploy(register(1.0))
    deploy(register(2.0, tenant="other"), tenant="other")
    deploy(register(3.0), environment="staging")
    pool.start()
    assert ask(pool)["prediction"] == pytest.approx([0.5], abs=0.1)
    assert ask(pool, tenant="other")["prediction"] == pytest.approx([1.0], abs=0.1)
    assert pool.find("other", "load", "staging") is None
    staging = pool.find("default", "load", "staging")
    assert staging is not None
    assert staging.champion.number == 2


def test_a_canary_answers_its_share_and_always_the_same_subjects(
    hub: Hub, pool: ServingPool, register: Callable[..., Version], deploy: Callable[..., Any]
) -> None:
    deploy(register(1.0))
    roll_out(hub, register(2.0), "canary", 0.25)
    pool.start()
    chosen = {str(one): ask(pool, subject=str(one))["version"] for one in range(2_000)}
    assert sum(version == 2 for version in chosen.values()) == pytest.approx(500, abs=80)
    assert all(ask(pool, subject=one)["version"] == version for one, version in list(chosen.items())[:200])
    with write(hub.engine, tenant="default") as connection:
        connection.execute(sa.update(rollouts).values(share=0.5))
    pool.refresh()
    assert all(ask(pool, subject=one)["version"] == 2 for one, version in chosen.items() if version == 2)


def test_a_shadow_is_logged_and_not_heard(
    hub: Hub, pool: ServingPool, register: Callable[..., Version], deploy: Callable[..., Any]
) -> None:
    deploy(register(1.0))
    roll_out(hub, register(2.0), "shadow", 0.0)
    pool.start()
    assert {ask(pool)["version"] for _ in range(20)} == {1}
    until(lambda: pool.shadows.asked == 20)
    until(lambda: pool.log.counts.written == 40)
    hub.observations.fold("default", "load")
    with read(hub.observations.engine, tenant="default") as connection:
        windows = Windows.read(connection, "default", "load", hours=(0, 1 << 30))
    answered = {version: part.predictions for version, part in windows.merged(windows.version).items()}
    assert answered == {1: 20, unheard(2): 20}


def test_what_is_asked_in_staging_is_logged_as_unheard(
    pool: ServingPool, register: Callable[..., Version], deploy: Callable[..., Any]
) -> None:
    version = register(1.0)
    for environment in ("staging", "production"):
        deploy(version, environment=environment)
    pool.start()
    for environment in ("staging", "production"):
        route = pool.find("default", "load", environment)
        assert route is not None
        assert route.champion.channel.is_heard == (environment == "production")
        assert not route.champion.shadow_channel.is_heard


def test_actuals_reach_the_forecast_that_serves(
    hub: Hub,
    pool: ServingPool,
    register: Callable[..., Version],
    deploy: Callable[..., Any],
    train_forecast: Callable[..., Any],
) -> None:
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    model = train_forecast(features=[], start=now - timedelta(days=50))
    deploy(register(model=model))
    pool.start()
    end = now - timedelta(hours=1)
    assert orjson.loads(_forecast(pool, 1))["timestamp"] == [_text(end + timedelta(hours=1))]
    table = tabled(
        pl.DataFrame({"timestamp": [end + timedelta(hours=1)], "value": [500.0]}), VersionContext()
    )
    assert hub.observations.ingest_actuals("default", "load", table).accepted == 1
    until(lambda: pool.routes[KEY].champion.revision is not None)
    assert orjson.loads(_forecast(pool, 1))["timestamp"] == [_text(end + timedelta(hours=2))]
    # By the id of a prediction the log knows the time; what is said of next year is no history.
    asked = orjson.loads(_forecast(pool, 1))
    until(lambda: pool.log.pending == 0)
    rows = [
        {"prediction_id": asked["ids"][0], "timestamp": None, "value": 480.0},
        {"prediction_id": None, "timestamp": end + timedelta(days=300), "value": 480.0},
    ]
    frame = pl.DataFrame(rows, schema_overrides={"timestamp": pl.Datetime("us", "UTC")})
    receipt = hub.observations.ingest_actuals("default", "load", tabled(frame, VersionContext()))
    assert receipt.accepted == 2
    wanted = [_text(end + timedelta(hours=3))]
    until(lambda: orjson.loads(_forecast(pool, 1))["timestamp"] == wanted)


def test_a_history_that_is_read_slowly_keeps_no_rollback_waiting(
    hub: Hub,
    pool: ServingPool,
    register: Callable[..., Version],
    deploy: Callable[..., Any],
    train_forecast: Callable[..., Any],
) -> None:
    first = register(model=train_forecast(features=[]))
    deploy(first)
    deploy(register(model=train_forecast(features=[], seed=7)))
    is_reading, may_end = threading.Event(), threading.Event()
    past = Past({"": np.array([NOW.timestamp() * 1e6], np.int64)}, {"": np.array([500.0])})

    def history_of(asked: Collection[tuple[str, str]]) -> dict[tuple[str, str], tuple[Any, Past]]:
        is_reading.set()
        assert may_end.wait(10)
        return dict.fromkeys(asked, (may_end, past))

    pool._history_of = history_of
    pool.start()
    try:
        assert is_reading.wait(5)
        hub.registry.rollback("load", actor="ann", reason="worse", now=NOW)
        assert until(lambda: pool.routes[KEY].champion.number == 1) < 1.0
    finally:
        may_end.set()
    # What it was read for does not serve any more: it must not come back.
    until(lambda: pool.routes[KEY].champion.revision is may_end, timeout_s=10)
    assert pool.routes[KEY].champion.number == 1


def test_actuals_of_many_models_are_asked_for_together(hub: Hub) -> None:
    read = RecentActuals(hub.monitoring_engine)
    asked = [("default", f"load-{number}") for number in range(300)]
    statements: list[str] = []
    hub.observations.ingest_actuals("default", "load-7", actuals_at(NOW))
    assert set(read(asked)) == {("default", "load-7")}

    def count(_connection: Any, _cursor: Any, statement: str, *_given: Any) -> None:
        statements.append(statement)

    sa.event.listen(hub.monitoring_engine, "before_cursor_execute", count)
    before = read(asked)
    assert sum(one.startswith("SELECT") for one in statements) == 1
    hub.observations.ingest_actuals("default", "load-9", actuals_at(NOW))
    hub.observations.ingest_actuals("default", "load-7", actuals_at(NOW + timedelta(hours=1)))
    statements.clear()
    after = read(asked)
    assert len(statements) < 20
    assert set(after) == {("default", "load-7"), ("default", "load-9")}
    assert after["default", "load-7"][0] != before["default", "load-7"][0]
    assert len(after["default", "load-7"][1].values[""]) == 2


def actuals_at(stamp: datetime) -> Any:
    return tabled(pl.DataFrame({"timestamp": [stamp], "value": [500.0]}), VersionContext())


def _forecast(pool: ServingPool, horizon: int) -> bytes:
    return answer_question(pool, pool.routes[KEY], Question(horizon=horizon, is_horizon=True))


def _text(stamp: datetime) -> str:
    return stamp.isoformat().replace("+00:00", "Z")


def test_a_version_that_ended_two_processes_is_not_asked_again(
    hub: Hub, register: Callable[..., Version], deploy: Callable[..., Any]
) -> None:
    first, second = register(1.0), register(2.0)
    deploy(first)
    deploy(second)
    folder = hub.settings.home / "serving"
    die = (
        "import sys, os, signal; from pathlib import Path; from aihub.serving.blackbox import BlackBox\n"
        "box = BlackBox(Path(sys.argv[1])); box.mark.value = box.slot(sys.argv[2]); os.kill(os.getpid(), signal.SIGSEGV)"
    )
    for _ in range(2):
        died = subprocess.run([sys.executable, "-c", die, str(folder), second.digest], check=False)
        assert died.returncode < 0
    pool = hub.serving_pool()
    pool.start()
    try:
        assert "ended the serving process twice" in pool.failures[KEY]
        # What answers is the last version before it.
        assert ask(pool)["version"] == 1
    finally:
        pool.stop()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE versions SET git_commit = 'f00' WHERE number = 2",
        "UPDATE versions SET digest = (SELECT digest FROM versions WHERE number = 3) WHERE number = 2",
        "UPDATE versions SET status = 'rejected' WHERE number = 2",
        "DELETE FROM signatures WHERE version_id = (SELECT id FROM versions WHERE number = 2)",
        "",
    ],
)
def test_what_was_changed_after_its_deployment_is_not_loaded_where_signatures_are_asked_for(
    change: str,
    hub: Hub,
    tmp_path: Path,
    register: Callable[..., Version],
    deploy: Callable[..., Any],
) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(new_key()[0])
    strict = replace(hub, signing=load_signing(file, None, frozenset({"production"})))
    versions = [register(1.0), register(2.0)]
    for version in versions:
        strict.registry.sign("load", version.number, actor="ann", now=NOW)
        deploy(version)
        deploy(version, environment="staging")
    register(3.0)
    with write(hub.engine, tenant="default") as connection:
        if change:
            connection.execute(sa.text(change))
    if not change:
        path = hub.artifacts.path(versions[1].digest)
        path.chmod(0o600)
        path.write_bytes(path.read_bytes()[:-1])
    pool = strict.serving_pool()
    pool.start()
    try:
        assert "version 2" in pool.failures[KEY]
        assert ask(pool)["version"] == 1, "the last one that holds answers"
        has_failed_in_staging = ("default", "load", "staging") in pool.failures
        assert has_failed_in_staging is (change == ""), "only production asks for signatures"
    finally:
        pool.stop()


def test_a_process_that_ends_well_leaves_no_mark(tmp_path: Path) -> None:
    box = BlackBox(tmp_path)
    box.mark.value = box.slot("d" * 64)
    box.close()
    again = BlackBox(tmp_path)
    assert not again.crashes
    again.close()
