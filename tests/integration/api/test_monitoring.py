"""Performance and actuals over the API, the guide's scripts and `aihub monitor`, on each database."""

from __future__ import annotations

import functools
import io
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
import sqlalchemy as sa

from aihub.delivery import rollouts
from aihub.delivery.live import LiveFigures
from aihub.delivery.watch import evaluate
from aihub.monitoring.predictions import PredictionBatch, PredictionIds, id_text
from aihub.monitoring.rules import State
from aihub.store import outbox
from aihub.store.engine import read
from hubs import beside, register

if TYPE_CHECKING:
    from aihub.hub import Hub
    from hubs import Api

SCRIPTS = Path(__file__).parents[3] / "scripts"
HOURS = 24 * 6
PERFORMANCE = "/models/load/performance"
ACTUALS = "/models/load/actuals"


@pytest.fixture
def ids(hub: Hub) -> Any:
    """Two versions have served; the second predicts 10 for every hour of the last six days."""
    now = datetime.now(UTC)
    for number, content in enumerate((b"1", b"2"), start=1):
        register(hub, content=content, metrics={"mae": 2.0})
        hub.registry.deploy(
            "load", number, actor="ann", reason="test", now=now - timedelta(days=30 - 11 * number)
        )
    made = PredictionIds().take(HOURS, now_ms=int(now.timestamp() * 1000))
    prediction = np.full(HOURS, 10.0)
    hub.observations.ingest_predictions(
        [
            PredictionBatch(
                tenant="default", model="load", version=2, ids=made, prediction=prediction,
                lower=prediction - 3, upper=prediction + 3, series=["s"] * HOURS, target=stamps(),
            )
        ]
    )  # fmt: skip
    return made


@functools.cache
def stamps() -> Any:
    """The hours of a week that ends today; the same ones when midnight comes in the middle of a test."""
    first = np.datetime64(datetime.now(UTC).replace(tzinfo=None), "D") - np.timedelta64(6, "D")
    return (first + np.arange(HOURS).astype("timedelta64[h]")).astype("datetime64[us]")


def rows(value: float) -> list[dict[str, Any]]:
    """Actuals around `value`: a meter that shows the same for days would be taken for a dead one."""
    return [
        {"series": "s", "timestamp": f"{stamp}Z", "actual": value + (0.5 if at % 2 else -0.5)}
        for at, stamp in enumerate(stamps().astype(str))
    ]


def test_the_guides_request(api: Api, ids: Any) -> None:
    assert len(ids) == HOURS
    assert api.post(ACTUALS, rows(11.0)).json()["matched"] == HOURS
    end = datetime.now()  # noqa: DTZ005 - the guide's own naive time
    parameters = {"start_date": (end - timedelta(days=7)).isoformat(), "end_date": end.isoformat()}
    metrics = api.get(PERFORMANCE, params=parameters).json()
    assert metrics["mae"] == pytest.approx(1.0)
    assert metrics["interval_coverage"] == 1.0
    assert metrics["data_drift_detected"] is None
    assert "profile" in metrics["data_drift"]["reason"]
    assert metrics["promised"] == {"mae": 2.0}
    series = api.get(PERFORMANCE, params={**parameters, "step": "1d"}).json()["series"]
    assert len(series) == 8


def test_every_form_of_actuals(api: Api, ids: Any) -> None:
    frame = pl.DataFrame(rows(12.0))
    parquet = io.BytesIO()
    frame.write_parquet(parquet)
    by_id = [
        {"prediction_id": id_text(int(one)), "actual": row["actual"]}
        for one, row in zip(ids, rows(12.0), strict=True)
    ]
    uploads = [
        ("application/json", json.dumps({"actuals": by_id}).encode()),
        ("application/json", json.dumps({name: frame[name].to_list() for name in frame.columns}).encode()),
        ("application/x-ndjson", "\n".join(json.dumps(row) for row in rows(12.0)).encode()),
        ("text/csv", frame.write_csv().encode()),
        ("application/vnd.apache.parquet", parquet.getvalue()),
    ]
    for at, (kind, body) in enumerate(uploads):
        answer = api.post(ACTUALS, content=body, headers={"Content-Type": kind})
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert (found["accepted"], found["duplicate"]) == ((HOURS, 0) if at == 0 else (0, HOURS)), kind


def test_rejected_rows_are_named_and_the_rest_is_taken(api: Api, ids: Any) -> None:
    good = rows(11.0)[:3]
    bad = [
        {"series": "s", "timestamp": "yesterday", "actual": 1},
        {"series": "s", "timestamp": "2026-01-01T00:00:00Z", "actual": "much"},
        {"prediction_id": "p_x", "actual": 1},
        {"actual": 3},
        {"timestamp": "2026-01-01T00:00:00Z", "actual": 3},
    ]
    found = api.post(ACTUALS, [*good, *bad]).json()
    assert (found["accepted"], found["rejected"]) == (3, 5)
    assert [one["row"] for one in found["reasons"]] == [4, 5, 6, 7, 8]
    assert "no time" in found["reasons"][0]["reason"]
    assert "no finite number" in found["reasons"][1]["reason"]
    assert len(ids) == HOURS


