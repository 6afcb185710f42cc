"""Live through a stretch of recorded time: a model predicts day by day, the actuals follow, the watch looks on.

For the demonstration and for acceptance tests: whatever the hub would have done in that time, it does, with the times of
the record as its clock. The parts are the real ones; only the waiting is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from aihub.delivery.watch import Look, evaluate_model
from aihub.monitoring.parsing import ActualTable
from aihub.monitoring.predictions import PredictionBatch, PredictionIds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from aihub.hub import Hub
    from aihub.types import FloatArray


class Forecaster(Protocol):
    """Answers for the version that serves: prediction, lower and upper bound of each hour."""

    def __call__(self, version: int, hours: NDArray[np.intp]) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Predict rows of the record by index, as `version` would have."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Record:
    """What happened, by hour, ascending.

    Attributes
    ----------
    stamps
        ``datetime64`` in UTC, shape (n,).
    actual
        What was measured then, shape (n,).
    features
        What the model was asked with.
    told
        Times that the meter gives for its values, shape (n,); None: the true ones.
    kept
        Which values come at all, shape (n,); None: all.
    times_told
        How often each value comes.
    """

    stamps: NDArray[np.datetime64]
    actual: FloatArray
    features: Mapping[str, Any] = field(default_factory=dict)
    series: str = "site"
    told: NDArray[np.datetime64] | None = None
    kept: NDArray[np.bool_] | None = None
    times_told: int = 1

    def days(self) -> Iterator[tuple[datetime, NDArray[np.intp]]]:
        """Yield the end of each day of the record, and its rows."""
        day = self.stamps.astype("datetime64[D]")
        for one in np.unique(day):
            end = datetime.fromisoformat(str(one)).replace(tzinfo=UTC) + timedelta(days=1)
            yield end, np.flatnonzero(day == one)

    def actuals_of(self, rows: NDArray[np.intp]) -> ActualTable | None:
        """Return what the meter tells of `rows`, None where it tells nothing."""
        if self.kept is not None:
            rows = rows[self.kept[rows]]
        if not rows.size:
            return None
        rows = np.tile(rows, self.times_told)
        told = self.stamps if self.told is None else self.told
        return ActualTable.of(self.actual[rows], target=told[rows], series=[self.series] * len(rows))


@dataclass(kw_only=True)
class Replayed:
    """What the watch did, look by look."""

    looks: list[Look] = field(default_factory=list)

    @property
    def acted(self) -> list[Look]:
        """Looks that came to an action."""
        return [look for look in self.looks if look.decisions]


def replay(
    hub: Hub,
    model: str,
    record: Record,
    forecaster: Forecaster,
    *,
    tenant: str,
    looks_a_day: int = 1,
    each_day: Callable[[datetime], None] | None = None,
) -> Replayed:
    """Live through `record` with whatever version of `model` serves in production at each time.

    Parameters
    ----------
    looks_a_day
        How often the watch looks; four is every six hours.
    each_day
        Called with the begin of each day before its predictions are made: to deploy something, for example.
    """
    ids, done = PredictionIds(), Replayed()
    for end, rows in record.days():
        begin = end - timedelta(days=1)
        if each_day is not None:
            each_day(begin)
        serving = hub.registry_of(tenant).serving(model)
        if serving is None:
            continue
        _predict(
            hub, model, record, forecaster, rows, ids=ids, tenant=tenant, version=serving.version, begin=begin
        )
        table = record.actuals_of(rows)
        if table is not None:
            hub.observations.ingest_actuals(tenant, model, table, now=end)
        for look_at in range(looks_a_day):
            now = end + timedelta(hours=24 / looks_a_day * look_at)
            look = evaluate_model(hub, tenant, model, now)
            done.looks += [look] if look else []
    return done


def _predict(
    hub: Hub,
    model: str,
    record: Record,
    forecaster: Forecaster,
    rows: NDArray[np.intp],
    *,
    ids: PredictionIds,
    tenant: str,
    version: int,
    begin: datetime,
) -> None:
    prediction, lower, upper = forecaster(version, rows)
    batch = PredictionBatch(
        tenant=tenant,
        model=model,
        version=version,
        ids=ids.take(len(rows), now_ms=int(begin.timestamp() * 1000)),
        prediction=prediction,
        lower=lower,
        upper=upper,
        series=[record.series] * len(rows),
        target=record.stamps[rows],
        features={name: np.asarray(values)[rows] for name, values in record.features.items()},
    )
    hub.observations.ingest_predictions([batch])
