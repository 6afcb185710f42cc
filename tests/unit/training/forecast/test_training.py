from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from aihub.training.config import TrainingConfig
from aihub.training.data import load
from aihub.training.trainer import train

if TYPE_CHECKING:
    from pathlib import Path

START = datetime(2024, 1, 1, tzinfo=UTC)


def meter(name: str, first_day: int, last_day: int) -> pl.DataFrame:
    hours = np.arange(24 * first_day, 24 * last_day)
    noise = np.random.default_rng(first_day).normal(size=len(hours))
    return pl.DataFrame(
        {
            "timestamp": [START + timedelta(hours=int(h)) for h in hours],
            "meter": name,
            "value": 50 + 10 * np.sin(hours * 2 * np.pi / 24) + noise,
        }
    )


def test_series_that_begin_after_the_split_are_named(tmp_path: Path) -> None:
    path = tmp_path / "meters.csv"
    pl.concat([meter("old", 0, 60), meter("steady", 0, 60), meter("new", 52, 60)]).write_csv(path)
    config = TrainingConfig(
        target="value", series_id="meter", hyperparameters={"n_estimators": 10}, backtest_folds=0
    )
    notes = train(config, load(path, config)).notes
    assert any("1 of 3 series in the holdout begin after the split ('new')" in note for note in notes), notes
