"""Files in wall clock, standard time and end-of-hour stamps, made from one UTC truth."""
# ruff: noqa: DTZ001 - naive stamps are what is tested

from collections.abc import Callable
from datetime import UTC, datetime

import polars as pl
import pytest

from aihub.training.data import PreparedTable
from aihub.training.synthetic import generate_forecast_data

Loaded = Callable[..., PreparedTable]
ZONE = "Europe/Berlin"


@pytest.fixture(scope="module")
def truth() -> pl.DataFrame:
    """A year in which people live by the Berlin clock, summer time included; stamps in UTC."""
    made = generate_forecast_data(8760, seed=5).select(
        pl.col("timestamp").dt.replace_time_zone("UTC"), "load"
    )
    summer = pl.col("timestamp").dt.convert_time_zone(ZONE).dt.dst_offset() > pl.duration(hours=0)
    return made.with_columns(
        pl.when(summer).then(pl.col("load").shift(-1)).otherwise(pl.col("load")).alias("load")
    )


def _wall(frame: pl.DataFrame, form: str = "%Y-%m-%d %H:%M") -> pl.DataFrame:
    return frame.with_columns(pl.col("timestamp").dt.convert_time_zone(ZONE).dt.strftime(form))


def _codes(table: PreparedTable) -> set[str]:
    return {note.code for note in table.notes}


def test_a_repeated_hour_is_told_apart_by_order(loaded: Loaded, truth: pl.DataFrame) -> None:
    table = loaded(_wall(truth).write_csv(), time_zone=ZONE)
    assert table.frame.equals(truth)
    assert "repeated_hour" in _codes(table)
    assert "missing_rows" not in _codes(table)


def test_the_order_is_told_in_a_file_that_runs_backward(loaded: Loaded, truth: pl.DataFrame) -> None:
    assert loaded(_wall(truth).reverse().write_csv(), time_zone=ZONE).frame.equals(truth)


def test_a_missing_autumn_hour_is_a_gap_of_one(loaded: Loaded, truth: pl.DataFrame) -> None:
    once = _wall(truth).unique("timestamp", keep="first", maintain_order=True)
    table = loaded(once.write_csv(), time_zone=ZONE)
    assert table.frame.height == truth.height
    assert table.frame["load"].null_count() == 1
    assert {"autumn_hour_missing", "missing_rows"} <= _codes(table)


def test_stamps_at_the_end_of_the_hour_change_an_hour_later(loaded: Loaded, truth: pl.DataFrame) -> None:
    begin = pl.col("timestamp").dt.convert_time_zone(ZONE).dt.replace_time_zone(None)
    ends = truth.with_columns((begin + pl.duration(hours=1)).dt.strftime("%Y-%m-%d %H:%M"))
    table = loaded(ends.write_csv(), time_zone=ZONE)
    assert "period_end_stamps" in _codes(table)
    assert table.frame["load"].equals(truth["load"])
    assert table.frame["timestamp"].diff().drop_nulls().n_unique() == 1


def test_standard_time_is_recognised_by_the_habits_of_people(loaded: Loaded, truth: pl.DataFrame) -> None:
    standard = truth.with_columns((pl.col("timestamp") + pl.duration(hours=1)).dt.strftime("%Y-%m-%d %H:%M"))
    table = loaded(standard.write_csv(), time_zone=ZONE)
    assert "not_wall_clock" in _codes(table)
    assert table.frame.equals(truth)


def test_a_clock_with_the_changes_smoothed_away_stays_a_clock(loaded: Loaded, truth: pl.DataFrame) -> None:
    wall = _wall(truth).unique("timestamp", keep="first", maintain_order=True)
    before = wall.row(by_predicate=pl.col("timestamp") == "2024-03-31 01:00")
    filled = pl.concat([wall, pl.DataFrame({"timestamp": ["2024-03-31 02:00"], "load": [before[1]]})]).sort(
        "timestamp"
    )
    table = loaded(filled.write_csv(), time_zone=ZONE)
    assert {"clock_change_filled", "skipped_hour", "autumn_hour_missing"} <= _codes(table)
    assert table.frame.height == truth.height
    summer = table.frame.filter(pl.col("timestamp") == datetime(2024, 7, 1, 10, tzinfo=UTC))
    assert summer.equals(truth.filter(pl.col("timestamp") == datetime(2024, 7, 1, 10, tzinfo=UTC)))


def test_utc_stamps_of_a_local_meter(loaded: Loaded, truth: pl.DataFrame) -> None:
    text = truth.with_columns(pl.col("timestamp").dt.strftime("%Y-%m-%d %H:%M")).write_csv()
    table = loaded(text, time_zone=ZONE, timestamp_zone="UTC")
    assert table.frame.equals(truth)
    assert table.time_zone == ZONE


def test_offsets_need_no_zone(loaded: Loaded, truth: pl.DataFrame) -> None:
    table = loaded(_wall(truth, "%Y-%m-%dT%H:%M:%S%:z").write_csv(), time_zone=ZONE)
    assert table.frame.equals(truth)
    assert table.notes == ()


def test_days_that_begin_at_local_midnight_are_regular(loaded: Loaded) -> None:
    days = pl.datetime_range(datetime(2024, 1, 1), datetime(2024, 12, 31), "1d", eager=True).dt.strftime(
        "%Y-%m-%d"
    )
    text = pl.DataFrame({"timestamp": days, "load": [float(i % 9) for i in range(len(days))]}).write_csv()
    table = loaded(text, time_zone=ZONE)
    assert table.frame.height == 366
    assert table.notes == ()
