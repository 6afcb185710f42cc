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
    from collections.abc import Callable, Iterator

    from aihub.hub import Hub
    from aihub.registry.records import Version
    from aihub.serving.pool import ServingPool
    from aihub.training.model import TrainedModel

NOW = datetime(2026, 1, 2, tzinfo=UTC)
START = datetime(2024, 3, 4, tzinfo=UTC)
FAST = {"n_estimators": 12, "learning_rate": 0.2, "max_depth": 4}


def load_frame(
    days: int,
    *,
    step: timedelta = timedelta(hours=1),
    series: tuple[str, ...] = (),
    extra_h: int = 0,
    start: datetime = START,
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
                    "timestamp": [start + step * k for k in range(n)],
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
        start: datetime = START,
        **fields: Any,
    ) -> TrainedModel:
        given: dict[str, Any] = {"target": "load", "features": ["temperature"], "hyperparameters": FAST}
        if series:
            given["series_id"] = "meter"
        config = TrainingConfig(**{**given, **fields})
        frame = load_frame(days, step=step, series=series, extra_h=extra_h, start=start)
        return train(config, prepared(frame, config, step)).model

    return make


@pytest.fixture(scope="session")
def prepare() -> Callable[..., PreparedTable]:
    """The function of this file, for tests that make their own data."""
    return prepared


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """A hub on SQLite in an empty folder."""
    from hubs import hub_in

    with hub_in(tmp_path / "home") as found:
        yield found


@pytest.fixture(scope="session")
def booster_text() -> Callable[[float], bytes]:
    """A LightGBM model of `a` and `b` that answers about `slope` times `a`."""

    def make(slope: float) -> bytes:
        import lightgbm

        rng = np.random.default_rng(0)
        x = rng.uniform(size=(400, 2))
        data = lightgbm.Dataset(x, slope * x[:, 0], feature_name=["a", "b"])
        given = {"num_leaves": 7, "verbose": -1, "num_threads": 1}
        return str(lightgbm.train(given, data, 20).model_to_string()).encode()

    return make


@pytest.fixture
def register(hub: Hub, booster_text: Callable[[float], bytes]) -> Callable[..., Version]:
    """Register a version: a booster of a slope, or a trained model."""
    from aihub.registry import boosters
    from aihub.registry.artifacts import Manifest, pack
    from aihub.registry.external import ExternalModel
    from aihub.registry.lineage import collect

    def make(
        slope: float = 1.0,
        *,
        name: str = "load",
        model: Any = None,
        tenant: str = "default",
        spec: dict[str, Any] | None = None,
    ) -> Version:
        found = model or ExternalModel(boosters.load(boosters.parse(booster_text(slope))))
        digest = hub.artifacts.put(pack(found.to_files(), Manifest(kind=found.kind, name=name)))
        config = {
            "model_type": "forecast",
            "features": ["a"],
            "target": "y",
            "algorithm": "lgbm",
            "seed": slope,
        }
        lineage = collect(config, {"sha256": "0" * 64, "rows": 9}, requested_by="ann", now=NOW)
        return hub.registry_of(tenant).register_version(
            name,
            digest,
            lineage,
            status="candidate",
            actor="ann",
            now=NOW,
            report={"passed": True},
            spec=spec,
        )

    return make


@pytest.fixture
def deploy(hub: Hub) -> Callable[..., Any]:
    """Deploy a version."""

    def make(version: Version, *, tenant: str = "default", environment: str = "production") -> Any:
        return hub.registry_of(tenant).deploy(
            version.model, version.number, actor="ann", reason="because", now=NOW, environment=environment
        )

    return make


@pytest.fixture
def pool(hub: Hub) -> Iterator[ServingPool]:
    """What serves the hub; the test starts it."""
    made = hub.serving_pool()
    yield made
    made.stop()


@pytest.fixture
def now() -> datetime:
    """When keys are made: they have to count today."""
    return datetime.now(UTC)
