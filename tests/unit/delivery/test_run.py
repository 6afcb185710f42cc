"""A delivery ends with a verdict also where the gate has nothing to measure, or a metric has no value."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from aihub.delivery.progress import Event, Remark, StepFinished
from aihub.delivery.run import Delivery, Order, deliver
from aihub.hub import opened
from aihub.settings import Settings
from aihub.training.spec import ModelSpec
from aihub.types import Outcome

HOURS = 60 * 24
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def ordered(folder: Path, values: np.ndarray, training: dict[str, object]) -> Order:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    stamps = [start + timedelta(hours=i) for i in range(len(values))]
    path = folder / "meter.csv"
    pl.DataFrame({"timestamp": stamps, "value": values}).write_csv(path)
    spec = ModelSpec.model_validate(
        {
            "name": "meter",
            "training": {"target": "value", "hyperparameters": {"n_estimators": 10}, **training},
        }
    )
    return Order(spec=spec, data=path, actor="tester", now=NOW, reports=folder / "reports")


def delivered(folder: Path, values: np.ndarray, training: dict[str, object]) -> Delivery:
    order = ordered(folder, values, training)
    with opened(Settings(home=folder / "home", mlflow_tracking_uri="off")) as hub:
        return deliver(order, hub.registry)


def test_a_value_that_is_watched_is_no_label(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = 100 + 20 * np.sin(np.arange(HOURS) * 2 * np.pi / 24) + rng.normal(size=HOURS)
    done = delivered(tmp_path, values, {"model_type": "anomaly", "labels": False})
    performance = next(check for check in done.report.checks_run if check.name == "performance")
    assert performance.outcome is Outcome.SKIPPED
    assert "no labels" in performance.reason
    assert done.passed


def test_a_metric_without_a_value_is_a_failed_gate_and_no_error(tmp_path: Path) -> None:
    values = np.maximum(np.sin(np.arange(HOURS) * 2 * np.pi / 24), 0.0)
    values[int(0.75 * HOURS) :] = 0.0
    done = delivered(tmp_path, values, {"repair": "off", "backtest_folds": 0})
    assert not done.passed
    assert done.version.status == "rejected"
    assert "mape" not in done.version.metrics
    assert np.isfinite(list(done.version.metrics.values())).all()


def test_a_champion_that_came_while_the_gate_was_judging_is_not_replaced(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = 100 + 20 * np.sin(np.arange(HOURS) * 2 * np.pi / 24) + rng.normal(size=HOURS)
    order = ordered(tmp_path, values, {"model_type": "anomaly", "labels": False})
    notes: list[str] = []
    others: list[Delivery] = []
    with opened(Settings(home=tmp_path / "home", mlflow_tracking_uri="off")) as hub:

        def listen(event: Event) -> None:
            if isinstance(event, StepFinished) and event.step == "validate":
                others.append(deliver(order, hub.registry))
            elif isinstance(event, StepFinished) and event.step == "deploy":
                notes.append(event.note)

        mine = deliver(order, hub.registry, listen)
        champion = hub.registry.champion("meter")
    assert mine.passed
    assert mine.deployment is None
    assert others[0].deployment is not None
    assert champion == others[0].version
    assert mine.withheld.startswith("model 'meter' is at deployment 1 by 'tester', not 0")
    assert notes == [f"not deployed: {mine.withheld}"]


def test_a_damaged_champion_does_not_keep_its_successor_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = 100 + 20 * np.sin(np.arange(HOURS) * 2 * np.pi / 24) + rng.normal(size=HOURS)
    training: dict[str, object] = {"backtest_folds": 0}
    first = delivered(tmp_path, values, training)
    assert first.deployment is not None
    path = next((tmp_path / "home" / "artifacts").glob(f"*/{first.version.digest}*"))
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-100])
    remarks: list[str] = []
    notes: dict[str, str] = {}

    def listen(event: Event) -> None:
        if isinstance(event, Remark):
            remarks.append(event.text)
        elif isinstance(event, StepFinished):
            notes[event.step] = event.note

    with opened(Settings(home=tmp_path / "home", mlflow_tracking_uri="off")) as hub:
        training["time_zone"] = "America/Los_Angeles"
        second = deliver(ordered(tmp_path, values * 1.01, training), hub.registry, listen)
    assert second.version.number == 2
    assert any("cannot be read" in remark for remark in remarks)
    assert notes["read data"] == "1,440 rows, 2023-12-31 to 2024-02-29", "days of where the meter is"
    checks = {check.name: check for check in second.report.checks_run}
    assert checks["champion_comparison"].outcome is Outcome.SKIPPED
    assert checks["baseline_comparison"].outcome is not Outcome.SKIPPED