def test_bad_requests_say_what_to_do(api: Api, ids: Any) -> None:
    assert len(ids) == HOURS
    assert api.get("/models/nobody/performance").status_code == 404
    for parameters in (
        {"start_date": "soon"},
        {"step": "1y"},
        {"start_date": "2030-01-01", "end_date": "2029-01-01"},
    ):
        answer = api.get(PERFORMANCE, params=parameters)
        assert answer.status_code == 422, parameters
    answer = api.post(ACTUALS, content=b"\x00", headers={"Content-Type": "application/vnd.apache.parquet"})
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_data")
    assert api.post(ACTUALS, content=b"x", headers={"Content-Type": "image/png"}).status_code == 422
    assert api.post(ACTUALS, [{"value": 1}]).status_code == 422


@pytest.mark.usefixtures("ids")
def test_a_request_about_one_model_does_not_list_them_all(hub: Hub, api: Api) -> None:
    asked: list[str] = []
    sa.event.listen(hub.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    assert api.get("/models/load/watch").status_code == 200
    assert not [text for text in asked if "FROM models" in text and "name =" not in text]
    assert "Did you mean 'load'" in api.get("/models/lod/watch").json()["detail"]


def test_other_tenants_see_no_model(calls: Any, ids: Any) -> None:
    assert len(ids) == HOURS
    other = calls("eve", tenant="other")
    assert other.get(PERFORMANCE).status_code == 404
    assert other.post(ACTUALS, rows(1.0)).status_code == 404


def test_a_degraded_model_is_rolled_back_by_the_watch(api: Api, hub: Hub, ids: Any) -> None:
    assert len(ids) == HOURS
    assert api.post(ACTUALS, rows(30.0)).status_code == 200
    first = api.post("/models/load/watch").json()
    second = api.post("/models/load/watch").json()
    acted = [action for look in (first, second) for action in look["actions"]]
    assert [(one["action"], one["target"]) for one in acted] == [("rollback", 1)]
    (event,) = api.get("/models/load/watch").json()["items"]
    assert (event["action"], event["version"]) == ("rollback", 2)
    assert event["evidence"]["worse_by"] > 0.2
    serving = hub.registry.serving("load")
    assert serving is not None
    assert (serving.version, serving.actor) == (1, "aihub.watch")
    with read(hub.engine, tenant="default") as connection:
        told = [entry.topic for entry in outbox.pending(connection, tenant="default")]
    assert "notify.model.rolled_back" in told
    trail = api.get("/audit").json()["items"]
    assert any(one["action"] == "model.rolled_back" and one["actor"] == "aihub.watch" for one in trail)
    # Once more changes nothing: neither to nor fro.
    assert [action["action"] for action in api.post("/models/load/watch").json()["actions"]] == []


def degrading(hub: Hub, action: str) -> None:
    """A version that promised an error of 2 serves, and is watched by one rule; six days of it are 20 off."""
    now = datetime.now(UTC)
    rule = {"worse_than_promised": 0.2, "action": action, "evaluations": 1}
    spec = {"policy": {"watch": {"rules": [rule]}}}
    register(hub, metrics={"mae": 2.0}, spec=spec)
    hub.registry.deploy("load", 1, actor="ann", reason="test", now=now - timedelta(days=8))
    prediction = np.full(HOURS, 10.0)
    hub.observations.ingest_predictions(
        [
            PredictionBatch(
                tenant="default", model="load", version=1, ids=PredictionIds().take(HOURS), prediction=prediction,
                series=["s"] * HOURS, target=stamps(),
            )
        ]
    )  # fmt: skip


def test_the_watch_has_a_degraded_model_trained_again(api: Api, hub: Hub) -> None:
    degrading(hub, "retrain")
    assert api.post(ACTUALS, rows(30.0)).status_code == 200
    # The actuals had it looked at; once more does nothing more.
    assert api.post("/models/load/watch").json()["actions"] == []
    (event,) = api.get("/models/load/watch").json()["items"]
    assert (event["action"], event["version"]) == ("retrain", 1)
    (job,) = api.get("/ai/training/jobs").json()["items"]
    assert (job["status"], job["submitted_by"]) == ("queued", "aihub.watch")
    config = job["request"]["config"]
    assert (config["target"], config["features"]) == ("load", ["t"])
    assert job["request"]["policy"]["watch"]["rules"][0]["action"] == "retrain", "its rules come along"
    trail = [one["action"] for one in api.get("/audit").json()["items"] if one["actor"] == "aihub.watch"]
    assert sorted(trail) == ["job.submitted", "watch.retrained"]
    with read(hub.engine, tenant="default") as connection:
        told = [entry.topic for entry in outbox.pending(connection, tenant="default")]
    assert "notify.watch.retrained" in told
    serving = hub.registry.serving("load")
    assert serving is not None
    assert serving.version == 1


def test_the_watch_stops_a_canary_and_leaves_the_champion(api: Api, hub: Hub) -> None:
    degrading(hub, "stop_canary")
    second = register(hub, content=b"2")
    now = datetime.now(UTC)
    beside(hub, second, "canary", since=now - timedelta(days=1), champion_sequence=1)
    assert api.post(ACTUALS, rows(30.0)).status_code == 200
    # The actuals had it looked at; once more does nothing more.
    assert api.post("/models/load/watch").json()["actions"] == []
    (event,) = api.get("/models/load/watch").json()["items"]
    assert (event["action"], event["version"]) == ("stop_canary", 1)
    with read(hub.engine, tenant="default") as connection:
        assert rollouts.active(connection, "load", "production", tenant="default") is None
        told = list(outbox.pending(connection, tenant="default"))
    (stopped,) = [entry.payload for entry in told if entry.topic == "notify.rollout.stopped"]
    assert stopped["version"] == 2
    trail = [one for one in api.get("/audit").json()["items"] if one["actor"] == "aihub.watch"]
    assert [one["action"] for one in trail] == ["rollout.stopped"]
    assert "mae" in trail[0]["reason"]
    serving = hub.registry.serving("load")
    assert serving is not None
    assert serving.version == 1


def test_the_clock_looks_at_every_tenant(hub: Hub, calls: Any, ids: Any) -> None:
    assert len(ids) == HOURS
    calls("eve", tenant="other")
    register(hub, "wind", tenant="other")
    now = datetime.now(UTC)
    hub.registry_of("other").deploy("wind", 1, actor="eve", reason="test", now=now)
    looks = {(look.tenant, look.model): look.state for look in evaluate(hub, now)}
    assert looks == {("default", "load"): State.NOT_ENOUGH_DATA, ("other", "wind"): State.NO_DATA}


def test_a_rollout_is_told_what_both_did(hub: Hub, api: Api, ids: Any) -> None:
    assert len(ids) == HOURS
    third = register(hub, content=b"3")
    now = datetime.now(UTC)
    started = beside(hub, third, "shadow", since=now - timedelta(days=5), champion_sequence=2)
    prediction = np.full(HOURS, 14.0)
    hub.observations.ingest_predictions(
        [
            PredictionBatch(
                tenant="default", model="load", version=3, ids=PredictionIds().take(HOURS), prediction=prediction,
                series=["s"] * HOURS, target=stamps(), is_heard=False,
            )
        ]
    )  # fmt: skip
    api.post(ACTUALS, rows(11.0))
    champion, newcomer = LiveFigures(hub)(started, now)
    assert champion.observations == newcomer.observations > 72
    # The window begins at this hour five days ago: with an odd number of hours one half is left over.
    assert (champion.error, newcomer.error) == (pytest.approx(1.0, abs=0.02), pytest.approx(3.0, abs=0.02))


def test_scripts_of_the_guide(api: Api, ids: Any) -> None:
    assert len(ids) == HOURS
    address = {"AIHUB_URL": str(api.http.base_url), "AIHUB_API_KEY": api.token}

    def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, SCRIPTS / name, *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, **address}
        )

    fine = run("monitor_model_performance.py")
    assert (fine.returncode, fine.stderr) == (0, "")
    assert "load: nothing wrong" in fine.stdout
    api.post(ACTUALS, rows(11.0))
    assert run("monitor_model_performance.py", "load").returncode == 0
    assert run("monitor_model_performance.py", "--max-mae", "0.5").returncode == 1
    assert run("auto_rollback.py", "--model", "load").returncode == 0
    drift = run("check_drift.py", "--model", "load")
    assert drift.returncode == 1
    assert "not known" in drift.stdout
    assert run("check_drift.py", "--model", "nobody").returncode == 2
    api.post(ACTUALS, rows(19.0))
    degraded = run("monitor_model_performance.py")
    assert degraded.returncode == 1
    assert "350% worse" in degraded.stdout
    command = [sys.executable, "-m", "aihub", "monitor", "load"]
    shown = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **address}
    )
    assert shown.returncode == 1
    assert "350% worse" in shown.stdout
    rolled = run("auto_rollback.py", "--model", "load")
    assert rolled.returncode == 1
    assert "Rolled back load to v1.0.0" in rolled.stdout


def test_gauges(api: Api, ids: Any) -> None:
    api.post(ACTUALS, rows(11.0))
    text = api.get("/metrics").text
    assert 'aihub_model_mae{model="load",tenant="default"} 1.0' in text
    assert 'aihub_model_error_ratio{model="load",tenant="default"} 0.5' in text
    assert len(ids) == HOURS
