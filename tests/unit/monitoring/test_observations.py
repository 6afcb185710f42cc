from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from aihub.errors import ArtifactError
from aihub.monitoring import sums
from aihub.monitoring.context import FixedContexts, VersionContext
from aihub.monitoring.observations import Observations
from aihub.monitoring.parsing import ActualTable
from aihub.monitoring.performance import hour_of
from aihub.monitoring.predictions import PredictionBatch, PredictionIds
from aihub.monitoring.versions import context_of
from aihub.monitoring.windows import Windows
from aihub.registry.stored import GateKnowledge
from aihub.store import observations as rows_of
from aihub.store.engine import read, write
from aihub.store.monitoring_tables import prediction_chunks
from aihub.validation.metrics import regression_metrics
from aihub.validation.profile import Profile
from databases import sqlite_at
from hubs import made_hub, register
from observed import (
    IDS,
    MADE_MS,
    NOW,
    RANGE,
    SERIES,
    START,
    actuals,
    answer,
    assert_same,
    batch,
    hours,
    windows,
)

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(3)


def test_metrics_are_those_of_the_rows(observations: Observations) -> None:
    target, series = hours(72)
    y = RNG.gamma(5, 20, len(series))
    p = y + RNG.normal(1, 5, len(series))
    observations.ingest_predictions([batch(p, target, series, lower=p - 8, upper=p + 8)])
    receipt = observations.ingest_actuals("t", "m", actuals(y, target, series), now=NOW)
    assert (receipt.accepted, receipt.matched, receipt.rejected) == (len(y), len(y), 0)
    found = answer(observations)
    expected = regression_metrics(y, p)
    for name in ("mae", "rmse", "mape", "r2_score", "bias"):
        assert found[name] == pytest.approx(expected[name])
    assert found["interval_coverage"] == pytest.approx(np.mean(np.abs(y - p) <= 8))
    assert (found["predictions"], found["actuals"], found["reason"]) == (216, 216, None)
    assert set(found["groups"]) == {"north", "all"}
    assert found["groups"]["north"]["actuals"] == 144


def test_a_step_gives_a_series_and_empty_steps_say_why(observations: Observations) -> None:
    target, series = hours(24)
    p = np.arange(72.0)
    observations.ingest_predictions([batch(p, target, series)])
    found = answer(observations, step=timedelta(days=1))["series"]
    assert len(found) == 19
    assert found[1]["predictions"] == 72
    assert found[1]["mae"] is None
    assert "no actuals yet" in found[1]["reason"]
    assert "no predictions" in found[0]["reason"]


def test_nothing_is_null_and_not_a_pass(observations: Observations) -> None:
    found = answer(observations)
    assert found["mae"] is None
    assert found["data_drift_detected"] is None
    assert "no predictions" in found["reason"]


def test_sending_twice_changes_nothing(observations: Observations) -> None:
    target, series = hours(30)
    y = RNG.gamma(5, 20, len(series))
    observations.ingest_predictions([batch(y + 1, target, series)])
    observations.ingest_actuals("t", "m", actuals(y, target, series), now=NOW)
    before = windows(observations)
    receipt = observations.ingest_actuals("t", "m", actuals(y, target, series), now=NOW)
    assert (receipt.accepted, receipt.duplicate, receipt.corrected) == (0, len(y), 0)
    assert_same(before, windows(observations))


def test_actuals_before_their_predictions_wait(observations: Observations) -> None:
    target, series = hours(30)
    y = RNG.gamma(5, 20, len(series))
    first = batch(y + 1, target, series)
    receipt = observations.ingest_actuals("t", "m", actuals(y, target, series), now=NOW)
    assert (receipt.accepted, receipt.early, receipt.matched) == (len(y), len(y), 0)
    observations.ingest_predictions([first])
    assert answer(observations)["mae"] == pytest.approx(1.0)
    assert answer(observations)["actuals"] == len(y)


def test_a_correction_counts_and_the_old_value_does_not(observations: Observations) -> None:
    target, series = hours(24)
    y = np.full(72, 10.0)
    observations.ingest_predictions([batch(y, target, series)])
    wrong = y.copy()
    wrong[5] = 1e6
    observations.ingest_actuals("t", "m", actuals(wrong, target, series), now=NOW)
    assert answer(observations)["mae"] > 1000
    receipt = observations.ingest_actuals("t", "m", actuals(y[5:6], target[5:6], series[5:6]), now=NOW)
    assert (receipt.corrected, receipt.matched) == (1, 1)
    found = answer(observations)
    assert (found["mae"], found["rmse"], found["actuals"]) == (0.0, 0.0, 72)
    assert found["ingested"]["corrected"] == 1


