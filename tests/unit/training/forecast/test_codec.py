from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from aihub.errors import DataError
from aihub.training.config import TrainingConfig
from aihub.training.forecast.codec import Codec
from aihub.training.forecast.features import TARGET
from aihub.training.forecast.fitting import clock_of

HOUR = 3600


def codec(
    *, series: tuple[str, ...] = ("",), words: dict[str, tuple[str, ...]] | None = None, **fields: object
) -> Codec:
    words = words or {}
    config = TrainingConfig.model_validate({"target": "load", "features": ["temp", *words], **fields})
    return Codec(config, HOUR, 0, series, words, ("temp",), config.calendar_zone)


def frame(stamps: list[object], **columns: list[object]) -> pl.DataFrame:
    return pl.DataFrame({"timestamp": stamps, "temp": [1.0] * len(stamps), **columns}, strict=False)


def test_stamps_and_steps_are_inverse() -> None:
    steps = np.array([0, 1, 473_352])
    one = Codec(codec().config, 1800, 600, ("",), {}, ("temp",), "UTC")
    stamps = one.stamps(steps)
    assert stamps[1] == datetime(1970, 1, 1, 0, 40, tzinfo=UTC)
    read = one.table(pl.DataFrame({"timestamp": stamps, "temp": [0.0] * 3}), what="data", target=False)
    np.testing.assert_array_equal(read.step, steps)


@pytest.mark.parametrize(
    "stamp",
    [
        "2024-01-02 00:00:00",
        datetime(2024, 1, 2),  # noqa: DTZ001 - stamps without a zone are what is read here
        datetime(2024, 1, 2, tzinfo=UTC),
        date(2024, 1, 2),
    ],
)
def test_any_kind_of_stamp_is_read(stamp: object) -> None:
    table = codec().table(frame([stamp]), what="data", target=False)
    assert table.step.tolist() == [datetime(2024, 1, 2, tzinfo=UTC).timestamp() // HOUR]


def test_the_hour_that_occurs_twice_is_told_apart_by_its_order_and_the_skipped_one_is_read_as_the_next() -> (
    None
):
    berlin = codec(time_zone="Europe/Berlin")
    autumn = [f"2024-10-27 {hour}:00:00" for hour in ("01", "02", "02", "03")]
    assert np.diff(berlin.table(frame(autumn), what="data", target=False).step).tolist() == [1, 1, 1]
    spring = [f"2024-03-31 {hour}:00:00" for hour in ("01", "02", "03")]
    assert np.diff(berlin.table(frame(spring), what="data", target=False).step).tolist() == [1, 0]


def test_the_repeated_hour_is_told_apart_within_each_meter() -> None:
    meters = codec(series=("a", "b"), series_id="meter", time_zone="Europe/Berlin")
    stamps = ["2024-10-27 02:00:00"] * 4
    table = meters.table(frame(stamps, meter=["a", "b", "a", "b"]), what="data", target=False)
    assert table.series.tolist() == [0, 1, 0, 1]
    assert (table.step - table.step[0]).tolist() == [0, 0, 1, 1]


def test_words_become_codes_and_unknown_ones_are_missing() -> None:
    one = codec(words={"tariff": ("high", "low")})
    table = one.table(
        frame(["2024-01-01"] * 4, tariff=["low", "high", "new", None]), what="data", target=False
    )
    np.testing.assert_array_equal(table.columns["tariff"], [1.0, 0.0, np.nan, np.nan])
    assert one.columns == ("temp", "tariff")


def test_what_is_not_finite_is_missing() -> None:
    rows = frame(["2024-01-01"] * 3, load=[1.0, float("inf"), None])
    table = codec().table(rows, what="data", target=True)
    np.testing.assert_array_equal(table.columns[TARGET], [1.0, np.nan, np.nan])


def test_features_may_be_left_out_of_a_history_but_not_of_data() -> None:
    rows = pl.DataFrame({"timestamp": ["2024-01-01"], "load": [1.0]})
    assert set(codec().table(rows, what="history", target=True, features=False).columns) == {TARGET}
    with pytest.raises(DataError, match=r"'temp'.*data has no such column"):
        codec().table(rows, what="data", target=False)


def test_new_series_are_named_and_placed_after_the_known_ones() -> None:
    meters = codec(series=("a", "b"), series_id="meter")
    rows = frame(["2024-01-01"] * 4, meter=["z", "b", "c", "a"])
    assert meters.new_series(rows, what="history") == ("c", "z")
    assert codec().new_series(rows, what="history") == ()
    table = meters.table(rows, what="data", extra=("c", "z"), target=False)
    assert table.series.tolist() == [3, 1, 2, 0]
    with pytest.raises(DataError, match=r"'meter', row 1.*series 'z'.*Pass its past as history"):
        meters.table(rows, what="data", target=False)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (frame([1, 2]), r"'timestamp'.*Int64 where a time stamp is needed"),
        (frame(["2024-01-01", "soon"]), r"'timestamp', row 2.*no readable time stamp"),
        (frame(["2024-01-01"]).drop("timestamp"), r"'timestamp'.*no such column"),
        (frame(["2024-01-01"]).rename({"temp": "tmp"}), r"no such column.*tmp"),
    ],
)
def test_what_cannot_be_read_is_named(rows: pl.DataFrame, message: str) -> None:
    with pytest.raises(DataError, match=message):
        codec().table(rows, what="data", target=False)


