from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from aihub.errors import DataError, StoppedError
from aihub.training.anomaly import Detector, train_anomaly
from aihub.training.synthetic import generate_anomaly_data
from aihub.validation.metrics import classification_metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from aihub.training.config import TrainingConfig
    from aihub.training.data import PreparedTable
    from aihub.training.trainer import TrainingResult

    Configure = Callable[..., TrainingConfig]
    Tabulate = Callable[..., PreparedTable]

GUIDE = {"n_estimators": 100, "learning_rate": 0.1, "max_depth": 7}
GATE = {"precision": 0.8, "recall": 0.75, "f1_score": 0.77, "auc_roc": 0.85}


@pytest.mark.parametrize("algorithm", ["lgbm", "xgboost"])
def test_the_guides_job_passes_the_gate_with_labels(
    make_config: Configure, make_table: Tabulate, algorithm: str
) -> None:
    config = make_config(algorithm=algorithm, hyperparameters=GUIDE)
    made = generate_anomaly_data(10_000, seed=42).with_columns(
        pl.col("timestamp").dt.replace_time_zone("UTC"), pl.col("is_anomaly").cast(pl.Float64)
    )
    metrics = train_anomaly(config, make_table(made, config)).metrics
    assert {name: metrics[name] >= limit for name, limit in GATE.items()} == dict.fromkeys(GATE, True)


def test_without_labels_the_disturbances_are_found(sample: pl.DataFrame, unlabelled: TrainingResult) -> None:
    truth = sample.join(unlabelled.holdout.select("timestamp"), on="timestamp")["is_anomaly"].to_numpy()
    metrics = classification_metrics(truth, unlabelled.y_pred, unlabelled.score)
    assert metrics["auc_roc"] > 0.85
    assert metrics["precision"] > 0.5


@pytest.mark.parametrize("target", ["is_anomaly", "load"])
def test_same_seed_same_bytes_and_the_future_changes_no_model(
    sample: pl.DataFrame, make_config: Configure, make_table: Tabulate, target: str
) -> None:
    given = make_config(
        features=[n for n in ("temperature", "humidity", "load") if n != target], target=target, seed=7
    )
    first, again = (train_anomaly(given, make_table(sample, given)) for _ in range(2))
    assert first.model.to_files() == again.model.to_files()
    is_future = pl.int_range(pl.len()) >= 3200
    value = pl.col("temperature")
    changed = sample.with_columns(
        pl.when(is_future).then(value.reverse() * 3).otherwise(value).alias("temperature")
    )
    other = train_anomaly(given, make_table(changed, given))
    boosters = [{k: v for k, v in r.model.to_files().items() if k != "model.json"} for r in (first, other)]
    assert boosters[0] == boosters[1]
    assert isinstance(first.model, Detector)
    assert isinstance(other.model, Detector)
    assert first.model.judge.to_state() == other.model.judge.to_state()