def test_actuals_by_prediction_id(observations: Observations) -> None:
    target, series = hours(2)
    first = batch(np.arange(6.0), target, series)
    observations.ingest_predictions([first])
    table = ActualTable.of(np.arange(6.0) + 2, ids=first.ids)
    receipt = observations.ingest_actuals("t", "m", table, now=NOW)
    assert (receipt.accepted, receipt.matched) == (6, 6)
    assert answer(observations)["bias"] == pytest.approx(-2.0)
    # The same actuals by series and time are the same actuals.
    again = observations.ingest_actuals("t", "m", actuals(np.arange(6.0) + 2, target, series), now=NOW)
    assert again.duplicate == 6


def test_an_actual_by_id_may_overtake_the_log_of_its_prediction(observations: Observations) -> None:
    target, series = hours(2)
    first = batch(np.zeros(6), target, series)
    early = observations.ingest_actuals("t", "m", ActualTable.of(np.full(6, 3.0), ids=first.ids), now=NOW)
    assert early.early == 6
    observations.ingest_predictions([first])
    assert answer(observations)["mae"] == pytest.approx(3.0)
    # Corrected by series and time: counted once, with the new value.
    observations.ingest_actuals("t", "m", actuals(np.full(6, 5.0), target, series), now=NOW)
    found = answer(observations)
    assert (found["mae"], found["actuals"]) == (pytest.approx(5.0), 6)


def test_predictions_without_a_time_are_matched_by_id(observations: Observations) -> None:
    ids = IDS.take(4, now_ms=MADE_MS)
    observations.ingest_predictions([batch(np.zeros(4), None, None, ids=ids)])
    observations.ingest_actuals("t", "m", ActualTable.of(np.ones(4), ids=ids), now=NOW)
    found = answer(observations)
    assert (found["mae"], found["actuals"]) == (1.0, 4)


def test_several_forecasts_of_one_hour_all_count(observations: Observations) -> None:
    target, series = hours(3)
    for version, off in ((1, 1.0), (2, 4.0)):
        observations.ingest_predictions([batch(np.full(9, off), target, series, version=version)])
    observations.ingest_actuals("t", "m", actuals(np.zeros(9), target, series), now=NOW)
    found = answer(observations)
    assert {v: part["mae"] for v, part in found["versions"].items()} == {"1": 1.0, "2": 4.0}
    assert found["mae"] == 2.5


def test_the_seasonal_naive_reference_is_the_week_before(observations: Observations) -> None:
    first, series = hours(24)
    later = first + np.timedelta64(7, "D")
    y = RNG.normal(100, 10, 72)
    # The later week comes first: it is joined when the earlier one arrives.
    observations.ingest_actuals("t", "m", actuals(y + 3, later, series), now=NOW + timedelta(days=7))
    observations.ingest_actuals("t", "m", actuals(y, first, series), now=NOW + timedelta(days=7))
    naive = answer(observations)["seasonal_naive"]
    assert (naive["mae"], naive["actuals"]) == (pytest.approx(3.0), 72)


def test_a_prediction_that_is_no_number_is_no_error_of_zero(observations: Observations) -> None:
    target, series = hours(1)
    observations.ingest_predictions([batch(np.array([1.0, np.nan, 2.0]), target, series)])
    observations.ingest_actuals("t", "m", actuals(np.ones(3), target, series), now=NOW)
    found = answer(observations)
    assert found["mae"] is None
    assert "no finite number" in found["reason"]
    assert found["unanswered"] == 1


def test_anomaly_models_have_rates(tmp_path: Path) -> None:
    engine = sqlite_at(tmp_path / "a.db")
    observations = Observations(engine, FixedContexts(VersionContext(classes=True)))
    target, series = hours(2)
    flagged = np.array([1.0, 1, 0, 0, 1, 0])
    score = np.array([0.9, 0.8, 0.1, 0.2, 0.7, 0.6])
    observations.ingest_predictions([batch(flagged, target, series, score=score)])
    found = answer(observations)
    assert found["estimate"] == {
        "is_estimate": True, "method": "calibrated scores", "rows": 6, "precision": pytest.approx(0.8), "recall": pytest.approx(2.4 / 3.3),
    }  # fmt: skip
    observations.ingest_actuals("t", "m", actuals(np.array([1.0, 0, 0, 0, 1, 1]), target, series), now=NOW)
    found = answer(observations)
    assert (found["precision"], found["recall"]) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert found["auc"] == pytest.approx(7 / 9)
    engine.dispose()


def test_without_actuals_the_error_is_estimated_and_says_so(observations: Observations) -> None:
    target, series = hours(2)
    p = np.zeros(6)
    observations.ingest_predictions([batch(p, target, series, lower=p - 1.6449, upper=p + 1.6449)])
    found = answer(observations)
    assert found["mae"] is None
    assert found["estimate"]["is_estimate"] is True
    assert found["estimate"]["mae"] == pytest.approx(0.798, abs=1e-3)


