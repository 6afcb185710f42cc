from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from aihub.errors import ArtifactError, ConfigError, DataError
from aihub.monitoring.timegrid import TimeGrid
from aihub.training.model import IntervalModel, TrainedModel, load_model
from aihub.training.trainer import TrainingResult, train

if TYPE_CHECKING:
    from types import SimpleNamespace


def test_holdout_is_forecast_well_and_covered(trained: TrainingResult) -> None:
    naive = trained.holdout.get_column("load").std()
    assert trained.metrics["mae"] < 0.25 * naive
    assert 0.75 <= trained.metrics["coverage"] <= 1.0
    assert isinstance(trained.model, TrainedModel)
    assert isinstance(trained.model, IntervalModel)
    assert trained.model.feature_names == ("timestamp", "temperature")


def test_files_give_the_same_model_back(trained: TrainingResult) -> None:
    files = trained.model.to_files()
    again = load_model(files)
    np.testing.assert_array_equal(again.predict(trained.holdout), trained.y_pred)
    assert again.to_files() == files
    assert set(files) == {"level.txt", "change.txt", "lower.txt", "upper.txt", "model.json"}


def test_rows_are_answered_in_row_order_whatever_their_order(trained: TrainingResult) -> None:
    order = np.random.default_rng(1).permutation(trained.holdout.height)
    shuffled = trained.holdout[order.tolist()]
    np.testing.assert_array_equal(trained.model.predict(shuffled), trained.y_pred[order])


def test_pandas_and_arrow_are_answered_alike(trained: TrainingResult) -> None:
    some = trained.holdout.head(30)
    np.testing.assert_array_equal(trained.model.predict(some.to_pandas()), trained.y_pred[:30])
    np.testing.assert_array_equal(trained.model.predict(some.to_arrow()), trained.y_pred[:30])


def test_wall_clock_stamps_without_zone_and_text_are_read(trained: TrainingResult) -> None:
    some = trained.holdout.head(30)
    naive = some.with_columns(pl.col("timestamp").dt.replace_time_zone(None))
    text = some.with_columns(pl.col("timestamp").dt.strftime("%Y-%m-%d %H:%M:%S"))
    np.testing.assert_array_equal(trained.model.predict(naive), trained.y_pred[:30])
    np.testing.assert_array_equal(trained.model.predict(text), trained.y_pred[:30])


def test_a_stamp_a_moment_early_is_of_the_step_that_it_means(trained: TrainingResult) -> None:
    some = trained.holdout.head(30)
    times = TimeGrid.from_files(trained.model.to_files())
    assert times is not None
    for shift in ("-100ms", "-36s", "36s"):
        beside = some.with_columns(pl.col("timestamp").dt.offset_by(shift))
        np.testing.assert_array_equal(trained.model.predict(beside), trained.y_pred[:30])
        stamps = beside.get_column("timestamp").dt.epoch("us").to_numpy()
        assert times.settled(stamps)[0].tolist() == some.get_column("timestamp").dt.epoch("us").to_list()


@pytest.mark.parametrize("day", [1, 5, 10])
def test_targets_after_an_origin_change_no_forecast_made_from_it(trained: TrainingResult, day: int) -> None:
    holdout = trained.holdout
    leads = trained.model.leads(holdout)
    begins = np.flatnonzero(leads == 1)[day]
    rng = np.random.default_rng(day)
    load = holdout.get_column("load").to_numpy().copy()
    load[begins:] = rng.permutation(load[begins:]) * 3
    changed = holdout.with_columns(load=pl.Series(load))
    again = trained.model.predict(holdout, history=changed)
    np.testing.assert_array_equal(again[: begins + 24], trained.y_pred[: begins + 24])
    assert not np.array_equal(again[begins + 24 :], trained.y_pred[begins + 24 :])
    bounds = zip(
        trained.model.predict_interval(holdout, history=changed), (trained.lower, trained.upper), strict=True
    )
    for now, before in bounds:
        np.testing.assert_allclose(now[: begins + 24], before[: begins + 24], rtol=1e-12)


