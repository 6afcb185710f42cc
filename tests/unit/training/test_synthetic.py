import numpy as np
import polars as pl
import pytest

from aihub.errors import ConfigError
from aihub.training.config import TrainingConfig
from aihub.training.data import load
from aihub.training.synthetic import LABEL, generate, generate_anomaly_data, generate_forecast_data


def test_the_guides_columns_and_number_of_rows() -> None:
    data = generate("forecast", 500)
    assert data.columns == ["timestamp", "temperature", "humidity", "load"]
    assert data.height == 500
    assert data["timestamp"].diff().drop_nulls().n_unique() == 1


def test_same_seed_same_rows_and_another_seed_others() -> None:
    assert generate_forecast_data(300, seed=1).equals(generate_forecast_data(300, seed=1))
    assert not generate_forecast_data(300, seed=1).equals(generate_forecast_data(300, seed=2))


def test_the_load_has_a_day_a_week_and_a_season() -> None:
    data = generate_forecast_data(8784)
    load_kw = data["load"].to_numpy()
    assert 900 < load_kw.mean() < 1100
    hour, weekday = data["timestamp"].dt.hour(), data["timestamp"].dt.weekday()
    at = data.with_columns(hour.alias("h"), weekday.alias("d"))
    assert at.filter(pl.col("h") == 9)["load"].mean() > at.filter(pl.col("h") == 3)["load"].mean() + 150
    assert at.filter(pl.col("d") < 6)["load"].mean() > at.filter(pl.col("d") == 7)["load"].mean() + 40
    winter = at[:2000].filter(pl.col("h") == 9, pl.col("d") < 6)
    assert np.corrcoef(winter["temperature"], winter["load"])[0, 1] < -0.3


def test_the_day_before_does_not_pass_the_guides_thresholds() -> None:
    load_kw = generate_forecast_data(10_000)["load"].to_numpy()
    for hours in (24, 168):
        error = np.abs(load_kw[8000:] - load_kw[8000 - hours : -hours])
        assert error.mean() > 50


def test_about_three_percent_are_anomalies_in_events_of_every_kind() -> None:
    data = generate_anomaly_data(10_000)
    label = data[LABEL].to_numpy()
    assert set(label) == {0, 1}
    assert 0.02 < label.mean() < 0.04
    changed = data["load"].to_numpy() != generate_forecast_data(10_000)["load"].to_numpy()
    assert not (changed & (label == 0)).any()
    lengths = np.diff(np.flatnonzero(np.diff(np.concatenate(([0], label, [0])))))[::2]
    assert lengths.min() == 1
    assert lengths.max() > 6


def test_the_cleaning_leaves_it_alone(tmp_path: object) -> None:
    path = f"{tmp_path}/load.csv"
    generate_forecast_data(10_000).write_csv(path)
    table = load(path, TrainingConfig(target="load", features=["temperature", "humidity"]))
    assert table.notes == ()


@pytest.mark.parametrize("samples", [0, -1, 10**9])
def test_a_silly_number_of_samples_is_refused(samples: int) -> None:
    with pytest.raises(ConfigError, match="samples"):
        generate("forecast", samples)


@pytest.mark.parametrize("samples", [1, 2, 25])
def test_few_samples_are_possible(samples: int) -> None:
    assert generate("anomaly", samples).height == samples
