# ruff: noqa: PLC0415 - the model libraries take seconds to import, which tests left out should not cost
"""Small models of every kind, trained once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from aihub.training.config import TrainingConfig
from aihub.training.data import DataFingerprint, PreparedTable

if TYPE_CHECKING:
    from collections.abc import Callable

    from aihub.training.model import TrainedModel

START = datetime(2024, 3, 4, tzinfo=UTC)
FAST = {"n_estimators": 12, "learning_rate": 0.2, "max_depth": 4}


def load_frame(
    days: int, *, step: timedelta = timedelta(hours=1), series: tuple[str, ...] = (), extra_h: int = 0
) -> pl.DataFrame:
    """Load with two seasons, weather and a word; with `series`, each at a size of its own."""
    parts = []
    per_day = max(1, round(86400 / step.total_seconds()))
    n = days * per_day + extra_h
    for size, name in enumerate(series or ("",), start=1):
        rng = np.random.default_rng(size)
        at = np.arange(n)
        temperature = 10 + 8 * np.sin(2 * np.pi * at / per_day) + rng.normal(0, 2, n)
        load = size * (100 + 30 * np.sin(2 * np.pi * at / per_day) + temperature + rng.normal(0, 3, n))
        temperature[5::97] = np.nan
        parts.append(
            pl.DataFrame(
                {
                    "timestamp": [START + step * k for k in range(n)],
                    "meter": [name] * n,
                    "temperature": temperature,
                    "wind": rng.normal(5, 1, n),
                    "sky": rng.choice(["clear", "cloud", "rain"], n),
                    "load": load,
                }
            ).with_columns(pl.col("temperature").fill_nan(None))
        )
    return pl.concat(parts)


def prepared(frame: pl.DataFrame, config: TrainingConfig, step: timedelta) -> PreparedTable:
    """The frame as `prepare` would give it."""
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


@pytest.fixture(scope="session")
def train_forecast() -> Callable[..., TrainedModel]:
    """Train a forecast on made-up load."""
    from aihub.training.trainer import train

    def make(
        days: int = 50,
        *,
        step: timedelta = timedelta(hours=1),
        series: tuple[str, ...] = (),
        extra_h: int = 0,
        **fields: Any,
    ) -> TrainedModel:
        given: dict[str, Any] = {"target": "load", "features": ["temperature"], "hyperparameters": FAST}
        if series:
            given["series_id"] = "meter"
        config = TrainingConfig(**{**given, **fields})
        frame = load_frame(days, step=step, series=series, extra_h=extra_h)
        return train(config, prepared(frame, config, step)).model

    return make


@pytest.fixture(scope="session")
def prepare() -> Callable[..., PreparedTable]:
    """The function of this file, for tests that make their own data."""
    return prepared