def test_intervals_adapt_to_errors_that_are_known(trained: TrainingResult) -> None:
    holdout = trained.holdout
    noise = np.random.default_rng(0).normal(scale=40, size=holdout.height)
    wild = holdout.with_columns(load=pl.col("load") + pl.Series(noise))
    low, high = trained.model.predict_interval(holdout, history=wild)
    assert trained.lower is not None
    assert trained.upper is not None
    calm = (trained.upper - trained.lower)[-24:].mean()
    assert (high - low)[-24:].mean() > 1.5 * calm


def test_one_row_after_the_end_is_answered_from_the_stored_factor_as_a_batch_would_be(
    trained: TrainingResult, cases: SimpleNamespace
) -> None:
    model = trained.model
    future = cases.load_frame(61).tail(24).drop("load")
    assert list(model.end_factors.values()) != [1.0]
    plain = replace(model, end_factors={})
    batch = pl.concat([trained.holdout.drop("load"), future])
    for data in (future, future.slice(7, 1)):
        np.testing.assert_array_equal(model.predict_interval(data), plain.predict_interval(data))
    for now, whole in zip(model.predict_interval(future), model.predict_interval(batch), strict=True):
        np.testing.assert_allclose(now, whole[-24:], rtol=1e-12)
    np.testing.assert_array_equal(
        load_model(model.to_files()).predict_interval(future), plain.predict_interval(future)
    )
    wild = trained.holdout.with_columns(
        pl.col("load") * pl.Series(np.random.default_rng(0).uniform(0.5, 1.5, trained.holdout.height))
    )
    low, high = model.predict_interval(future, history=wild)
    stored_low, stored_high = model.predict_interval(future)
    assert (high - low).mean() > (stored_high - stored_low).mean()


def test_the_target_column_of_the_rows_themselves_is_not_looked_at(trained: TrainingResult) -> None:
    without = trained.holdout.drop("load")
    np.testing.assert_array_equal(trained.model.predict(without), trained.y_pred)


def test_permuting_the_future_changes_no_byte_of_the_boosters(cases: SimpleNamespace) -> None:
    config = cases.config_for()
    frame = cases.load_frame(60)
    first = train(config, cases.prepared(frame, config))
    cut = first.train_frame.height
    load = frame.get_column("load").to_numpy().copy()
    load[cut:] = np.random.default_rng(0).permutation(load[cut:]) + 1000
    weather = frame.get_column("temperature").to_numpy().copy()
    weather[cut:] = -weather[cut:]
    second = train(
        config,
        cases.prepared(frame.with_columns(load=pl.Series(load), temperature=pl.Series(weather)), config),
    )
    one, other = first.model.to_files(), second.model.to_files()
    assert {n: b for n, b in one.items() if n != "model.json"} == {
        n: b for n, b in other.items() if n != "model.json"
    }
    for field in ("scale", "calibration", "change_share", "layout", "spec", "issues"):
        assert json.loads(one["model.json"])[field] == json.loads(other["model.json"])[field]


@pytest.mark.parametrize("algorithm", ["lgbm", "xgboost"])
def test_same_seed_same_bytes_other_seed_other_bytes(algorithm: str, cases: SimpleNamespace) -> None:
    def files(seed: int) -> dict[str, bytes]:
        config = cases.config_for(algorithm=algorithm, seed=seed)
        return train(config, cases.prepared(cases.load_frame(30), config)).model.to_files()

    assert files(1) == files(1)
    assert files(1) != files(2)


def test_intervals_are_nested_and_hold_the_prediction(trained: TrainingResult) -> None:
    bounds = [trained.model.predict_interval(trained.holdout, level=level) for level in (0.5, 0.8, 0.9, 0.99)]
    for (inner_low, inner_up), (low, up) in pairwise(bounds):
        assert (low <= inner_low).all()
        assert (up >= inner_up).all()
    assert (bounds[0][0] <= trained.y_pred).all()
    assert (bounds[0][1] >= trained.y_pred).all()
    with pytest.raises(ConfigError, match="between 0 and 1"):
        trained.model.predict_interval(trained.holdout, level=1.0)


def test_tomorrow_needs_the_weather_and_says_so(trained: TrainingResult) -> None:
    with pytest.raises(DataError, match=r"'temperature'.*24 rows to come.*future"):
        trained.model.forecast()


