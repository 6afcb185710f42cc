"""Small made-up load with weather, and a model trained on it once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from aihub.training.config import TrainingConfig
from aihub.training.data import DataFingerprint, PreparedTable
from aihub.training.trainer import TrainingResult, train

START = datetime(2023, 1, 1, tzinfo=UTC)
FAST = {"n_estimators": 20, "learning_rate": 0.2, "num_leaves": 8}


def load_frame(
    days: int,
    *,
    step: timedelta = timedelta(hours=1),
    start: datetime = START,
    seed: int = 0,
    level: float = 1.0,
) -> pl.DataFrame:
    """Load with a daily and a weekly shape, driven by temperature."""
    rng = np.random.default_rng(seed)
    n = int(timedelta(days=days) / step)
    stamps = pl.datetime_range(start, start + step * (n - 1), step, eager=True, time_unit="us")
    hour = stamps.dt.hour().to_numpy() + stamps.dt.minute().to_numpy() / 60
    weekend = stamps.dt.weekday().to_numpy() >= 6
    slow = np.repeat(rng.normal(size=n // 24 + 1).cumsum() * 0.3, 24)[:n]
    temperature = 15 + 5 * np.sin(2 * np.pi * (hour - 9) / 24) + slow
    load = 100 + 20 * np.sin(2 * np.pi * (hour - 8) / 24) - 15 * weekend + 1.5 * np.abs(temperature - 15)
    return pl.DataFrame(
        {
            "timestamp": stamps,
            "load": level * (load + rng.normal(size=n)),
            "temperature": temperature,
        }
    )


def prepared(
    frame: pl.DataFrame, config: TrainingConfig, *, step: timedelta = timedelta(hours=1)
) -> PreparedTable:
    """What the data package would give for a clean file."""
    stamps = frame.get_column(config.timestamp)
    keys = [config.timestamp] if config.series_id is None else [config.series_id, config.timestamp]
    return PreparedTable(
        frame=frame.sort(keys),
        notes=(),
        fingerprint=DataFingerprint(sha256="0" * 64, rows=frame.height, start=stamps.min(), end=stamps.max()),
        frequency=step,
        time_zone=config.calendar_zone,
        path=Path("load.csv"),
        timestamp=config.timestamp,
        target=config.target,
        series_id=config.series_id,
        features=tuple(config.features),
    )


def config_for(**fields: Any) -> TrainingConfig:
    """Fast settings; fields go over them."""
    return TrainingConfig(
        **{"target": "load", "features": ["temperature"], "hyperparameters": FAST, **fields}
    )


@pytest.fixture(scope="session")
def cases() -> SimpleNamespace:
    """The functions of this file, for tests that make their own data."""
    return SimpleNamespace(load_frame=load_frame, config_for=config_for, prepared=prepared, start=START)


@pytest.fixture(scope="session")
def trained() -> TrainingResult:
    """A model of sixty days, judged on the last twelve."""
    config = config_for()
    return train(config, prepared(load_frame(60), config))
