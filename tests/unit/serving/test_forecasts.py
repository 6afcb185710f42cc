from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from aihub.errors import DataError
from aihub.serving.forecasts import CompiledForecast, Past, compile_forecast

if TYPE_CHECKING:
    from collections.abc import Callable

CASES: dict[str, dict[str, Any]] = {
    "weather": {},
    "no features": {"features": []},
    "ends within a day": {"extra_h": 10},
    "two days": {"horizon": 48},
    "six hours": {"horizon": 6},
    "many features": {"features": ["temperature", "wind", "sky"], "calendar": "DE"},
    "xgboost": {"algorithm": "xgboost"},
    "local stamps": {"calendar": "DE", "time_zone": "Europe/Berlin"},
    "series": {"series": ("a", "b"), "features": ["temperature", "sky"]},
    "daily": {"days": 400, "step": timedelta(days=1), "features": ["temperature"]},
    "lags": {"features": ["temperature"], "lags": [24, 48, 168]},
    "not known ahead": {"features": ["temperature", "wind"], "known_future": ["temperature"]},
}


def _rows(model: Any, ahead: int) -> pl.DataFrame:
    """Rows of the steps after the model's history, with weather of their own in most."""
    codec = model.codec
    rng = np.random.default_rng(5)
    parts = []
    for at, name in enumerate(codec.series):
        end = int(model.history.step[model.history.series == at].max())
        steps = end + np.arange(1, ahead + 1)
        columns: dict[str, Any] = {"timestamp": codec.stamps(steps)}
        if model.config.series_id is not None:
            columns[model.config.series_id] = [name] * ahead
        for number in codec.numbers:
            values = rng.normal(12, 6, ahead)
            values[3::7] = np.nan
            columns[number] = pl.Series(values).fill_nan(None)
        for word in codec.words:
            columns[word] = rng.choice(["clear", "rain", "never seen"], ahead)
        parts.append(pl.DataFrame(columns))
    return pl.concat(parts)


def _records(rows: pl.DataFrame) -> list[dict[str, Any]]:
    return rows.with_columns(pl.col("timestamp").dt.strftime("%Y-%m-%dT%H:%M:%SZ")).to_dicts()


def _assert_equal(compiled: CompiledForecast, rows: pl.DataFrame, history: pl.DataFrame | None = None) -> int:
    """Compare row by row with the forecaster; the number of rows that a sheet answered."""
    model, prepared = compiled.model, 0
    for at, record in enumerate(_records(rows)):
        one = rows.slice(at, 1)
        wanted = model.predict_with_interval(one, history=history)
        checked = compiled.contract.records([record])
        answer = compiled.predict(checked)
        found = (answer.prediction, answer.lower, answer.upper)
        for ours, theirs in zip(found, wanted, strict=True):
            assert ours == pytest.approx(theirs.tolist(), rel=1e-6), (at, record)
        prepared += compiled.prepared(checked) is not None
    return prepared


@pytest.mark.parametrize("case", CASES)
def test_a_prepared_row_answers_what_the_forecaster_does(
    case: str, train_forecast: Callable[..., Any]
) -> None:
    model = train_forecast(**CASES[case])
    compiled = compile_forecast(model)
    rows = _rows(model, min(60, 6 * model.layout.horizon))
    assert _assert_equal(compiled, rows.gather_every(3)) == len(rows.gather_every(3))


def test_actuals_that_came_later_move_the_answer_as_history_does(train_forecast: Callable[..., Any]) -> None:
    model = train_forecast()
    rows = _rows(model, 80)
    known = rows.head(30).select("timestamp").with_columns(load=pl.Series(np.linspace(90, 160, 30)))
    times = known.get_column("timestamp").dt.timestamp("us").to_numpy()
    past = Past({"": times}, {"": known.get_column("load").to_numpy()})
    compiled = compile_forecast(model).with_past(past)
    later = rows.tail(50).gather_every(5)
    assert _assert_equal(compiled, later, known) == len(later)
    rows = rows.with_columns(pl.col("temperature").fill_null(12.0))
    wanted = model.forecast(24, history=known, future=rows).get_column("prediction").to_list()
    assert compiled.forecast(24, future=rows).prediction == pytest.approx(wanted)