@pytest.mark.parametrize("step_minutes", [60, 15])
def test_normal_operation_raises_about_as_many_false_alarms_as_stated(
    make_config: Configure, make_table: Tabulate, step_minutes: int
) -> None:
    rng = np.random.default_rng(11)
    n = 9000
    per_day = 24 * 60 // step_minutes
    noise = np.zeros(n)
    for i in range(1, n):
        noise[i] = 0.7 * noise[i - 1] + rng.normal()
    value = 50 + 10 * np.sin(2 * np.pi * np.arange(n) / per_day) + noise
    value[rng.integers(0, n // 2, 60)] += 30  # training is not clean
    stamps = pl.datetime_range(
        pl.datetime(2024, 1, 1), pl.datetime(2030, 1, 1), f"{step_minutes}m", time_zone="UTC", eager=True
    )[:n]
    frame = pl.DataFrame({"timestamp": stamps.cast(pl.Datetime("us", "UTC")), "value": value})
    given = make_config(features=[], target="value", validation_split=0.4)
    metrics = train_anomaly(
        given, make_table(frame, given, frequency=timedelta(minutes=step_minutes))
    ).metrics
    stated = metrics["expected_false_alarms_per_day"]
    assert stated <= 1 / 7 + 1e-9
    assert metrics["alarms_per_day"] < 3 * stated


def test_a_stuck_sensor_and_a_spike_are_alarms(unlabelled: TrainingResult) -> None:
    model = unlabelled.model
    rows = unlabelled.holdout[:200]
    quiet = model.predict(rows)
    stuck = rows.with_columns(
        load=pl.when(pl.int_range(pl.len()) < 100).then(pl.col("load")).otherwise(rows["load"][100])
    )
    assert model.predict(stuck)[108:].mean() > 0.8
    spike = rows.with_columns(load=pl.col("load") + 900 * (pl.int_range(pl.len()) == 150))
    assert quiet[150] == 0
    assert model.predict(spike)[150] == 1


def test_many_series_of_different_size_share_one_model(
    sample: pl.DataFrame, make_config: Configure, make_table: Tabulate
) -> None:
    part = sample[:1200]
    both = pl.concat(
        [part.with_columns(load=pl.col("load") * f, meter=pl.lit(m)) for m, f in (("a", 1.0), ("b", 1e4))]
    )
    given = make_config(features=["temperature"], target="load", series_id="meter")
    result = train_anomaly(given, make_table(both, given))
    assert result.score is not None
    by_meter = [result.score[(result.holdout["meter"] == m).to_numpy()] for m in "ab"]
    assert np.corrcoef(by_meter[0], by_meter[1])[0, 1] > 0.9


def test_words_can_be_features(sample: pl.DataFrame, make_config: Configure, make_table: Tabulate) -> None:
    worded = sample.with_columns(
        kind=pl.when(pl.col("is_anomaly") == 1).then(pl.lit("bad")).otherwise(pl.lit("good"))
    )
    given = make_config(features=["kind"])
    result = train_anomaly(given, make_table(worded, given))
    assert result.metrics["f1_score"] == 1
    unseen = result.holdout[:5].with_columns(kind=pl.lit("never seen"))
    assert np.isfinite(result.model.predict(unseen)).all()


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (({"is_anomaly": pl.lit(0.0)}, {}), r"only 0 anomalies.*10 are needed"),
        (({"is_anomaly": pl.lit(1.0)}, {}), "only 0 normal rows"),
        (({"is_anomaly": pl.lit(0.5)}, {"labels": True}), "found 0.5"),
        (({"load": pl.lit(3.0)}, {"target": "load", "features": []}), "never moves"),
        (({}, {"features": []}), "at least one feature"),
    ],
)
def test_what_cannot_be_learned_is_refused_with_a_way_out(
    sample: pl.DataFrame, make_config: Configure, make_table: Tabulate, case: Any, message: str
) -> None:
    change, given = case
    config = make_config(**given)
    with pytest.raises(DataError, match=message):
        train_anomaly(config, make_table(sample.with_columns(**change), config))


def test_a_series_too_short_to_watch_is_refused(
    sample: pl.DataFrame, make_config: Configure, make_table: Tabulate
) -> None:
    config = make_config(target="load", features=[])
    with pytest.raises(DataError, match="60 are needed"):
        train_anomaly(config, make_table(sample[:60], config))


def test_a_zero_one_value_can_be_watched_on_request(
    sample: pl.DataFrame, make_config: Configure, make_table: Tabulate
) -> None:
    config = make_config(labels=False, features=[])
    detector = train_anomaly(config, make_table(sample, config)).model
    assert isinstance(detector, Detector)
    assert detector.mode == "unlabelled"


def test_progress_rises_to_one_and_a_stop_stops(
    sample: pl.DataFrame, make_config: Configure, make_table: Tabulate
) -> None:
    config, seen = make_config(), []
    train_anomaly(config, make_table(sample, config), on_progress=lambda _, done: seen.append(done))
    assert seen == sorted(seen)
    assert seen[-1] == 1
    with pytest.raises(StoppedError):
        train_anomaly(config, make_table(sample, config), should_stop=lambda: len(seen) > 0)


def test_rows_without_a_label_are_not_learned_from(
    sample: pl.DataFrame, make_config: Configure, make_table: Tabulate
) -> None:
    config = make_config()
    holed = sample.with_columns(is_anomaly=pl.when(pl.int_range(pl.len()) % 5 > 0).then(pl.col("is_anomaly")))
    result = train_anomaly(config, make_table(holed, config))
    assert result.holdout["is_anomaly"].null_count() == 0
    assert len(result.y_pred) == result.holdout.height