def test_tomorrow_with_weather(trained: TrainingResult, cases: SimpleNamespace) -> None:
    future = cases.load_frame(62).tail(48).select("timestamp", "temperature")
    answer = trained.model.forecast(future=future)
    assert answer.columns == ["timestamp", "prediction", "lower", "upper"]
    assert answer.get_column("timestamp").to_list() == [
        cases.start + timedelta(days=60, hours=h) for h in range(24)
    ]
    truth = cases.load_frame(62).slice(60 * 24, 24).get_column("load")
    assert float((answer.get_column("prediction") - truth).abs().mean()) < 6
    assert (answer.get_column("lower") < answer.get_column("upper")).all()
    two = trained.model.forecast(48, future=future)
    np.testing.assert_array_equal(two.get_column("prediction").head(24), answer.get_column("prediction"))


def test_beyond_the_horizon_it_steps_on_its_own_forecasts(
    trained: TrainingResult, cases: SimpleNamespace
) -> None:
    future = cases.load_frame(65).tail(5 * 24).select("timestamp", "temperature")
    week = trained.model.forecast(5 * 24, future=future)
    one = trained.model.forecast(24, future=future)
    known = one.select("timestamp", pl.col("prediction").alias("load")).join(future, on="timestamp")
    by_hand = trained.model.predict(future.slice(24, 24), history=known)
    np.testing.assert_allclose(week.get_column("prediction").slice(24, 24), by_hand, rtol=1e-9)
    width = (week.get_column("upper") - week.get_column("lower")).to_numpy()
    assert width[-24:].mean() > width[:24].mean()


def test_a_horizon_beyond_all_measure_is_refused(trained: TrainingResult) -> None:
    with pytest.raises(ConfigError, match="at most 10000 steps"):
        trained.model.forecast(1_000_000_000)


def test_rows_of_one_day_do_not_depend_on_what_is_asked_with_them(trained: TrainingResult) -> None:
    for begin in (0, 37, 100):
        alone = trained.model.predict(trained.holdout.slice(begin, 1))
        np.testing.assert_array_equal(alone, trained.y_pred[begin : begin + 1])


def test_newer_history_moves_the_forecast(cases: SimpleNamespace) -> None:
    config = cases.config_for(features=[])
    frame = cases.load_frame(70).drop("temperature")
    result = train(config, cases.prepared(frame.head(60 * 24), config))
    newer = frame.slice(60 * 24, 24).with_columns(pl.col("load") * 1.5)
    answer = result.model.forecast(history=newer)
    assert answer.get_column("timestamp")[0] == cases.start + timedelta(days=61)
    plain = result.model.forecast(48).tail(24)
    assert float(answer.get_column("prediction").mean()) > 1.1 * float(plain.get_column("prediction").mean())


def test_the_day_the_clock_goes_back_has_twenty_five_forecasts(cases: SimpleNamespace) -> None:
    config = cases.config_for(features=[], time_zone="Europe/Berlin", timestamp_zone="UTC")
    begin = cases.start + timedelta(days=240, hours=-1)
    frame = cases.load_frame(68, start=begin).drop("temperature")
    result = train(config, cases.prepared(frame, config))
    leads = result.model.leads(result.holdout)
    assert leads.max() == 25
    assert (np.diff(leads)[np.diff(leads) != 1] < 0).all()
    assert np.isfinite(result.y_pred).all()


@pytest.mark.parametrize(
    ("step", "days", "horizon"),
    [
        (timedelta(minutes=5), 12, None),
        (timedelta(minutes=15), 20, 4),
        (timedelta(minutes=30), 30, None),
        (timedelta(hours=1), 40, 48),
        (timedelta(hours=1), 30, 36),
        (timedelta(hours=1), 30, 5),
        (timedelta(hours=1), 10, 1),
        (timedelta(days=1), 300, None),
        (timedelta(days=1), 300, 14),
    ],
)
def test_any_frequency_and_horizon(
    step: timedelta, days: int, horizon: int | None, cases: SimpleNamespace
) -> None:
    config = cases.config_for(horizon=horizon, hyperparameters={"n_estimators": 5})
    frame = cases.load_frame(days, step=step)
    result = train(config, cases.prepared(frame, config, step=step))
    assert np.isfinite(result.y_pred).all()
    wanted = config.horizon_steps(step)
    assert result.model.leads(result.holdout).max() <= max(wanted, 1)
    ahead = cases.load_frame(days + 20, step=step).drop("load")
    answer = result.model.forecast(future=ahead)
    assert answer.height == wanted
    assert answer.get_column("timestamp")[0] == frame.get_column("timestamp")[-1] + step


