"""Where predictions and actuals come together: the one object through which the rest of the hub uses monitoring."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.errors import AIHubError, UnavailableError
from aihub.monitoring import actuals as incoming
from aihub.monitoring.chunks import DAY_US, PredictionRows, features_to_bytes, id_keys, series_keys
from aihub.monitoring.faults import Fault, faults_in
from aihub.monitoring.folding import fold_pending, refold
from aihub.monitoring.log import ModelLog
from aihub.monitoring.performance import Performance, performance
from aihub.monitoring.predictions import PredictionBatch, created_us
from aihub.monitoring.sums import Answers
from aihub.store import observations as rows_of
from aihub.store.engine import EVERY_TENANT, read, write

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from sqlalchemy.engine import Engine

    from aihub.monitoring.actuals import Receipt
    from aihub.monitoring.context import Contexts
    from aihub.monitoring.parsing import ActualTable
    from aihub.types import FloatArray

FOLD_ROWS = 4000
"""Predictions that wait at most before they are folded into the windows."""
FOLD_MS = 2000
"""Longest time that a prediction waits while others come in."""
_DELETED_AT_ONCE = 200


@dataclass(frozen=True)
class Observations:
    """Predictions and actuals of all tenants.

    Parameters
    ----------
    engine
        The monitoring database, brought up to date by `aihub.store.schema.upgrade`.
    contexts
        What is known of the versions.
    fold_rows, fold_ms
        See `FOLD_ROWS` and `FOLD_MS`; a process that serves sets them high and leaves folding to others.
    """

    engine: Engine
    contexts: Contexts
    fold_rows: int = FOLD_ROWS
    fold_ms: int = FOLD_MS

    def ingest_predictions(self, batches: Iterable[PredictionBatch]) -> None:
        """Write predictions into the log, one transaction a tenant and model, and fold them where enough wait.

        Raises
        ------
        UnavailableError
            The database does not answer; nothing of that model's batches is written.
        """
        by_model: dict[tuple[str, str], list[PredictionBatch]] = {}
        for batch in batches:
            if len(batch):
                by_model.setdefault((batch.tenant, batch.model), []).append(batch)
        for (tenant, model), some in by_model.items():
            with write(self.engine, tenant=tenant) as connection:
                log = ModelLog(connection, tenant, model)
                for batch in some:
                    self._write(log, batch)
                newest = max(int(created_us(batch.ids[-1:])[0]) for batch in some)
                waiting, oldest = rows_of.pending(connection, tenant=tenant, model=model)
                is_old = (
                    oldest is not None
                    and newest - int(created_us(np.array([oldest]))[0]) > self.fold_ms * 1000
                )
                if waiting >= self.fold_rows or is_old:
                    fold_pending(log, self.contexts)

    def _write(self, log: ModelLog, batch: PredictionBatch) -> None:
        n = len(batch)
        made = created_us(batch.ids)
        context = self.contexts.of(log.tenant, log.model, batch.version)
        codes = log.codes_for(None if batch.target is None else batch.series, n, context)
        if batch.target is None:
            key, target = id_keys(batch.ids), made
        else:
            target = batch.target.astype("datetime64[us]").astype(np.int64)
            if context.times is not None:
                target, _ = context.times.settled(target)
            key = series_keys(codes, target)
        rows = PredictionRows(
            key,
            batch.ids,
            Answers(
                np.asarray(batch.prediction, np.float64),
                *(_or_nan(column, n) for column in (batch.lower, batch.upper, batch.score)),
            ),
        )
        days = target // DAY_US
        first = int(days[0])
        if (days == first).all():
            log.write_predictions(
                batch.kept_as, first, rows_of.PENDING, rows, features_to_bytes(batch.features)
            )
            return
        for day in np.unique(days).tolist():
            at = np.flatnonzero(days == day)
            features = features_to_bytes(
                {name: _taken(values, at) for name, values in batch.features.items()}
            )
            log.write_predictions(batch.kept_as, int(day), rows_of.PENDING, rows.take(at), features)

    def ingest_actuals(
        self, tenant: str, model: str, table: ActualTable, *, now: datetime | None = None
    ) -> Receipt:
        """Take actuals in one transaction; idempotent.

        Raises
        ------
        UnavailableError
            The database does not answer; nothing is written.
        """
        with write(self.engine, tenant=tenant) as connection:
            log = ModelLog(connection, tenant, model)
            return incoming.take(log, table, self.contexts, now or datetime.now(UTC))

    def fold(self, tenant: str, model: str) -> int:
        """Fold the predictions of a model that wait; return how many there were."""
        with write(self.engine, tenant=tenant) as connection:
            return fold_pending(ModelLog(connection, tenant, model), self.contexts)

    def fold_waiting(self) -> int:
        """Fold the predictions of every tenant and model that wait; return how many there were.

        Raises
        ------
        AIHubError
            The first fault of a model, such as a damaged chunk, after all others were folded.
        """
        with read(self.engine, tenant=EVERY_TENANT) as connection:
            some = rows_of.waiting(connection)
        folded, faults = 0, list[AIHubError]()
        for tenant, model in some:
            try:
                folded += self.fold(tenant, model)
            except UnavailableError:
                raise
            except AIHubError as fault:
                faults.append(fault)
        if faults:
            raise faults[0]
        return folded

    def repair(self, tenant: str, model: str) -> tuple[int, int]:
        """Compute every window again whose raw log is still there; return the days and the predictions read.

        Windows of days whose raw log was deleted are kept as they are.
        """
        self.fold(tenant, model)
        with read(self.engine, tenant=tenant) as connection:
            days = rows_of.prediction_days(connection, tenant=tenant, model=model)
        seen = 0
        for day in days:  # a transaction a day: the log goes on meanwhile
            with write(self.engine, tenant=tenant) as connection:
                seen += refold(ModelLog(connection, tenant, model), [day], self.contexts, features=True)
        return len(days), seen

    def forget(self, tenant: str, model: str, *, before: datetime) -> int:
        """Delete the raw log of days before `before`, some chunks a transaction; return how many went. Windows stay."""
        day, gone = round(before.timestamp() * 1e6) // DAY_US, 0
        while True:
            with write(self.engine, tenant=tenant) as connection:
                some = rows_of.delete_before(
                    connection, tenant=tenant, model=model, day=day, limit=_DELETED_AT_ONCE
                )
            gone += some
            if not some:
                return gone

    def performance(
        self, tenant: str, model: str, start: datetime, end: datetime, *, step: timedelta | None = None
    ) -> Performance:
        """Compute the performance of a model between two times, with what has come in up to now.

        Writes only where predictions still wait to be folded.

        Raises
        ------
        InputError
            The range or the step cannot be used.
        """
        with read(self.engine, tenant=tenant) as connection:
            waiting, _ = rows_of.pending(connection, tenant=tenant, model=model)
        if waiting:
            self.fold(tenant, model)
        with read(self.engine, tenant=tenant) as connection:
            return performance(connection, tenant, model, start, end, contexts=self.contexts, step=step)

    def models(self, tenant: str) -> list[str]:
        """Names of the models that have predictions."""
        with read(self.engine, tenant=tenant) as connection:
            return rows_of.models(connection, tenant=tenant)

    def faults(self, tenant: str, model: str) -> list[Fault]:
        """Faults of the model's streams that have not ended."""
        with read(self.engine, tenant=tenant) as connection:
            return faults_in(connection, tenant, model)


def _or_nan(values: FloatArray | None, n: int) -> FloatArray:
    return np.full(n, np.nan) if values is None else np.asarray(values, np.float64)


def _taken(values: Any, at: NDArray[np.intp]) -> Any:
    if isinstance(values, np.ndarray):
        return values[at]
    some: Sequence[Any] = [values[i] for i in at.tolist()]
    return some