def test_pandas_arrow_and_lazy_tables_are_read_alike() -> None:
    stamps = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=k) for k in range(3)]
    rows = pl.DataFrame({"timestamp": stamps, "temp": [1.0, None, 3.0]})
    for data in (rows, rows.lazy(), rows.to_pandas(), rows.to_arrow()):
        table = codec().table(data, what="data", target=False)
        assert np.diff(table.step).tolist() == [1, 1]
        np.testing.assert_array_equal(table.columns["temp"], [1.0, np.nan, 3.0])


@pytest.mark.parametrize(
    ("zone", "first", "days"),
    [
        ("Europe/Berlin", datetime(2024, 1, 1), 400),  # noqa: DTZ001 - a wall clock
        ("Australia/Melbourne", datetime(2024, 1, 1), 400),  # noqa: DTZ001 - as above
        ("America/Sao_Paulo", datetime(2017, 6, 1), 300),  # noqa: DTZ001 - as above; midnight is skipped once a year
        ("America/Chicago", datetime(2024, 7, 1, 6), 400),  # noqa: DTZ001 - as above; days of the gas trade
    ],
)
def test_local_days_are_one_step_each_across_clock_changes(zone: str, first: datetime, days: int) -> None:
    walls = [first + timedelta(days=day) for day in range(days)]
    read = codec(time_zone=zone).table(frame(walls), what="data", target=False)  # type: ignore[arg-type]
    stamps = codec().stamps(read.step)
    clock = clock_of(stamps, 86_400, zone)
    assert clock == zone
    offset = 3600 * first.hour
    daily = Codec(codec(time_zone=zone).config, 86_400, offset, ("",), {}, ("temp",), zone, clock)
    steps = daily.table(frame(walls), what="data", target=False).step  # type: ignore[arg-type]
    assert np.diff(steps).tolist() == [1] * (days - 1)
    assert daily.stamps(steps).to_list() == stamps.to_list()
    assert daily.step_zone == "UTC"


def test_days_in_utc_stay_days_in_utc() -> None:
    stamps = pl.datetime_range(
        datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 12, 31, tzinfo=UTC), "1d", eager=True
    )
    assert clock_of(stamps, 86_400, "Europe/Berlin") == "UTC"
    assert clock_of(stamps[:30], 86_400, "Europe/Berlin") == "UTC"
    assert clock_of(stamps[:30], 3600, "Europe/Berlin") == "UTC"
    assert clock_of(stamps[:30].dt.offset_by("-1h"), 86_400, "Europe/Berlin") == "Europe/Berlin"
