"""What Prometheus reads of serving; collected when it asks, from plain numbers that requests have counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from aihub.serving.routes import BUCKETS_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from aihub.serving.pool import ServingPool
    from aihub.serving.routes import Usage

_LABELS = ("tenant", "model", "environment")


class ServingCollector:
    """Metrics of one pool; register it with a `prometheus_client` registry."""

    def __init__(self, pool: ServingPool) -> None:
        self._pool = pool

    def collect(self) -> Iterator[Metric]:
        """Return every metric as it is now."""
        rows = CounterMetricFamily("aihub_predictions", "Rows predicted.", labels=_LABELS)
        refused = CounterMetricFamily(
            "aihub_predict_refused", "Requests for predictions that were refused.", labels=_LABELS
        )
        took = HistogramMetricFamily("aihub_predict_seconds", "Time to answer.", labels=_LABELS)
        serving = GaugeMetricFamily(
            "aihub_serving_version", "Number of the version that answers.", labels=_LABELS
        )
        for key, route in self._pool.routes.items():
            usage = route.usage
            rows.add_metric(key, usage.rows)
            refused.add_metric(key, usage.refused)
            took.add_metric(key, _buckets(usage), usage.seconds)
            serving.add_metric(key, route.champion.number)
        yield from (rows, refused, took, serving)
        yield from self._of_log()

    def _of_log(self) -> Iterator[Metric]:
        log, shadows = self._pool.log, self._pool.shadows
        yield GaugeMetricFamily("aihub_prediction_log_pending", "Rows that wait to be logged.", log.pending)
        outcomes = CounterMetricFamily(
            "aihub_prediction_log_rows", "Rows by what the log did with them.", labels=("outcome",)
        )
        for outcome in ("written", "refused", "not_sampled", "lost"):
            outcomes.add_metric((outcome,), getattr(log.counts, outcome))
        yield outcomes
        asked = CounterMetricFamily(
            "aihub_shadow_requests", "Requests that a shadow was asked.", labels=("outcome",)
        )
        for outcome in ("asked", "failed", "left_out"):
            asked.add_metric((outcome,), getattr(shadows, outcome))
        yield asked
        failing = GaugeMetricFamily(
            "aihub_serving_failures",
            "Models whose deployed version cannot be loaded.",
            len(self._pool.failures),
        )
        yield failing


def _buckets(usage: Usage) -> list[tuple[str, float]]:
    found, total = [], 0
    for edge, count in zip((*BUCKETS_S, None), usage.buckets, strict=True):
        total += count
        found.append(("+Inf" if edge is None else str(edge), float(total)))
    return found