def test_drift_of_features_is_found_from_counts(observations: Observations) -> None:
    target, series = hours(168)
    n = len(series)
    for version, shift in ((1, 0.0), (2, 6.0)):
        features = {"temperature": RNG.normal(15 + shift, 6, n), "site": RNG.choice(["a", "b"], n).tolist()}
        observations.ingest_predictions(
            [batch(np.zeros(n), target, series, version=version, features=features)]
        )
        found = answer(observations)
        assert found["data_drift_detected"] is (shift > 0)
    (feature, *_) = found["data_drift"]["features"]
    assert (feature["feature"], feature["test"]) == ("temperature", "distribution")
    assert feature["effect"] > 0.3


step = st.tuples(
    st.sampled_from(["predict", "actual", "correct", "again", "by id", "fold"]),
    st.integers(0, 9),
    st.integers(1, 24),
)


@settings(max_examples=20)
@given(steps=st.lists(step, min_size=1, max_size=12))
def test_windows_from_the_log_are_those_that_grew(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Any], context: VersionContext
) -> None:
    """Whatever comes in whatever order, computing everything anew changes no figure."""
    engine = sqlite_at(tmp_path_factory.mktemp("m") / "m.db")
    observations = Observations(engine, FixedContexts(context))
    rng = np.random.default_rng(1)
    made: list[np.ndarray] = []
    for what, offset, n in steps:
        target, series = hours(n, start=START + np.timedelta64(offset * 17, "h"))
        if what == "predict":
            p = rng.normal(50, 10, len(series))
            new = batch(p, target, series, version=1 + offset % 2, lower=p - 5, upper=p + 5,
                        features={"temperature": rng.normal(15, 6, len(series)), "site": ["a"] * len(series)})  # fmt: skip
            made.append(new.ids)
            observations.ingest_predictions([new])
        elif what == "by id" and made:
            ids = made[offset % len(made)]
            observations.ingest_actuals(
                "t", "m", ActualTable.of(rng.normal(50, 10, len(ids)), ids=ids), now=NOW
            )
        elif what == "fold":
            observations.fold("t", "m")
        else:
            fixed = (
                np.arange(len(series), dtype=float) if what == "again" else rng.normal(50, 10, len(series))
            )
            observations.ingest_actuals("t", "m", actuals(fixed, target, series), now=NOW)
    before = windows(observations)
    observations.repair("t", "m")
    assert_same(before, windows(observations))
    engine.dispose()


def test_windows_stay_when_the_raw_log_goes(observations: Observations) -> None:
    target, series = hours(24)
    observations.ingest_predictions([batch(np.zeros(72), target, series)])
    observations.ingest_actuals("t", "m", actuals(np.ones(72), target, series), now=NOW)
    assert observations.forget("t", "m", before=NOW) == 2
    assert observations.repair("t", "m") == (0, 0)
    assert answer(observations)["mae"] == 1.0


def test_chunks_are_merged_and_nothing_is_lost(observations: Observations) -> None:
    for at in range(40):
        target, series = hours(1, start=START + np.timedelta64(at % 24, "h"))
        observations.ingest_predictions(
            [
                batch(
                    np.full(3, at),
                    target,
                    series,
                    features={"temperature": np.ones(3), "site": ["a", None, "c"]},
                )
            ]
        )
        observations.fold("t", "m")
        observations.ingest_actuals("t", "m", actuals(np.full(3, float(at)), target, series), now=NOW)
    with read(observations.engine, tenant="t") as connection:
        chunks = rows_of.prediction_chunks_of(connection, tenant="t", model="m")
        assert len(chunks) < 20
        assert sum(chunk.row_count for chunk in chunks) == 120
    assert answer(observations)["predictions"] == 120
    before = windows(observations)
    observations.repair("t", "m")
    assert_same(before, windows(observations))


def test_a_damaged_chunk_keeps_no_other_model_from_being_folded(observations: Observations) -> None:
    target, series = hours(1)
    observations.ingest_predictions([batch(np.zeros(3), target, series)])
    observations.ingest_predictions([replace(batch(np.zeros(3), target, series), model="z")])
    with write(observations.engine, tenant="t") as connection:
        damage = sa.update(prediction_chunks).where(prediction_chunks.c.model == "m").values(body=b"damaged")
        connection.execute(damage)
    with pytest.raises(ArtifactError):
        observations.fold_waiting()
    with read(observations.engine, tenant="t") as connection:
        assert rows_of.waiting(connection) == [("t", "m")]


def test_tenants_do_not_see_each_other(observations: Observations) -> None:
    target, series = hours(1)
    observations.ingest_predictions([batch(np.zeros(3), target, series)])
    other = observations.performance("other", "m", *RANGE).to_dict()
    assert other["predictions"] == 0
    assert observations.models("other") == []


