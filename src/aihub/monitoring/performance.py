"""How a model did in a range of time: metrics of its windows, drift of its features, and an estimate where actuals lack.

What is not known is null with a reason, and never a number that passes something.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from aihub.errors import InputError
from aihub.monitoring import sums
from aihub.monitoring.chunks import DAY_US, HOURS_PER_DAY
from aihub.monitoring.drift import FeatureDrift, feature_drift
from aihub.monitoring.faults import faults_in
from aihub.monitoring.folding import NAIVE
from aihub.monitoring.windows import EMPTY, Slice, Windows, known
from aihub.store import observations as rows_of
from aihub.types import iso

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from aihub.monitoring.context import Contexts, VersionContext

HOUR_S = 3600
MAX_STEPS = 10_000


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
