from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from aihub.errors import InputError
from aihub.serving.compiled import compile_model
from aihub.training.anomaly import train_anomaly
from aihub.training.config import TrainingConfig
from aihub.training.synthetic import generate_anomaly_data

CASES: dict[str, dict[str, Any]] = {
    "labelled": {"features": ["temperature", "humidity", "load"], "target": "is_anomaly"},
    "unlabelled": {"features": ["temperature", "humidity"], "target": "load"},
    "several meters": {"features": ["temperature"], "target": "load", "series_id": "meter"},
    "xgboost": {"features": ["temperature"], "target": "load", "algorithm": "xgboost"},
}
FAST = {"n_estimators": 20, "learning_rate": 0.2, "max_depth": 4}


def _frame() -> pl.DataFrame:
    frame = generate_anomaly_data(1_500, seed=5).with_columns(
        pl.col("timestamp").dt.replace_time_zone("UTC"), pl.col("is_anomaly").cast(pl.Float64)
    )
    return pl.concat([frame.with_columns(meter=pl.lit(name)) for name in ("a", "b")])


@pytest.mark.parametrize("case", CASES)
def test_flag_and_score_are_the_detectors_own(case: str, prepare: Any) -> None:
    config = TrainingConfig(**{"model_type": "anomaly", "hyperparameters": FAST, **CASES[case]})
    frame = _frame() if config.series_id else _frame().head(1_500)
    model = train_anomaly(config, prepare(frame, config, timedelta(hours=1))).model
    compiled = compile_model(model)
    end = frame.get_column("timestamp").max()
    rows = frame.filter(pl.col("timestamp") > end - timedelta(hours=30)).with_columns(
        # The last hours of the past again, and hours that nobody has seen.
        pl.col("timestamp") + timedelta(hours=24)
    )
    table = rows.select(model.feature_names)
    records = table.with_columns(pl.col("timestamp").dt.strftime("%Y-%m-%dT%H:%M:%SZ")).to_dicts()
    for part in (slice(None), slice(0, 1), slice(7, 8)):
        given = table[part]
        answer = compiled.predict(compiled.contract.records(records[part]))
        assert list(answer.prediction) == model.predict(given).tolist()
        assert answer.score == pytest.approx(model.score(given).tolist(), rel=1e-9)
        assert answer.target_us == given.get_column("timestamp").dt.timestamp("us").to_list()
    with pytest.raises(InputError, match="score and no interval"):
        compiled.predict(compiled.contract.records(records[:1]), level=0.9)
