"""Windows read from the database and merged: one row of sums for whatever range, versions and groups are asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.monitoring import sums
from aihub.monitoring.drift import spans
from aihub.monitoring.folding import NAIVE
from aihub.monitoring.storage import unpacked_scores
from aihub.store import observations as rows_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy.engine import Connection

    from aihub.types import FloatArray

FORECAST_METRICS = ("mae", "rmse", "mape", "r2_score", "bias", "smape", "wape")
ANOMALY_METRICS = ("precision", "recall", "f1", "auc", "accuracy")
_NAMES = {"f1": "f1_score", "auc": "auc_roc"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Slice:
    """Merged windows: one row of `aihub.monitoring.sums`, and the scores of an anomaly model."""

    row: FloatArray
    scores: FloatArray | None = None

    @property
    def n(self) -> int:
        """Predictions with an actual."""
        return int(sums.value(self.row, "n") + sums.value(self.row, "bad"))

    @property
    def predictions(self) -> int:
        """Predictions."""
        return int(sums.value(self.row, "predictions"))

    def metric(self, name: str, *, classes: bool) -> float:
        """One metric; NaN where it is not known."""
        return self.metrics(classes=classes)[name]

    def metrics(self, *, classes: bool) -> dict[str, float]:
        """Metrics by name; NaN where one is not known."""
        if classes:
            found = sums.classification(self.row, self.scores).metrics()
            return {name: found[_NAMES.get(name, name)] for name in ANOMALY_METRICS}
        found = sums.regression(self.row).metrics()
        return {name: found[name] for name in FORECAST_METRICS} | {
            "interval_coverage": sums.coverage(self.row)
        }

    def to_dict(self, *, classes: bool) -> dict[str, Any]:
        """JSON-able form: metrics, counts and the reason of what is null."""
        metrics = {name: known(value) for name, value in self.metrics(classes=classes).items()}
        reason = ""
        if not self.predictions and not self.n:
            reason = "no predictions in this range"
        elif not self.n:
            reason = "no actuals yet for the predictions of this range"
        elif sums.value(self.row, "bad"):
            reason = f"{int(sums.value(self.row, 'bad'))} predictions were no finite numbers: a model that does not answer has no error"
        return {
            **metrics,
            "predictions": self.predictions,
            "actuals": self.n,
            "unanswered": int(sums.value(self.row, "unanswered")),
            "reason": reason or None,
        }


EMPTY = Slice(row=sums.empty(1)[0])


@dataclass(frozen=True, kw_only=True, eq=False)
class Windows:
    """The windows of a range, one beside the other.

    Attributes
    ----------
    hour, version, group
        Of each window, shape (w,).
    rows
        Shape (w, `aihub.monitoring.sums.WIDTH`).
    """

    hour: Sequence[int]
    version: Sequence[int]
    group: Sequence[str]
    rows: FloatArray
    scores: Sequence[bytes | None]

    @classmethod
    def read(
        cls,
        connection: Connection,
        tenant: str,
        model: str,
        *,
        hours: tuple[int, int],
        versions: Collection[int] | None = None,
        hourly: bool = False,
    ) -> Windows:
        """Read the windows between two hours: whole days as days, unless `hourly`."""
        found: list[Any] = []
        for span, first, last in [("h", *hours)] if hourly else spans(*hours):
            found += rows_of.window_rows(
                connection, tenant=tenant, model=model, span=span, first=first, last=last, versions=versions
            )
        rows = np.frombuffer(b"".join(row.sums for row in found)).reshape(-1, sums.WIDTH)
        return cls(
            hour=[row.hour for row in found],
            version=[row.version for row in found],
            group=[row.series_group for row in found],
            rows=rows,
            scores=[row.scores for row in found],
        )

    def heard(self, served: Collection[int]) -> tuple[Windows, Windows]:
        """Part the windows in what counts for the model (with the reference) and what does not.

        What counts was answered in production. Versions that never served there do not count where one of `served` has
        windows: earlier logs do not tell a shadow's answers. Where nothing was answered in production, all counts.
        """
        answered = {version for version in self.version if version > NAIVE}
        counting = answered & set(served) or answered or set(self.version)
        counts = [version == NAIVE or version in counting for version in self.version]
        return self._some(counts), self._some([not one for one in counts])

    def _some(self, chosen: Sequence[bool]) -> Windows:
        use = np.flatnonzero(chosen).tolist()
        return Windows(
            hour=[self.hour[at] for at in use],
            version=[self.version[at] for at in use],
            group=[self.group[at] for at in use],
            rows=self.rows[use],
            scores=[self.scores[at] for at in use],
        )

    def merged(self, labels: Sequence[Any], *, without: int | None = NAIVE) -> dict[Any, Slice]:
        """Merge the windows that have the same label, in the order of the labels; without those of one version."""
        use = [at for at, version in enumerate(self.version) if version != without]
        names = sorted({labels[at] for at in use})
        index = {name: at for at, name in enumerate(names)}
        group = np.array([index[labels[at]] for at in use], np.intp)
        rows = sums.merged(self.rows[use], group, len(names))
        scores: dict[Any, FloatArray] = {}
        for at in use:
            body = self.scores[at]
            if body:
                scores[labels[at]] = scores.get(labels[at], 0.0) + unpacked_scores(body)
        return {name: Slice(row=rows[at], scores=scores.get(name)) for name, at in index.items()}

    def total(self) -> Slice:
        """Merge all windows of the model."""
        found = self.merged([0] * len(self.hour))
        return found.get(0, EMPTY)

    def naive(self) -> Slice:
        """Merge the windows of the seasonal-naive reference."""
        found = self.merged(self.version, without=None)
        return found.get(NAIVE, EMPTY)


def known(value: float) -> float | None:
    """Give a number, None where it is not finite: JSON has no NaN."""
    return float(value) if math.isfinite(value) else None
