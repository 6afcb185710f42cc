"""A year of real load lived through: nothing is done where nothing is wrong, and the right thing where something is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import lightgbm as lgb
import numpy as np
import polars as pl
import pytest

from aihub.delivery.replay import Record, Replayed, replay
from aihub.hub import opened
from aihub.monitoring.watch_policy import Action
from aihub.registry.artifacts import Manifest, pack
from aihub.registry.lineage import collect
from aihub.registry.stored import GateKnowledge
from aihub.settings import DEFAULT_TENANT, Settings
from aihub.validation.drift import fit_references
from aihub.validation.profile import Profile, ProfileSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from aihub.hub import Hub

pytestmark = [pytest.mark.slow, pytest.mark.data]
MODEL = "load"
FEATURES = ("temperature", "hour", "weekday", "yearday")


@dataclass(frozen=True)
class Year:
    """A model that was trained before the year, and the year."""

    record: Record
    promised: dict[str, float]
    knowledge: GateKnowledge
    answers: np.ndarray
    """What the model says for each hour of the year."""
    half_width: float


@pytest.fixture(scope="module")
def year(shared_data: Path) -> Year:
    frame = (
        pl.read_parquet(shared_data / "vic_elec" / "vic_elec.parquet")
        .rename(str.lower)
        .rename({"time_utc": "time"})
        .sort("time")
        .group_by_dynamic("time", every="1h")
        .agg(pl.col("demand").mean(), pl.col("temperature").mean())
    )
    stamps = (
        frame["time"]
        .dt.convert_time_zone("UTC")
        .dt.replace_time_zone(None)
        .to_numpy()
        .astype("datetime64[us]")
    )
    local = stamps + np.timedelta64(10, "h")
    temperature, demand = frame["temperature"].to_numpy(), frame["demand"].to_numpy()
    day = local.astype("datetime64[D]").astype(int)
    smooth = np.convolve(temperature, np.ones(24) / 24)[: len(temperature)]
    x = np.column_stack([
        temperature, smooth, local.astype("datetime64[h]").astype(int) % 24, (day + 3) % 7, day % 365.25,
    ])  # fmt: skip
    fit, test = stamps < np.datetime64("2013-01-01"), stamps >= np.datetime64("2014-01-01")
    held = ~fit & ~test
    parameters = {
        "objective": "l1",
        "learning_rate": 0.05,
        "num_leaves": 31,
        "verbose": -1,
        "num_threads": 1,
        "seed": 0,
    }
    booster = lgb.train(parameters, lgb.Dataset(x[fit], demand[fit]), 150)
    errors = np.abs(booster.predict(x[held], num_threads=1) - demand[held])
    week = np.abs(demand[held][168:] - demand[held][:-168])
    # What serves is trained on both years; what it promises was measured on the second by a model of the first.
    booster = lgb.train(parameters, lgb.Dataset(x[~test], demand[~test]), 150)
    profile = Profile.of(
        {"time": stamps[~test], "temperature": temperature[~test]},
        ProfileSpec(columns=("temperature",), timestamp="time"),
    )
    return Year(
        record=Record(
            stamps=stamps[test],
            actual=demand[test],
            features={"temperature": temperature[test]},
            series="vic",
        ),
        promised={"mae": float(errors.mean()), "skill": 1 - float(errors.mean() / week.mean())},
        knowledge=GateKnowledge(
            training_profile=profile.to_bytes(),
            feature_importance={"temperature": 1.0},
            drift_references=fit_references(stamps[~test], {"temperature": temperature[~test]}),
        ),
        answers=booster.predict(x[test], num_threads=1),
        half_width=float(np.quantile(errors, 0.9)),
    )


@pytest.fixture
def hub(tmp_path: Path, year: Year) -> Iterator[Hub]:
    """A hub with a good version that has served for a year, and a second one in its place."""
    with opened(Settings(home=tmp_path, mlflow_tracking_uri="off")) as hub:
        start = datetime(2013, 6, 1, tzinfo=UTC)
        for number, content in enumerate((b"one", b"two"), start=1):
            _register(hub, year, content, start)
            if number == 1:
                hub.registry.deploy(MODEL, 1, actor="ann", reason="passed", now=start)
        yield hub


def _register(hub: Hub, year: Year, content: bytes, now: datetime) -> None:
    config = {
        "model_type": "forecast",
        "features": ["temperature"],
        "target": "demand",
        "algorithm": "lgbm",
        "seed": 0,
    }
    lineage = collect(config, {"sha256": "0" * 64, "rows": 10}, requested_by="ann", now=now)
    files = {"model.json": content, **year.knowledge.to_files()}
    digest = hub.artifacts.put(pack(files, Manifest(kind="forecast/1", name=MODEL)))
    hub.registry.register_version(
        MODEL, digest, lineage, status="candidate", actor="ann", now=now, metrics=year.promised
    )


def lived(
    hub: Hub,
    year: Year,
    *,
    actual: np.ndarray | None = None,
    spoil: Callable[[int, np.ndarray, np.ndarray], np.ndarray] | None = None,
    deploy_second: datetime | None = None,
    months: tuple[int, int] = (1, 12),
) -> Replayed:
    record = year.record if actual is None else replace(year.record, actual=actual)
    first, last = months
    month = year.record.stamps.astype("datetime64[M]").astype(int) % 12 + 1
    use = (month >= first) & (month <= last)
    offset = int(np.flatnonzero(use)[0])
    record = Record(
        stamps=record.stamps[use],
        actual=record.actual[use],
        features={name: values[use] for name, values in record.features.items()},
        series=record.series,
    )

    def forecaster(version: int, rows: np.ndarray) -> Any:
        rows = rows + offset
        found = year.answers[rows]
        if spoil is not None:
            found = spoil(version, rows, found)
        return found, found - year.half_width, found + year.half_width

    def each_day(begin: datetime) -> None:
        if begin == deploy_second:
            hub.registry.deploy(MODEL, 2, actor="bob", reason="override", now=begin)

    return replay(hub, MODEL, record, forecaster, tenant=DEFAULT_TENANT, each_day=each_day)


def test_a_year_without_a_fault_brings_no_action(hub: Hub, year: Year) -> None:
    done = lived(hub, year)
    assert len(done.looks) >= 365
    assert [(look.decisions, look.notes) for look in done.acted] == []
    serving = hub.registry.serving(MODEL)
    assert serving is not None
    assert serving.version == 1
    start, end = datetime(2014, 1, 1, tzinfo=UTC), datetime(2015, 1, 1, tzinfo=UTC)
    found = hub.observations.performance(DEFAULT_TENANT, MODEL, start, end).to_dict()
    assert found["actuals"] > 8700
    expected = np.abs(year.answers - year.record.actual)
    assert found["mae"] == pytest.approx(expected.mean(), rel=0.01)
    assert found["interval_coverage"] == pytest.approx(np.mean(expected <= year.half_width), abs=0.01)


def test_a_bug_in_the_model_is_rolled_back(hub: Hub, year: Year) -> None:
    """Version 2 reads the hour in another zone: its day comes three hours late."""
    begin = datetime(2014, 5, 12, tzinfo=UTC)

    def spoil(version: int, rows: np.ndarray, found: np.ndarray) -> np.ndarray:
        return year.answers[np.maximum(rows - 3, 0)] if version == 2 else found

    done = lived(hub, year, spoil=spoil, deploy_second=begin, months=(4, 6))
    (acted,) = done.acted
    (decision,) = acted.decisions
    assert (decision.action, decision.version, decision.target) == (Action.ROLLBACK, 2, 1)
    assert decision.evidence["worse_by"] > 0.2
    history = hub.registry.history(MODEL)
    assert [(d.version, d.action.value, d.actor) for d in history[:1]] == [(1, "rollback", "aihub.watch")]
    assert history[0].started_at - begin <= timedelta(days=14)
    assert "worse than the" in history[0].reason


def test_another_unit_is_told_and_left_to_a_person(hub: Hub, year: Year) -> None:
    """The meter reports kW instead of MW from a day on: no version could mend that."""
    begin = np.datetime64("2014-05-12")
    actual = np.where(year.record.stamps >= begin, year.record.actual * 1000, year.record.actual)
    done = lived(hub, year, actual=actual, deploy_second=datetime(2014, 4, 7, tzinfo=UTC), months=(3, 10))
    assert done.acted
    actions = {decision.action for look in done.acted for decision in look.decisions}
    assert Action.ROLLBACK not in actions
    assert Action.ALERT in actions
    assert len(done.acted) <= 50  # told once a week, not once a look
    first = done.acted[0].decisions[0]
    assert "1000 times larger" in first.reason
    waits = [decision.waits for look in done.acted for decision in look.decisions if decision.waits]
    assert any("the fault is in the data" in reason for reason in waits)
    serving = hub.registry.serving(MODEL)
    assert serving is not None
    assert serving.version == 2
