from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from aihub.training.anomaly import train_anomaly
from aihub.training.config import TrainingConfig
from aihub.training.data import DataFingerprint, PreparedTable
from aihub.training.synthetic import generate_anomaly_data

if TYPE_CHECKING:
    from collections.abc import Callable

    from aihub.training.trainer import TrainingResult

FAST = {"n_estimators": 30, "learning_rate": 0.2, "max_depth": 5}
MEASURED = ["temperature", "humidity", "load"]


def config(**given: Any) -> TrainingConfig:
    return TrainingConfig(
        **{
            "model_type": "anomaly",
            "hyperparameters": FAST,
            "features": MEASURED,
            "target": "is_anomaly",
            **given,
        }
    )


def table(
    frame: pl.DataFrame, of: TrainingConfig, *, frequency: timedelta = timedelta(hours=1)
) -> PreparedTable:
    return PreparedTable(
        frame=frame,
        notes=(),
        fingerprint=DataFingerprint(
            sha256="",
            rows=frame.height,
            start=datetime(2024, 1, 1, tzinfo=UTC),
            end=datetime(2025, 1, 1, tzinfo=UTC),
        ),
        frequency=frequency,
        time_zone="UTC",
        path=Path("sample.csv"),
        timestamp=of.timestamp,
        target=of.target,
        series_id=of.series_id,
        features=tuple(of.features),
    )


@pytest.fixture(scope="session")
def sample() -> pl.DataFrame:
    """4,000 hours of load with disturbances, as the loader would give them."""
    return generate_anomaly_data(4_000, seed=5).with_columns(
        pl.col("timestamp").dt.replace_time_zone("UTC"), pl.col("is_anomaly").cast(pl.Float64)
    )


@pytest.fixture(scope="session")
def make_config() -> Callable[..., TrainingConfig]:
    return config


@pytest.fixture(scope="session")
def make_table() -> Callable[..., PreparedTable]:
    return table


@pytest.fixture(scope="session")
def labelled(sample: pl.DataFrame) -> TrainingResult:
    return train_anomaly(config(), table(sample, config()))


@pytest.fixture(scope="session")
def unlabelled(sample: pl.DataFrame) -> TrainingResult:
    given = config(features=["temperature", "humidity"], target="load")
    return train_anomaly(given, table(sample, given))
