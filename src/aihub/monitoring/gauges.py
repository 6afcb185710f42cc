"""What Prometheus reads of the models that serve: error, error against the promise, drift, actuals, faults."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily

from aihub.errors import AIHubError
from aihub.store import observations as rows_of
from aihub.store.engine import EVERY_TENANT, read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from aihub.monitoring.observations import Observations
    from aihub.monitoring.performance import Performance

WINDOW = timedelta(days=7)
KEPT_S = 60.0
"""A scrape gets figures at most so old: the gauges cost some milliseconds a model."""
GAUGES = {
    "aihub_model_mae": "Mean absolute error of the last seven days.",
    "aihub_model_error_ratio": "That error as a multiple of what validation promised.",
    "aihub_model_interval_coverage": "Share of actuals inside their interval, seven days.",
    "aihub_model_precision": "Precision of an anomaly model, seven days.",
    "aihub_model_recall": "Recall of an anomaly model, seven days.",
    "aihub_model_predictions": "Predictions of the last seven days.",
    "aihub_model_actuals": "Predictions of the last seven days whose actual has come.",
    "aihub_model_drift": "Features that drifted materially from the training data.",
    "aihub_model_drift_effect": "Largest effect among them.",
    "aihub_model_data_faults": "Series whose stream has a lasting fault.",
}


class ModelCollector:
    """Collector for a `prometheus_client` registry."""

    def __init__(self, observations: Observations) -> None:
        self._observations = observations
        self._at = -math.inf
        self._found: list[tuple[str, str, str, float]] = []

    def describe(self) -> list[Metric]:
        """Say nothing beforehand, so that registering asks no database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield one gauge a figure; what is not known has no sample."""
        if time.monotonic() - self._at >= KEPT_S:
            self._found = list(self._figures(datetime.now(UTC)))
            self._at = time.monotonic()
        for name, about in GAUGES.items():
            gauge = GaugeMetricFamily(name, about, labels=["tenant", "model"])
            for of, tenant, model, value in self._found:
                if of == name:
                    gauge.add_metric([tenant, model], value)
            yield gauge

    def _figures(self, now: datetime) -> Iterator[tuple[str, str, str, float]]:
        with read(self._observations.engine, tenant=EVERY_TENANT) as connection:
            known = rows_of.all_models(connection)
        for tenant, model in known:
            try:
                found = self._observations.performance(tenant, model, now - WINDOW, now)
            except AIHubError:
                continue  # a database that is away must not take the other metrics with it
            for name, value in figures(found).items():
                if math.isfinite(value):
                    yield name, tenant, model, value


def figures(found: Performance) -> dict[str, float]:
    """Gauges of one model by name; NaN where one is not known."""
    classes = found.context.classes
    whole = found.windows.total()
    metrics = whole.metrics(classes=classes)
    values = {
        "aihub_model_predictions": float(whole.predictions),
        "aihub_model_actuals": float(whole.n),
        "aihub_model_drift": math.nan if found.drift.detected is None else float(len(found.drift.material)),
        "aihub_model_drift_effect": max((abs(r.effect) for r in found.drift.material), default=0.0),
        "aihub_model_data_faults": float(len(found.faults)),
    }
    if classes:
        return values | {
            "aihub_model_precision": metrics["precision"],
            "aihub_model_recall": metrics["recall"],
        }
    promised = found.context.promised.get("mae", math.nan)
    return values | {
        "aihub_model_mae": metrics["mae"],
        "aihub_model_error_ratio": metrics["mae"] / promised if promised else math.nan,
        "aihub_model_interval_coverage": metrics["interval_coverage"],
    }
