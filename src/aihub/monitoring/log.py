"""The log of one model inside an open transaction: series codes, the days of actuals and predictions, compaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.errors import InputError
from aihub.monitoring.chunks import (
    MAX_SERIES,
    ActualRows,
    PredictionRows,
    feature_columns,
    features_from_bytes,
    join_features,
    series_keys,
    times_of,
)
from aihub.store import observations as rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from sqlalchemy.engine import Connection

    from aihub.monitoring.context import VersionContext

FAN = 16
"""Chunks of one level that are merged into one of the next."""
MAX_NAME = 256
MAX_GROUPS = 64


class ModelLog:
    """The log of one model; holds its lock until the transaction ends, and what it has read.

    Parameters
    ----------
    exclusive
        False: only reads, and takes no lock.
    """

    def __init__(self, connection: Connection, tenant: str, model: str, *, exclusive: bool = True) -> None:
        self.connection, self.tenant, self.model = connection, tenant, model
        if exclusive:
            rows_of.lock(connection, tenant=tenant, model=model)
        self._actuals: dict[int, ActualRows] = {}
        self._codes: dict[str, int] | None = None
        self._groups: list[str] = []
        self._states: dict[int, str] | None = None
        self._changed: set[int] = set()

    @property
    def codes(self) -> dict[str, int]:
        """Code by series id."""
        if self._codes is None:
            found = rows_of.series(self.connection, tenant=self.tenant, model=self.model)
            self._codes = {row.name: row.code for row in found}
            self._groups = [row.series_group for row in found]
        return self._codes

    @property
    def _remembered(self) -> dict[int, str]:
        if self._states is None:
            self._states = rows_of.states(self.connection, tenant=self.tenant, model=self.model)
        return self._states

    def memory(self, code: int) -> Any:
        """Return what the data quality remembers of a series, None for nothing."""
        return rows_of.state_of(self._remembered.get(code))

    @property
    def names(self) -> list[str]:
        """Series ids by code."""
        return list(self.codes)

    @property
    def groups(self) -> list[str]:
        """Group by series code."""
        _ = self.codes
        return self._groups

    def remember(self, code: int, state: Any) -> None:
        """Keep what the data quality remembers of a series until `changed_states` is asked."""
        self._remembered[code] = rows_of.written(state)
        self._changed.add(code)

    def changed_states(self) -> dict[int, str]:
        """Memories that have changed, as they are kept, by series code."""
        return {code: self._remembered[code] for code in self._changed}

    def codes_for(self, names: Sequence[str] | None, n: int, context: VersionContext) -> NDArray[np.int64]:
        """Code of each of `n` rows; writes the series that are new.

        Raises
        ------
        InputError
            A series id is too long, or there are too many.
        """
        if names is None:
            return np.full(n, self._code("", context), np.int64)
        known = self.codes
        try:
            return np.fromiter(map(known.__getitem__, names), np.int64, n)
        except KeyError:
            for name in dict.fromkeys(names):
                self._code(name, context)
            return np.fromiter(map(known.__getitem__, names), np.int64, n)

    def _code(self, name: str, context: VersionContext) -> int:
        known = self.codes
        if name in known:
            return known[name]
        if len(name) > MAX_NAME or len(known) >= MAX_SERIES:
            raise InputError(
                f"series id {name[:40]!r}: at most {MAX_NAME} characters, {MAX_SERIES} series a model"
            )
        group = context.group_of(name)[:64]
        if group not in self._groups and len(set(self._groups)) >= MAX_GROUPS:
            group = "(other)"
        code = len(known)
        row = {
            "tenant_id": self.tenant,
            "model": self.model,
            "code": code,
            "name": name,
            "series_group": group,
        }
        rows_of.add_series(self.connection, [row])
        self._groups.append(group)
        known[name] = code
        return code

    def actuals(self, day: int) -> ActualRows:
        """Actuals of a day, the last value of each."""
        if day not in self._actuals:
            self._actuals[day] = self._read_actuals(day)
        return self._actuals[day]

    def courses(
        self, codes: Sequence[int], first_day: int, last_day: int
    ) -> dict[int, list[tuple[NDArray[np.int64], NDArray[np.float64]]]]:
        """Give times and actuals of some series, day by day; days that are not needed otherwise are not kept in memory."""
        found: dict[int, list[tuple[NDArray[np.int64], NDArray[np.float64]]]] = {code: [] for code in codes}
        low, high = (series_keys(np.array(codes) + more, np.zeros(len(codes), np.int64)) for more in (0, 1))
        for day in range(first_day, last_day + 1):
            rows = self._actuals.get(day)
            rows = self._read_actuals(day) if rows is None else rows
            time = times_of(rows.key, day)
            cuts = zip(np.searchsorted(rows.key, low), np.searchsorted(rows.key, high), strict=True)
            for code, (start, end) in zip(codes, cuts, strict=True):
                found[code].append((time[start:end], rows.value[start:end]))
        return found

    def _read_actuals(self, day: int) -> ActualRows:
        chunks = rows_of.actual_chunks_of(self.connection, tenant=self.tenant, model=self.model, day=day)
        return ActualRows.merged([ActualRows.from_bytes(c.body, c.row_count) for c in chunks])

    def add_actuals(self, day: int, rows: ActualRows) -> None:
        """Write a chunk of actuals, and merge chunks where there are many."""
        before = self.actuals(day)
        self._write_actuals(day, rows, 0)
        self._actuals[day] = ActualRows.merged([before, rows]) if len(before) else rows
        level = 0
        while True:
            chunks = rows_of.actual_chunks_of(self.connection, tenant=self.tenant, model=self.model, day=day)
            same = [c for c in chunks if c.level == level]
            if len(same) < FAN:
                return
            merged = ActualRows.merged([ActualRows.from_bytes(c.body, c.row_count) for c in same])
            rows_of.delete_actuals(self.connection, [c.id for c in same])
            level += 1
            self._write_actuals(day, merged, level)

    def _write_actuals(self, day: int, rows: ActualRows, level: int) -> None:
        row = {
            "tenant_id": self.tenant,
            "model": self.model,
            "day": day,
            "level": level,
            "row_count": len(rows),
            "body": rows.to_bytes(),
        }
        rows_of.add_actuals(self.connection, row)

    def predictions(self, day: int) -> dict[int, list[PredictionRows]]:
        """Folded predictions of a day by version, chunk by chunk."""
        found: dict[int, list[PredictionRows]] = {}
        for chunk in rows_of.prediction_chunks_of(
            self.connection, tenant=self.tenant, model=self.model, day=day, waiting=False
        ):
            found.setdefault(chunk.version, []).append(PredictionRows.from_bytes(chunk.body, chunk.row_count))
        return found

    def features(self, day: int, version: int) -> list[tuple[PredictionRows, dict[str, Any]]]:
        """Folded predictions of a day with their features, chunk by chunk; without features an empty mapping."""
        chunks = rows_of.prediction_chunks_of(
            self.connection,
            tenant=self.tenant,
            model=self.model,
            day=day,
            waiting=False,
            features=True,
            version=version,
        )
        return [
            (PredictionRows.from_bytes(c.body, c.row_count), feature_columns(features_from_bytes(c.features)))
            for c in chunks
        ]

    def write_predictions(
        self, version: int, day: int, level: int, rows: PredictionRows, features: bytes | None
    ) -> None:
        """Write a chunk of predictions."""
        row = {
            "tenant_id": self.tenant,
            "model": self.model,
            "version": version,
            "day": day,
            "level": level,
            "row_count": len(rows),
            "id_low": int(rows.ids.min()),
            "id_high": int(rows.ids.max()),
            "body": rows.to_bytes(),
            "features": features,
        }
        rows_of.add_predictions(self.connection, [row])

    def compact_predictions(self, version: int, day: int) -> None:
        """Merge chunks of predictions where a level has many."""
        level = 0
        while True:
            levels = rows_of.prediction_levels(
                self.connection, tenant=self.tenant, model=self.model, day=day, version=version
            )
            if levels.get(level, 0) < FAN:
                return
            self.merge_chunks(version, day, level, level + 1)
            level += 1

    def merge_chunks(self, version: int, day: int, level: int, into: int) -> None:
        """Merge all chunks of a level into one of level `into`."""
        chunks = [
            c
            for c in rows_of.prediction_chunks_of(
                self.connection,
                tenant=self.tenant,
                model=self.model,
                day=day,
                version=version,
                features=True,
            )
            if c.level == level
        ]
        rows = PredictionRows.joined([PredictionRows.from_bytes(c.body, c.row_count) for c in chunks])
        if len(chunks) == 1:
            features = chunks[0].features
        else:
            features = join_features([(features_from_bytes(c.features), c.row_count) for c in chunks])
        rows_of.delete_predictions(self.connection, [c.id for c in chunks])
        self.write_predictions(version, day, into, rows, features)
