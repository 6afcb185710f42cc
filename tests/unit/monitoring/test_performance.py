from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest

from aihub.monitoring.context import FixedContexts, VersionContext
from aihub.monitoring.observations import Observations
from databases import sqlite_at
from observed import NOW, actuals, answer, assert_same, batch, hours, windows

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(3)


def test_what_a_shadow_answered_is_no_answer_of_the_model(tmp_path: Path, context: VersionContext) -> None:
    engine = sqlite_at(tmp_path / "shadow.db")
    promising = replace(context, promised={"mae": 1.0})
    contexts = FixedContexts(context, {1: promising}, served=frozenset({1}))
    observations = Observations(engine, contexts)
    target, series = hours(30)
    y = RNG.gamma(5, 20, len(series))
    shadow = batch(y + 50, target, series, version=2, is_heard=False)
    observations.ingest_predictions([batch(y + 1, target, series), shadow])
    observations.ingest_actuals("t", "m", actuals(y, target, series), now=NOW)
    found = answer(observations, step=timedelta(days=1))
    assert (found["mae"], found["worse_than_promised"]) == (pytest.approx(1), pytest.approx(0))
    assert (found["predictions"], found["data_drift"]["version"]) == (len(y), 1)
    assert sum(part["predictions"] for part in found["series"]) == len(y)
    assert found["versions"].keys() == {"1"}
    assert found["unheard"]["2"]["mae"] == pytest.approx(50)


def test_a_promoted_shadow_brings_nothing_along(tmp_path: Path, context: VersionContext) -> None:
    engine = sqlite_at(tmp_path / "promoted.db")
    observations = Observations(engine, FixedContexts(context, served=frozenset({1, 2})))
    target, series = hours(48)
    y = RNG.gamma(5, 20, len(series))
    half = len(y) // 2
    features = {"x": np.arange(half, dtype=float)}
    observations.ingest_predictions(
        [
            batch(y[:half] + 1, target[:half], series[:half]),
            batch(y[:half] + 50, target[:half], series[:half], version=2, features=features, is_heard=False),
            batch(y[half:] + 3, target[half:], series[half:], version=2, features=features),
        ]
    )
    observations.ingest_actuals("t", "m", actuals(y, target, series), now=NOW)
    found = answer(observations)
    assert found["mae"] == pytest.approx(2)
    assert {v: part["mae"] for v, part in found["versions"].items()} == pytest.approx({"1": 1, "2": 3})
    assert {v: part["mae"] for v, part in found["unheard"].items()} == pytest.approx({"2": 50})
    before = windows(observations)
    observations.repair("t", "m")
    assert_same(before, windows(observations))
    assert answer(observations) == found


def test_where_nothing_was_answered_in_production_everything_counts(
    tmp_path: Path, context: VersionContext
) -> None:
    observations = Observations(sqlite_at(tmp_path / "staged.db"), FixedContexts(context))
    target, series = hours(24)
    y = RNG.gamma(5, 20, len(series))
    observations.ingest_predictions([batch(y + 2, target, series, version=4, is_heard=False)])
    observations.ingest_actuals("t", "m", actuals(y, target, series), now=NOW)
    found = answer(observations)
    assert (found["mae"], found["data_drift"]["version"]) == (pytest.approx(2), 4)
    assert (found["versions"].keys(), found["unheard"]) == ({"4"}, {})
    staged = Observations(observations.engine, FixedContexts(context, served=frozenset({7})))
    assert answer(staged)["predictions"] == len(y)