def test_no_lag_is_shorter_than_the_lead(cases: SimpleNamespace) -> None:
    config = cases.config_for(lags=[1, 24, 168])
    result = train(config, cases.prepared(cases.load_frame(60), config))
    assert any("shorter than the horizon" in note for note in result.notes)
    assert "lag_24" in result.importances


def test_several_meters_in_one_file_keep_their_size(cases: SimpleNamespace) -> None:
    config = cases.config_for(series_id="meter", features=[])
    meters = [
        cases.load_frame(40, seed=seed, level=level).with_columns(meter=pl.lit(name)).drop("temperature")
        for seed, (name, level) in enumerate({"a": 1.0, "b": 1000.0}.items())
    ]
    result = train(config, cases.prepared(pl.concat(meters), config))
    is_b = (result.holdout.get_column("meter") == "b").to_numpy()
    assert 50 < result.y_pred[~is_b].mean() < 150
    assert 50_000 < result.y_pred[is_b].mean() < 150_000
    answer = result.model.forecast(3)
    assert answer.get_column("meter").to_list() == ["a"] * 3 + ["b"] * 3

    new = meters[0].with_columns(meter=pl.lit("c"), load=pl.col("load") * 10)
    with pytest.raises(DataError, match=r"series 'c'.*history"):
        result.model.predict(new.tail(24))
    known = result.model.predict(new.tail(24), history=new)
    assert 500 < known.mean() < 1500


def test_what_is_not_known_ahead_only_looks_back(trained: TrainingResult, cases: SimpleNamespace) -> None:
    config = cases.config_for(known_future=[])
    result = train(config, cases.prepared(cases.load_frame(60), config))
    changed = result.holdout.with_columns(temperature=pl.lit(99.0))
    last = changed.tail(24)
    np.testing.assert_array_equal(result.model.predict(last), result.y_pred[-24:])
    assert not np.array_equal(trained.model.predict(last), trained.y_pred[-24:])
    assert result.model.forecast().height == 24


def test_words_are_features(cases: SimpleNamespace) -> None:
    config = cases.config_for(features=["tariff"])
    frame = (
        cases.load_frame(60)
        .with_columns(tariff=pl.Series(np.random.default_rng(0).choice(["low", "high"], 60 * 24)))
        .with_columns(load=pl.col("load") + 50 * (pl.col("tariff") == "high"))
    )
    result = train(config, cases.prepared(frame, config))
    assert "tariff" in result.importances
    assert result.metrics["mae"] < 10
    assert np.isfinite(result.model.predict(result.holdout.with_columns(tariff=pl.lit("never seen")))).all()
    ahead = cases.load_frame(61).tail(24).select("timestamp").with_columns(tariff=pl.lit("never seen"))
    assert result.model.forecast(future=ahead).height == 24
    empty = ahead.with_columns(tariff=pl.lit(None, pl.String))
    for future, rows in ((None, 24), (empty, 24), (ahead.head(20), 4)):
        with pytest.raises(DataError, match=rf"'tariff'.*{rows} rows to come.*future"):
            result.model.forecast(future=future)


def test_short_series_are_refused(cases: SimpleNamespace) -> None:
    config = cases.config_for()
    with pytest.raises(DataError, match=r"96 steps.*needs 120.*shorten the horizon"):
        train(config, cases.prepared(cases.load_frame(5), config))


def test_missing_columns_are_named(trained: TrainingResult) -> None:
    with pytest.raises(DataError, match=r"'temperature'.*no such column.*Known: load, temp"):
        trained.model.predict(trained.holdout.rename({"temperature": "temp"}))
    with pytest.raises(DataError, match="not a number"):
        trained.model.predict(trained.holdout.with_columns(temperature=pl.lit("warm")))
    with pytest.raises(DataError, match="send a pandas, polars or Arrow table"):
        trained.model.predict([1, 2, 3])


