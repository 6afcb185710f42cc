"""Predictions and actuals of a small model, and what monitoring makes of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.monitoring.parsing import ActualTable
from aihub.monitoring.predictions import PredictionBatch, PredictionIds
from aihub.store import observations as rows_of
from aihub.store.engine import read

if TYPE_CHECKING:
    from aihub.monitoring.observations import Observations

IDS = PredictionIds()
START = np.datetime64("2026-03-02T00:00", "us")
NOW = datetime(2026, 3, 5, tzinfo=UTC)
SERIES = ["n-1", "n-2", "s-1"]
MADE_MS = int(START.astype(np.int64)) // 1000


RANGE = (datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 20, tzinfo=UTC))


def hours(n: int, *, start: np.datetime64 = START, series: list[str] | None = None) -> tuple[Any, list[str]]:
    names = SERIES if series is None else series
    stamps = np.repeat(start + np.arange(n).astype("timedelta64[h]"), len(names))
    return stamps, names * n


def batch(
    prediction: np.ndarray, target: Any, series: list[str] | None, *, version: int = 1, **more: Any
) -> PredictionBatch:
    ids = more.pop("ids", None)
    return PredictionBatch(
        tenant="t",
        model="m",
        version=version,
        ids=IDS.take(len(prediction), now_ms=MADE_MS) if ids is None else ids,
        prediction=prediction,
        series=series,
        target=target,
        **more,
    )


def actuals(value: np.ndarray, target: Any, series: list[str] | None) -> ActualTable:
    return ActualTable.of(value, target=target, series=series)


def answer(observations: Observations, **more: Any) -> dict[str, Any]:
    return observations.performance("t", "m", *RANGE, **more).to_dict()


def windows(observations: Observations) -> dict[tuple[Any, ...], Any]:
    observations.fold("t", "m")
    with read(observations.engine, tenant="t") as connection:
        found = {}
        for span in "hd":
            for row in rows_of.window_rows(
                connection, tenant="t", model="m", span=span, first=0, last=1 << 30
            ):
                found[span, row.hour, row.version, row.series_group] = np.frombuffer(row.sums)
        for span in "hd":
            for row in rows_of.feature_rows(
                connection, tenant="t", model="m", version=1, span=span, first=0, last=1 << 30
            ):
                found["features", span, row.hour] = np.frombuffer(row.moments)
    return found


def assert_same(a: dict[tuple[Any, ...], Any], b: dict[tuple[Any, ...], Any]) -> None:
    assert a.keys() == b.keys()
    for key, value in a.items():
        np.testing.assert_allclose(value, b[key], rtol=1e-9, atol=1e-9, err_msg=str(key))