def test_sums_merge_like_rows() -> None:
    y, p = RNG.normal(0, 5, 400), RNG.normal(0, 5, 400)
    cell = RNG.integers(0, 7, 400)
    nothing = np.full(400, np.nan)
    rows = sums.error_sums(cell, 7, y, sums.Answers(p, nothing, nothing, nothing))
    found = sums.regression(sums.total(rows)).metrics()
    for name, value in regression_metrics(y, p).items():
        if name in found:
            assert found[name] == pytest.approx(value)


def test_series_of_a_group_and_a_range_at_the_hour(observations: Observations) -> None:
    target, series = hours(48)
    observations.ingest_predictions([batch(np.zeros(len(series)), target, series)])
    observations.fold("t", "m")
    start = datetime(2026, 3, 2, 5, tzinfo=UTC)
    with read(observations.engine, tenant="t") as connection:
        found = Windows.read(connection, "t", "m", hours=(hour_of(start), hour_of(start) + 30))
    assert found.total().predictions == 30 * len(SERIES)


def test_what_the_log_hides_is_neither_compared_nor_in_the_way(
    tmp_path: Path, context: VersionContext
) -> None:
    """A number that is hashed is text in the log, and would look like drift where it were compared."""
    hidden = replace(context, grid=context.grid.without({"temperature"}))
    assert [one.name for one in hidden.grid.columns] == ["site"]
    spec = {"serving": {"log": {"hash_columns": ["temperature"], "leave_out": ["site"]}}}
    profile = Profile.of({"temperature": [1.0, 2.0], "site": ["a", "b"], "wind": [1.0, 2.0]})
    found = context_of({"time_zone": "Europe/Berlin"}, {}, spec, GateKnowledge(), profile)
    assert found.stamp_zone == "Europe/Berlin"
    assert [one.name for one in found.grid.columns] == ["wind"]
    engine = sqlite_at(tmp_path / "hidden.db")
    observations = Observations(engine, FixedContexts(hidden))
    ids = PredictionIds().take(3)
    features = {"temperature": ["0fd3", "aa17", None], "site": ["a", "b", "a"]}
    batch = PredictionBatch(
        tenant="default", model="load", version=1, ids=ids, prediction=np.ones(3), features=features
    )
    observations.ingest_predictions([batch])
    assert observations.fold_waiting() == 3
    engine.dispose()


def test_a_fault_that_lasts_for_days_is_told_once(observations: Observations) -> None:
    hours = np.arange(24 * 30)
    value = 100 + 20 * np.sin(hours / 24 * 2 * np.pi) + hours % 7
    value[24 * 26 :] = value[24 * 26]
    target = np.datetime64("2026-01-01", "us") + hours * np.timedelta64(1, "h")
    table = ActualTable.of(value, target=target, series=["a"] * len(hours))
    receipt = observations.ingest_actuals("default", "load", table, now=NOW)
    assert [(one.kind, one.series) for one in receipt.faults] == [("stuck", "a")]
    assert receipt.faults[0].at_us == target[-1].astype(np.int64)


def test_states_come_back_as_they_were_kept_also_what_json_does_not_know(observations: Observations) -> None:
    target, names = hours(24)
    observations.ingest_predictions([batch(np.arange(72.0), target, names)])
    kept = {"faults": {"stuck": [1, "x"]}, "level": [1.5, None], "odd": math.inf, "last_us": 2**60}
    with write(observations.engine, tenant="t") as connection:
        tenant, model = rows_of.all_models(connection)[0]
        rows_of.save_states(connection, tenant=tenant, model=model, states={0: rows_of.written(kept)})
        again = rows_of.states(connection, tenant=tenant, model=model)
        (faulty,) = rows_of.series(connection, tenant=tenant, model=model, faulty=True)
        every = rows_of.series(connection, tenant=tenant, model=model)
    assert (faulty.code, faulty.state) == (0, kept)
    assert {code: rows_of.state_of(text) for code, text in again.items()} == {0: kept}
    assert [one.code for one in every] == [0, 1, 2]


def test_versions_that_answer_are_those_of_production(tmp_path: Path) -> None:
    engine = sqlite_at(tmp_path / "hub.db")
    with made_hub(engine, tmp_path / "home") as hub:
        for number, environment in ((1, "production"), (2, "staging"), (3, "")):
            register(hub, content=str(number).encode())
            if environment:
                order = {"environment": environment, "actor": "ann", "reason": "first", "now": NOW}
                hub.registry.deploy("load", number, **order)
        assert hub.observations.contexts.answering("default", "load") == {1}
        assert hub.observations.contexts.answering("acme", "load") == frozenset()
    engine.dispose()
