"""How a model did in a range of time: metrics of its windows, drift of its features, and an estimate where actuals lack.

What is not known is null with a reason, and never a number that passes something.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.errors import InputError
from aihub.monitoring import sums
from aihub.monitoring.chunks import DAY_US, HOURS_PER_DAY
from aihub.monitoring.drift import FeatureDrift, feature_drift, spans
from aihub.monitoring.folding import NAIVE
from aihub.monitoring.quality import faults_in
from aihub.monitoring.storage import unpacked_scores
from aihub.store import observations as rows_of
from aihub.types import iso

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy.engine import Connection

    from aihub.monitoring.context import Contexts, VersionContext
    from aihub.types import FloatArray

HOUR_S = 3600
MAX_STEPS = 10_000
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


@dataclass(frozen=True, kw_only=True)
class Performance:
    """The performance of a model in a range, as the API answers it.

    Attributes
    ----------
    windows
        Of answers that were sent: a shadow's and those asked for in staging say nothing of the model.
    unheard
        Of all others, for the figures of each version.
    """

    model: str
    start: datetime
    end: datetime
    windows: Windows
    unheard: Windows
    context: VersionContext
    drift: FeatureDrift
    drift_version: int | None
    counts: dict[str, int]
    step: timedelta | None = None
    faults: tuple[Any, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form; undefined numbers are null."""
        classes = self.context.classes
        whole = self.windows.total()
        by_group = self.windows.merged(self.windows.group)
        document = {
            "model": self.model,
            "start_date": iso(self.start),
            "end_date": iso(self.end),
            **whole.to_dict(classes=classes),
            "promised": dict(self.context.promised),
            "worse_than_promised": None if classes else known(self._worse(whole)),
            "data_drift_detected": self.drift.detected,
            "data_drift": {"version": self.drift_version, **self.drift.to_dict()},
            "seasonal_naive": None if classes else _naive(self.windows.naive()),
            "estimate": estimate(whole, classes=classes),
            "versions": _by_version(self.windows, classes=classes),
            "unheard": _by_version(self.unheard, classes=classes),
            "groups": {g or "all": part.to_dict(classes=classes) for g, part in by_group.items()},
            "ingested": self.counts,
            "faults": [fault.to_dict() for fault in self.faults],
        }
        if self.step is not None:
            document["series"] = self._series(classes=classes)
        return document

    def _worse(self, whole: Slice) -> float:
        promised = self.context.promised.get("mae", math.nan)
        return whole.metric("mae", classes=False) / promised - 1 if promised > 0 else math.nan

    def _series(self, *, classes: bool) -> list[dict[str, Any]]:
        """Give the steps of the range; days begin at midnight UTC, since the windows of whole days do."""
        step = self.step or timedelta(days=1)
        step_h = max(1, round(step.total_seconds() / HOUR_S))
        first, last = hour_of(self.start), -(-round(self.end.timestamp()) // HOUR_S)
        if step >= timedelta(days=1):
            first = first // HOURS_PER_DAY * HOURS_PER_DAY
        steps = self.windows.merged([(hour - first) // step_h for hour in self.windows.hour])
        return [
            {
                "start": iso(datetime.fromtimestamp((first + at * step_h) * HOUR_S, UTC)),
                **steps.get(at, EMPTY).to_dict(classes=classes),
            }
            for at in range(-(-(last - first) // step_h))
        ]


def performance(
    connection: Connection,
    tenant: str,
    model: str,
    start: datetime,
    end: datetime,
    *,
    contexts: Contexts,
    step: timedelta | None = None,
) -> Performance:
    """Compute the performance of a model between two times, to the hour.

    The cost grows with the days of the range (at most 366 and some hours), never with the predictions in it.

    Raises
    ------
    InputError
        The range is empty, longer than ten years, or has more than 10,000 steps.
    """
    hours = _hours(start, end, step)
    needs_hours = step is not None and step < timedelta(days=1)
    every = Windows.read(connection, tenant, model, hours=hours, hourly=needs_hours)
    windows, unheard = every.heard(contexts.answering(tenant, model))
    # As it stands in the windows: of a model that was asked in staging alone it is below zero.
    kept_as = max((v for v in windows.version if v != NAIVE), key=abs, default=None)
    newest = None if kept_as is None else abs(kept_as)
    context = contexts.latest(tenant, model) if newest is None else contexts.of(tenant, model, newest)
    if kept_as is None:
        drift = FeatureDrift(report=None, detected=None, reason="no predictions in this range")
    else:
        drift = feature_drift(connection, tenant, model, kept_as, hours=hours, context=context)
        if drift.detected is None and context.missing:
            drift = replace(drift, reason=f"{drift.reason}; {context.missing}")
    counts = rows_of.counts(
        connection,
        tenant=tenant,
        model=model,
        first=_day(start),
        last=_day(end - timedelta(microseconds=1)) + 1,
    )
    return Performance(
        model=model,
        start=start,
        end=end,
        windows=windows,
        unheard=unheard,
        context=context,
        drift=drift,
        drift_version=newest,
        counts=counts,
        step=step,
        faults=tuple(faults_in(connection, tenant, model)),
    )


def estimate(whole: Slice, *, classes: bool) -> dict[str, Any] | None:
    """Say what the performance probably is where actuals lack; None where nothing can be said. Never a measurement.

    From the model's own intervals or calibrated scores: it sees that the inputs became harder, and is blind to a change
    of the relation between inputs and target.
    """
    row = whole.row
    if classes:
        if not sums.value(row, "scores"):
            return None
        caught, flagged = sums.value(row, "score_flagged"), sums.value(row, "flagged")
        likely = sums.value(row, "score_sum")
        found = {
            "precision": caught / flagged if flagged else None,
            "recall": caught / likely if likely else None,
        }
        return {
            "is_estimate": True,
            "method": "calibrated scores",
            "rows": int(sums.value(row, "scores")),
            **found,
        }
    error = sums.expected_error(row)
    if math.isnan(error):
        return None
    return {
        "is_estimate": True,
        "method": "width of the model's intervals",
        "rows": int(sums.value(row, "intervals")),
        "mae": error,
    }


def parse_time(text: str, field_name: str) -> datetime:
    """Read an ISO date or time; without a zone it is UTC.

    Raises
    ------
    InputError
        It is none.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(
            f"{field_name} {text[:40]!r} is no ISO date; write 2026-01-31 or 2026-01-31T14:00:00Z"
        ) from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def parse_step(text: str) -> timedelta:
    """Read a step such as ``1h``, ``6h``, ``1d`` or ``7d``.

    Raises
    ------
    InputError
        It is none.

    >>> parse_step("6h")
    datetime.timedelta(seconds=21600)
    """
    number, unit = text[:-1], text[-1:]
    if not number.isdigit() or len(number) > 4 or unit not in {"h", "d"} or int(number) < 1:  # noqa: PLR2004
        raise InputError(f"step {text[:20]!r} is not understood; write hours or days, such as 6h or 1d")
    return timedelta(hours=int(number)) if unit == "h" else timedelta(days=int(number))


def hour_of(stamp: datetime) -> int:
    """Hours since 1970."""
    return int(stamp.timestamp()) // HOUR_S


def known(value: float) -> float | None:
    """Give a number, None where it is not finite: JSON has no NaN."""
    return float(value) if math.isfinite(value) else None


def _day(stamp: datetime) -> int:
    return round(stamp.timestamp() * 1e6) // DAY_US


def _hours(start: datetime, end: datetime, step: timedelta | None) -> tuple[int, int]:
    first, last = hour_of(start), -(-round(end.timestamp() * 1e6) // (HOUR_S * 1_000_000))
    if last <= first:
        raise InputError("end_date must be after start_date; exchange them")
    if last - first > 3660 * HOURS_PER_DAY:
        raise InputError("a range may be ten years long at most; ask for a shorter one")
    if step is not None and (last - first) * HOUR_S / step.total_seconds() > MAX_STEPS:
        raise InputError(f"the range has more than {MAX_STEPS} steps; ask for longer steps")
    return first, last


def _by_version(windows: Windows, *, classes: bool) -> dict[str, Any]:
    parts = windows.merged([abs(version) for version in windows.version])
    return {str(version): part.to_dict(classes=classes) for version, part in parts.items()}


def _naive(naive: Slice) -> dict[str, Any]:
    metrics = sums.regression(naive.row).metrics()
    return {"mae": known(metrics["mae"]), "rmse": known(metrics["rmse"]), "actuals": naive.n}
