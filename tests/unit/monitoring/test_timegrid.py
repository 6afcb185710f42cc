from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aihub.monitoring.context import FixedContexts, VersionContext
from aihub.monitoring.observations import Observations
from aihub.monitoring.timegrid import TimeGrid
from aihub.training.model import MODEL_FILE
from databases import sqlite_at
from observed import NOW, SERIES, actuals, answer, assert_same, batch, hours, windows

if TYPE_CHECKING:
    from pathlib import Path

SECOND = np.timedelta64(1_000_000, "us")


@given(
    st.sampled_from([60, 300, 900, 1800, 3600, 7200, 86_400]),
    st.integers(0, 86_399),
    st.integers(-(10**15), 4 * 10**15),
)
def test_a_stamp_moves_to_the_grid_or_not_at_all(step_s: int, offset_s: int, time_us: int) -> None:
    grid = TimeGrid.of(step_s, offset_s % step_s)
    once, moved = grid.settled(np.array([time_us]))
    beside = (time_us - offset_s % step_s * 1_000_000) % (step_s * 1_000_000)
    distance = min(beside, step_s * 1_000_000 - beside)
    assert moved[0] == (0 < distance <= step_s * 10_000)
    assert abs(int(once[0]) - time_us) == (distance if moved[0] else 0)
    again, moved = grid.settled(once)
    assert (again.tolist(), moved.tolist()) == (once.tolist(), [False])


def test_it_is_that_of_the_artefact() -> None:
    content = {"layout": {"step_s": 86_400}, "offset_s": 0, "clock": "Europe/Berlin"}
    grid = TimeGrid.from_files({MODEL_FILE: json.dumps(content).encode()})
    assert grid is not None
    midnight = np.datetime64("2026-07-01T22:00", "us").astype(np.int64)
    assert grid.settled(np.array([midnight + 60_000_000]))[0].tolist() == [midnight]
    assert TimeGrid.from_files({MODEL_FILE: b'{"kind": "anomaly/1"}'}) is None
    assert TimeGrid.from_files({}) is None


def test_stamps_a_little_beside_the_grid_meet(tmp_path: Path, context: VersionContext) -> None:
    hourly = replace(context, times=TimeGrid.of(3600, 0))
    observations = Observations(sqlite_at(tmp_path / "beside.db"), FixedContexts(hourly))
    target, series = hours(24)
    y = np.arange(len(series), dtype=float)
    observations.ingest_predictions([batch(y + 2, target - SECOND, series)])
    late, far = target + 3 * SECOND, target + 420 * SECOND
    receipt = observations.ingest_actuals("t", "m", actuals(y, late, series), now=NOW)
    assert (receipt.matched, receipt.adjusted, receipt.early) == (len(y), len(y), 0)
    # The same again, and exactly on the grid: nothing new.
    again = observations.ingest_actuals("t", "m", actuals(y, target, series), now=NOW)
    assert (again.duplicate, again.adjusted) == (len(y), 0)
    other = observations.ingest_actuals("t", "m", actuals(y, far, series), now=NOW)
    assert (other.matched, other.adjusted, other.early) == (0, 0, len(y))
    found = answer(observations)
    assert (found["mae"], found["actuals"]) == (pytest.approx(2), 24 * len(SERIES))
    assert found["ingested"]["adjusted"] == len(y)
    before = windows(observations)
    observations.repair("t", "m")
    assert_same(before, windows(observations))
