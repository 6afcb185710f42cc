from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from aihub.errors import ConfigError, DataError, StoppedError
from aihub.training.backtest import backtest, point_metrics
from aihub.training.config import TrainingConfig
from aihub.training.data import DataFingerprint, PreparedTable

HOUR = timedelta(hours=1)


def _table(config: TrainingConfig, days: int, start: datetime) -> PreparedTable:
    n = days * 24
    stamps = pl.datetime_range(start, start + HOUR * (n - 1), HOUR, eager=True, time_unit="us")
    hour = np.arange(n) % 24
    load = 100 + 10 * np.sin(hour / 24 * 2 * np.pi) + np.random.default_rng(0).normal(size=n)
    return PreparedTable(
        frame=pl.DataFrame({"timestamp": stamps, "load": load}),
        notes=(),
        fingerprint=DataFingerprint(sha256="0" * 64, rows=n, start=stamps[0], end=stamps[-1]),
        frequency=HOUR,
        time_zone=config.calendar_zone,
        path=Path("load.csv"),
        timestamp="timestamp",
        target="load",
    )


def _config(**fields: object) -> TrainingConfig:
    return TrainingConfig.model_validate(
        {"target": "load", "hyperparameters": {"n_estimators": 10}, **fields}
    )


def test_each_fold_is_forecast_by_a_model_of_what_came_before() -> None:
    config = _config()
    table = _table(config, 40, datetime(2024, 1, 1, tzinfo=UTC))
    result = backtest(config, table, folds=3, fold_length=timedelta(days=4))
    assert result.is_refitted
    assert [fold.rows for fold in result.folds] == [96, 96, 96]
    assert result.folds[-1].end == table.frame.get_column("timestamp")[-1]
    assert set(result.lead_mae) == set(range(1, 25))
    assert result.metrics["mae"] < 3
    assert result.metrics["mae"] == pytest.approx(np.mean([fold.metrics["mae"] for fold in result.folds]))
    assert result.rows.columns == ["timestamp", "lead", "actual", "prediction", "lower", "upper", "fold"]
    assert result.to_dict()["folds"][0]["rows"] == 96


def test_what_comes_after_a_fold_does_not_change_it() -> None:
    config = _config()
    table = _table(config, 40, datetime(2024, 1, 1, tzinfo=UTC))
    first = backtest(config, table, folds=2, fold_length=timedelta(days=3))
    late = pl.col("timestamp") >= first.folds[1].start
    frame = table.frame.with_columns(load=pl.when(late).then(pl.col("load") * 9).otherwise(pl.col("load")))
    changed = PreparedTable(**{**{f: getattr(table, f) for f in table.__dataclass_fields__}, "frame": frame})
    second = backtest(config, changed, folds=2, fold_length=timedelta(days=3))
    assert second.folds[0] == first.folds[0]
    assert second.folds[1] != first.folds[1]


def test_folds_begin_at_the_same_local_time_across_a_clock_change() -> None:
    config = _config(time_zone="Europe/Berlin", timestamp_zone="UTC")
    table = _table(
        config, 40, datetime(2024, 2, 29, 23, tzinfo=UTC)
    )  # ends at 01:00 local, after the clock change
    result = backtest(config, table, folds=2, fold_length=timedelta(days=7))
    assert {(fold.start + timedelta(hours=2)).hour for fold in result.folds[1:]} == {1}
    assert result.rows.get_column("lead").max() <= 25


def test_a_stop_is_obeyed_and_progress_only_grows() -> None:
    config = _config()
    table = _table(config, 30, datetime(2024, 1, 1, tzinfo=UTC))
    seen: list[float] = []
    backtest(
        config, table, folds=2, fold_length=timedelta(days=2), on_progress=lambda _, done: seen.append(done)
    )
    assert seen == sorted(seen)
    assert 0.9 < seen[-1] <= 1.0
    with pytest.raises(StoppedError, match="stopped on request"):
        backtest(config, table, folds=2, should_stop=lambda: len(seen) > 0)


def test_too_many_folds_and_none_are_refused() -> None:
    config = _config()
    table = _table(config, 20, datetime(2024, 1, 1, tzinfo=UTC))
    with pytest.raises(DataError, match="fewer or shorter folds"):
        backtest(config, table, folds=3)
    with pytest.raises(ConfigError, match="one fold or more"):
        backtest(config, table, folds=0)


def test_figures_of_hand_made_rows() -> None:
    figures = point_metrics(
        np.array([100.0, 200.0, np.nan, 0.0]),
        np.array([110.0, 180.0, 5.0, 0.0]),
        np.array([90.0, 190.0, 0.0, -1.0]),
        np.array([120.0, 210.0, 9.0, 1.0]),
    )
    assert figures["mae"] == 10
    assert figures["mape"] == 10
    assert figures["bias"] == pytest.approx(-10 / 3)
    assert figures["coverage"] == 1
    assert figures["width"] == pytest.approx((30 + 20 + 2) / 3)
    assert point_metrics(np.array([np.nan]), np.array([1.0])) == {}
    assert np.isnan(point_metrics(np.array([1.0, 2.0]), np.array([1.0, np.nan]))["mae"])