def test_an_empty_table_has_no_forecasts(trained: TrainingResult) -> None:
    assert trained.model.predict(trained.holdout.head(0)).shape == (0,)


def test_files_that_do_not_fit_together_are_refused(trained: TrainingResult) -> None:
    files = trained.model.to_files()
    with pytest.raises(ArtifactError, match="do not fit together"):
        load_model({**{n: b for n, b in files.items() if n != "level.txt"}})
    broken = json.loads(files["model.json"])
    del broken["scale"]
    with pytest.raises(ArtifactError, match="scale"):
        load_model({**files, "model.json": json.dumps(broken).encode()})
    with pytest.raises(ArtifactError, match="kind"):
        load_model({})
    with pytest.raises(ArtifactError, match="not known here"):
        load_model({"model.json": b'{"kind": "poem/1"}'})


def test_what_rests_at_zero_is_never_forecast_below(cases: SimpleNamespace) -> None:
    config = cases.config_for(features=[])
    frame = cases.load_frame(60).drop("temperature")
    sun = frame.with_columns(load=(pl.col("load") - 100).clip(0))
    result = train(config, cases.prepared(sun, config))
    night = (result.holdout.get_column("load") == 0).to_numpy()
    assert result.lower is not None
    assert result.upper is not None
    assert min(result.y_pred.min(), result.lower.min()) == 0.0
    assert (result.upper[night] >= 0).all()
    again = load_model(result.model.to_files())
    np.testing.assert_array_equal(again.predict(result.holdout), result.y_pred)
    signed = sun.with_columns(pl.col("load") - 1)
    assert train(config, cases.prepared(signed, config)).y_pred.min() < -0.5


def test_a_gap_in_the_history_costs_little(trained: TrainingResult) -> None:
    last = trained.holdout.tail(24)
    stamp = pl.col("timestamp")
    end = last.get_column("timestamp")[0]
    gap = trained.model.history
    cut = gap.step.max() - 47
    target = np.where((gap.step > cut) & (gap.step <= cut + 24), np.nan, gap.columns["y"])
    model = replace(trained.model, history=replace(gap, columns={**gap.columns, "y": target}))
    actual = last.get_column("load").to_numpy()
    with_gap, without = (
        np.abs(m.predict(last.filter(stamp >= end)) - actual).mean() for m in (model, trained.model)
    )
    assert with_gap < 2 * without


def test_local_days_are_forecast_as_the_days_that_they_are(cases: SimpleNamespace) -> None:
    """From January to July: in summer the local midnight lies an hour before the winter's."""
    walls = pl.datetime_range(datetime(2023, 1, 1), datetime(2024, 7, 10), "1d", eager=True)  # noqa: DTZ001 - a wall clock
    is_sunday = walls.dt.weekday() == 7
    noise = np.random.default_rng(0).normal(size=len(walls))
    frame = pl.DataFrame(
        {"timestamp": walls, "load": 100 - 60 * is_sunday.cast(pl.Float64).to_numpy() + noise}
    ).with_columns(pl.col("timestamp").dt.replace_time_zone("Europe/Berlin").dt.convert_time_zone("UTC"))
    config = cases.config_for(features=[], time_zone="Europe/Berlin", horizon=7, backtest_folds=0)
    table = cases.prepared(frame, config, step=timedelta(days=1))
    model = train(config, table).model
    found = load_model(model.to_files()).forecast(7)
    local = found.get_column("timestamp").dt.convert_time_zone("Europe/Berlin").dt.replace_time_zone(None)
    assert local.to_list() == [datetime(2024, 7, 11) + timedelta(days=day) for day in range(7)]  # noqa: DTZ001 - as above
    low = found.get_column("prediction").to_numpy() < 70
    assert (low == (local.dt.weekday() == 7).to_numpy()).all()
    rows = pl.DataFrame({"timestamp": local})
    np.testing.assert_allclose(model.predict(rows), found.get_column("prediction").to_numpy())