def test_many_rows_and_rows_of_the_past_go_through_the_forecaster(train_forecast: Callable[..., Any]) -> None:
    model = train_forecast()
    compiled = compile_forecast(model)
    rows = _rows(model, 40).with_columns(pl.col("timestamp") - timedelta(hours=20))
    answer = compiled.predict(compiled.contract.records(_records(rows)), level=0.8)
    wanted = model.predict_with_interval(rows, level=0.8)
    for ours, theirs in zip((answer.prediction, answer.lower, answer.upper), wanted, strict=True):
        assert ours == pytest.approx(theirs.tolist(), rel=1e-9)
    stamps = rows.get_column("timestamp").dt.timestamp("us").to_list()
    assert answer.target_us == stamps


@pytest.mark.parametrize("stamp", ["2260-12-31T23:59:59Z", "1700-01-01T00:00:00+14:00"])
def test_a_row_far_from_all_that_is_known_is_refused_at_once(
    train_forecast: Callable[..., Any], stamp: str
) -> None:
    compiled = compile_forecast(train_forecast())
    near = compiled.contract.records([{"timestamp": "2024-12-01T00:00:00Z", "temperature": 1.0}])
    assert len(compiled.predict(near)) == 1
    far = {"timestamp": stamp, "temperature": 1.0}
    with pytest.raises(DataError, match="10,000 steps"):
        compiled.predict(compiled.contract.records([far]))


def test_only_what_lies_ready_is_answered_at_once(train_forecast: Callable[..., Any]) -> None:
    compiled = compile_forecast(train_forecast())
    record = _records(_rows(compiled.model, 1))
    rows = compiled.contract.records(record)
    assert compiled.prepared(rows) is None
    compiled.warm()
    assert compiled.prepared(rows) == compiled.predict(rows)
    past = compiled.contract.records([{**record[0], "timestamp": "2024-03-20T00:00:00Z"}])
    assert compiled.prepared(past) is None
    assert len(compiled.predict(past)) == 1


def test_an_unknown_series_is_named(train_forecast: Callable[..., Any]) -> None:
    model = train_forecast(**CASES["series"])
    compiled = compile_forecast(model)
    record = {**_records(_rows(model, 1))[0], "meter": "aa"}
    with pytest.raises(DataError, match=r"column 'meter', row 1: 'aa' is a series .* Did you mean"):
        compiled.predict(compiled.contract.records([record]))


@pytest.mark.parametrize("fault", ["spike", "unit", "stuck"])
def test_a_fault_of_the_newest_actuals_does_not_spoil_the_next_forecast(
    train_forecast: Callable[..., Any], fault: str
) -> None:
    model = train_forecast()
    ahead = _rows(model, 14 * 24 + 24).with_columns(pl.col("temperature").fill_null(12.0))
    known, future = ahead.head(14 * 24), ahead.tail(24)
    times = known.get_column("timestamp").dt.timestamp("us").to_numpy()
    sound = np.asarray(model.predict(known))
    broken = sound.copy()
    match fault:
        case "spike":
            broken[-30] *= 50
        case "unit":
            broken[-40:] /= 1000
        case _:
            broken[-40:-20] = broken[-40]
    wanted, found, raw = (
        np.array(_with_actuals(one, times, values).forecast(24, future=future).prediction)
        for one, values in ((model, sound), (model, broken), (_unrepaired(model), broken))
    )
    assert np.abs(found - wanted).max() < 0.03 * wanted.mean()
    if fault != "stuck":
        assert np.abs(raw - wanted).max() > 0.1 * wanted.mean()


def test_a_forecast_begins_after_the_newest_actual_also_where_that_is_a_fault(
    train_forecast: Callable[..., Any],
) -> None:
    model = train_forecast(features=[])
    known = _rows(model, 48)
    times = known.get_column("timestamp").dt.timestamp("us").to_numpy()
    sound = np.asarray(model.predict(known))
    broken = np.append(sound[:-1], 5000.0)
    wanted, found = (_with_actuals(model, times, values).forecast(24) for values in (sound, broken))
    assert found.target_us == wanted.target_us
    assert np.abs(np.array(found.prediction) - wanted.prediction).max() < 0.5 * max(wanted.prediction)


def _with_actuals(model: Any, times: Any, values: Any) -> Any:
    return compile_forecast(model).with_past(Past({"": times}, {"": values}))


def _unrepaired(model: Any) -> Any:
    return replace(model, config=model.config.model_copy(update={"repair": "off"}))
