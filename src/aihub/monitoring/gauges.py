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
"""Figures younger than this are told again: they cost some milliseconds a model."""
BUDGET_S = 1.0
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
    """Collector for a `prometheus_client` registry.

    A scrape spends at most `BUDGET_S` on figures that are older than `KEPT_S`, the oldest first: with thousands of models
    each is looked at now and then, and no scrape times out.
    """

    def __init__(self, observations: Observations) -> None:
        self._observations = observations
        self._found: dict[tuple[str, str], tuple[float, dict[str, float]]] = {}

    def describe(self) -> list[Metric]:
        """Say nothing beforehand, so that registering asks no database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield one gauge a figure; what is not known has no sample."""
        self._refresh(datetime.now(UTC))
        for name, about in GAUGES.items():
            gauge = GaugeMetricFamily(name, about, labels=["tenant", "model"])
            for (tenant, model), (_, values) in list(self._found.items()):
                if math.isfinite(values.get(name, math.nan)):
                    gauge.add_metric([tenant, model], values[name])
            yield gauge

    def _refresh(self, now: datetime) -> None:
        begun = time.monotonic()
        try:
            with read(self._observations.engine, tenant=EVERY_TENANT) as connection:
                known = rows_of.all_models(connection)
        except AIHubError:
            return  # a database that is away must not take the other metrics with it
        self._found = {key: value for key, value in self._found.items() if key in set(known)}
        stale = sorted(known, key=lambda key: self._found.get(key, (-math.inf, {}))[0])
        for key in stale:
            at = self._found.get(key, (-math.inf, {}))[0]
            if begun - at < KEPT_S or time.monotonic() - begun > BUDGET_S:
                return
            try:
                found = figures(self._observations.performance(*key, now - WINDOW, now))
            except AIHubError:
                found = {}
            self._found[key] = (time.monotonic(), found)


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
