"""A file with one fault each: repaired with a note, or refused in words."""
# ruff: noqa: DTZ001 - naive stamps are what is tested

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from aihub.errors import DataError
from aihub.serving import contract
from aihub.training.config import TrainingConfig
from aihub.training.data import DataNote, PreparedTable, load, pipeline, split, split_time

Loaded = Callable[..., PreparedTable]
Hourly = Callable[..., str]


def _note(table: PreparedTable, code: str) -> DataNote:
    return next(note for note in table.notes if note.code == code)


def test_a_clean_file_leaves_no_note(loaded: Loaded, hourly: Hourly) -> None:
    table = loaded(hourly())
    assert table.notes == ()
    assert table.frame.schema == {"timestamp": pl.Datetime("us", "UTC"), "load": pl.Float64}
    assert table.frequency == timedelta(hours=1)
    assert table.time_zone == "UTC"
    assert table.series == ()
    assert table.fingerprint.start == datetime(2024, 1, 1, tzinfo=UTC)
    assert len(table.fingerprint.sha256) == 64


def test_same_bytes_same_fingerprint(loaded: Loaded, hourly: Hourly) -> None:
    assert loaded(hourly()).fingerprint == loaded(hourly(), name="other.csv").fingerprint
    assert loaded(hourly() + "\n").fingerprint.sha256 != loaded(hourly()).fingerprint.sha256


def test_unsorted_rows_are_sorted(loaded: Loaded, hourly: Hourly) -> None:
    head, *rows = hourly().splitlines()
    shuffled = "\n".join([head, *(rows[i] for i in np.random.default_rng(0).permutation(len(rows)))])
    table = loaded(shuffled)
    assert table.frame.equals(loaded(hourly()).frame)
    assert _note(table, "unsorted").rows > 10


def test_exact_repeats_are_left_out_and_conflicts_keep_the_first(loaded: Loaded, hourly: Hourly) -> None:
    exact = loaded(hourly(change=lambda i, s, v: f"{s},{v}\n{s},{v}" if i in {5, 6} else f"{s},{v}"))
    assert exact.frame.equals(loaded(hourly()).frame)
    assert (_note(exact, "duplicate_rows").rows, _note(exact, "duplicate_rows").first_row) == (2, 7)
    conflict = loaded(hourly(change=lambda i, s, v: f"{s},{v}\n{s},1" if i == 5 else f"{s},{v}"))
    assert conflict.frame.equals(loaded(hourly()).frame)
    assert _note(conflict, "duplicate_stamps").first_row == 7


def test_a_repeat_fills_what_the_first_row_lacks(loaded: Loaded, hourly: Hourly) -> None:
    table = loaded(hourly(change=lambda i, s, v: f"{s},\n{s},{v}" if i == 5 else f"{s},{v}"))
    assert table.frame.equals(loaded(hourly()).frame)


def test_many_conflicts_mean_a_series_id_is_missing(loaded: Loaded, hourly: Hourly) -> None:
    with pytest.raises(DataError, match="series_id"):
        loaded(hourly(change=lambda i, s, v: f"{s},{v}\n{s},{i}"))


def test_missing_rows_are_inserted_with_a_missing_target(loaded: Loaded, hourly: Hourly) -> None:
    table = loaded(hourly(change=lambda i, s, v: None if 10 <= i < 15 or i == 30 else f"{s},{v}"))
    assert table.frame.height == 72
    assert table.frame["load"].null_count() == 6
    assert "longest gap 5" in _note(table, "missing_rows").message
    assert table.fingerprint.rows == 66


def test_a_stamp_of_another_decade_is_left_out(loaded: Loaded, hourly: Hourly) -> None:
    text = hourly(2000, change=lambda i, s, v: f"{s.replace('2024', '2042')},{v}" if i == 700 else f"{s},{v}")
    table = loaded(text)
    assert table.frame.height == 2000
    assert _note(table, "stray_stamps").first_row == 701
    assert _note(table, "missing_rows").rows == 1


def test_a_real_gap_of_months_stays(loaded: Loaded, hourly: Hourly) -> None:
    table = loaded(hourly(4000, change=lambda i, s, v: None if 1000 <= i < 3000 else f"{s},{v}"))
    assert table.frame.height == 4000
    assert not any(note.code == "stray_stamps" for note in table.notes)


def test_words_in_the_numbers_are_named_or_refused(loaded: Loaded, hourly: Hourly) -> None:
    few = loaded(hourly(change=lambda i, s, v: f"{s},broken" if i == 4 else f"{s},{v}"))
    note = _note(few, "text_in_numbers")
    assert (note.rows, note.first_row, note.column) == (1, 5, "load")
    with pytest.raises(DataError, match=r"row 1.*no numbers"):
        loaded(hourly(change=lambda i, s, v: f"{s},a{v}" if i % 2 == 0 else f"{s},{v}"))


@pytest.mark.parametrize("word", ["inf", "-inf", "1e300", "NaN", "", "null", "-"])
def test_what_is_not_finite_counts_as_missing(loaded: Loaded, hourly: Hourly, word: str) -> None:
    table = loaded(hourly(change=lambda i, s, v: f"{s},{word}" if i == 4 else f"{s},{v}"))
    assert table.frame["load"].null_count() == 1
    assert table.frame["load"].is_finite().sum() == 71
    assert _note(table, "missing_values").rows == 1


def test_midnights_that_carry_the_day_that_ends(loaded: Loaded, hourly: Hourly) -> None:
    def change(_: int, stamp: str, value: str) -> str:
        moment = datetime.fromisoformat(stamp)
        wrong = moment - timedelta(days=1) if moment.hour == 0 and moment.day > 1 else moment
        return f"{wrong:%d/%m/%Y %H:%M},{value}"

    table = loaded(hourly(24 * 30, change=change))
    assert table.frame.equals(loaded(hourly(24 * 30)).frame)
    assert _note(table, "midnight_of_wrong_day").rows == 29


def test_useless_features_are_named_and_dropped(loaded: Loaded, hourly: Hourly) -> None:
    text = hourly(change=lambda i, s, v: f"{s},{v},7,,{i}").replace(
        "timestamp,load", "timestamp,load,flat,gone,good", 1
    )
    table = loaded(text, features=["flat", "gone", "good"])
    assert table.features == ("good",)
    assert [note.column for note in table.notes if note.code == "useless_feature"] == ["flat", "gone"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "no usable value"),
        ("7", "nothing to learn"),
        ("9007199254740993", "beyond 1e15"),
    ],
)
def test_a_useless_target_is_refused(loaded: Loaded, hourly: Hourly, value: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        loaded(hourly(change=lambda _, s, __: f"{s},{value}"))


def test_words_become_categories_and_half_words_are_refused(loaded: Loaded, hourly: Hourly) -> None:
    text = hourly(
        change=lambda i, s, v: f"{s},{v},{'ab'[i % 2]},{i if i % 3 else 'x'},{'yes' if i % 2 else 'no'}"
    )
    text = text.replace("timestamp,load", "timestamp,load,kind,mixed,flag", 1)
    table = loaded(text, features=["kind", "flag"])
    assert table.frame.schema["kind"] == pl.String
    assert table.frame["flag"].to_list()[:2] == [0.0, 1.0]
    with pytest.raises(DataError, match="column 'mixed', row 1"):
        loaded(text, features=["mixed"])


def test_a_positive_label_makes_zeros_and_ones(loaded: Loaded, hourly: Hourly) -> None:
    text = hourly(change=lambda i, s, _: f"{s},{'UP' if i % 3 else 'DOWN'}")
    assert loaded(text, positive_label="UP", model_type="anomaly").frame["load"].to_list()[:3] == [
        0.0,
        1.0,
        1.0,
    ]
    with pytest.raises(DataError, match=r"never holds positive_label 'SIDE'.*'DOWN', 'UP'"):
        loaded(text, positive_label="SIDE")


def test_several_series_in_one_file(loaded: Loaded, hourly: Hourly) -> None:
    text = hourly(change=lambda _, s, v: f"{s},{v},b\n{s},{v},a").replace(
        "timestamp,load", "timestamp,load,meter", 1
    )
    table = loaded(text, series_id="meter")
    assert table.series == ("a", "b")
    assert table.frame.columns == ["timestamp", "meter", "load"]
    assert table.frame["meter"].is_sorted()


@pytest.mark.parametrize("name", ["m" * 257, "m\0"], ids=["long", "zero"])
def test_a_series_that_serving_could_not_be_asked_for_is_refused(
    loaded: Loaded, hourly: Hourly, tmp_path: Path, name: str
) -> None:
    assert pipeline.MAX_SERIES_CHARS == contract.MAX_SERIES_CHARS
    frame = pl.read_csv(hourly().encode(), try_parse_dates=True)
    names = pl.Series("meter", ["a"] * 70 + [name] * 2)
    frame.with_columns(names).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(
        DataError, match=r"column 'meter', row 71: is a series id of more than 256 characters"
    ):
        loaded((tmp_path / "t.parquet").read_bytes(), name="u.parquet", series_id="meter")


def test_series_named_by_dates_and_by_durations(loaded: Loaded, hourly: Hourly, tmp_path: Path) -> None:
    frame = pl.read_csv(hourly().encode(), try_parse_dates=True)
    days = pl.Series("meter", [0] * 72, dtype=pl.Int32)

    def read(meter: pl.Series) -> PreparedTable:
        frame.with_columns(meter).write_parquet(tmp_path / "t.parquet")
        return loaded((tmp_path / "t.parquet").read_bytes(), name="u.parquet", series_id="meter")

    assert read(days.cast(pl.Date)).series == ("1970-01-01",)
    with pytest.raises(DataError, match="column 'meter', row 1: 72 rows have no series id"):
        read((days + (2**31 - 2)).cast(pl.Date))
    with pytest.raises(DataError, match="column 'meter': holds durations"):
        read(days.cast(pl.Duration("us")))


def test_series_of_two_frequencies_are_named(loaded: Loaded, hourly: Hourly) -> None:
    text = hourly(change=lambda i, s, v: f"{s},{v},slow" if i % 2 else f"{s},{v},slow\n{s},{v},fast")
    one = "\n".join(f"2024-01-{1 + i // 48:02d} {i % 48 // 2:02d}:{i % 2 * 30:02d},1,fast" for i in range(96))
    slow = "\n".join(f"2024-01-{1 + i // 24:02d} {i % 24:02d}:00,{i},slow" for i in range(48))
    assert text
    with pytest.raises(DataError, match=r"series 'fast'.*30min.*series 'slow'.*1h"):
        loaded(f"timestamp,load,meter\n{one}\n{slow}\n", series_id="meter")


def test_two_frequencies_in_one_series_are_refused_or_averaged(loaded: Loaded) -> None:
    start = datetime(2024, 1, 1)
    moments = [start + timedelta(hours=i) for i in range(48)] + [
        start + timedelta(days=2, minutes=30 * i) for i in range(96)
    ]
    text = "timestamp,load\n" + "\n".join(f"{m:%Y-%m-%d %H:%M},{m.minute + 1}" for m in moments)
    with pytest.raises(DataError, match="30min apart in one part and 1h in another"):
        loaded(text)
    table = loaded(text, frequency="1h")
    assert table.frame.height == 96
    assert table.frame["load"][-1] == 16
    assert _note(table, "averaged").rows == 144


def test_rows_on_no_grid_are_refused_for_a_forecast_and_left_for_anomalies(loaded: Loaded) -> None:
    rng = np.random.default_rng(0)
    moments = datetime(2024, 1, 1) + np.cumsum(rng.integers(1, 60, 300)) * timedelta(minutes=1)
    text = "timestamp,load\n" + "\n".join(f"{m:%Y-%m-%d %H:%M},{i % 7}" for i, m in enumerate(moments))
    with pytest.raises(DataError, match="do not lie on steps"):
        loaded(text)
    assert _note(loaded(text, model_type="anomaly"), "irregular").repaired is False
    assert loaded(text, frequency="1h").frame["timestamp"].diff().drop_nulls().n_unique() == 1


def test_days_of_a_zone_that_was_not_named_are_told_by_their_hour_in_summer(loaded: Loaded) -> None:
    zone = ZoneInfo("America/Chicago")
    days = [datetime(2024, 1, 1, tzinfo=zone) + timedelta(days=at) for at in range(300)]
    text = "timestamp,load\n" + "\n".join(f"{day.isoformat()},{day.day}" for day in days)
    with pytest.raises(DataError, match="those of a time zone: set it, such as time_zone"):
        loaded(text)
    assert loaded(text, time_zone="America/Chicago").frame.height == 300


def test_a_file_without_the_default_column_of_times_is_told_where_to_name_its_own(loaded: Loaded) -> None:
    text = "start,load\n2024-01-01,1\n"
    with pytest.raises(DataError, match="Say which column holds the times: timestamp: NAME"):
        loaded(text)
    with pytest.raises(DataError, match="Correct the name"):
        loaded(text, timestamp="begin")


def test_a_few_rows_off_the_grid_are_moved(loaded: Loaded, hourly: Hourly) -> None:
    table = loaded(
        hourly(change=lambda i, s, v: f"{s.replace(':00:00', ':03:00')},{v}" if i == 20 else f"{s},{v}")
    )
    assert table.frame.equals(loaded(hourly()).frame)
    assert _note(table, "off_grid").first_row == 21


def test_gaps_that_would_explode_the_grid_are_refused(loaded: Loaded) -> None:
    early = "\n".join(f"1900-01-01 00:00:{i:02d},{i}" for i in range(30))
    late = "\n".join(f"2024-01-01 00:00:{i:02d},{i}" for i in range(30))
    with pytest.raises(DataError, match="gaps are so wide"):
        loaded(f"timestamp,load\n{early}\n{late}\n")


def test_the_window_keeps_its_ends(loaded: Loaded, hourly: Hourly) -> None:
    table = loaded(hourly(), training_start="2024-01-02T00:00:00", training_end="2024-01-02T23:00:00")
    assert table.frame.height == 24
    assert _note(table, "outside_window").rows == 48
    with pytest.raises(DataError, match="the file spans 2024-01-01 00:00 to 2024-01-03 23:00 UTC"):
        loaded(hourly(), training_start="2030-01-01T00:00:00")


def test_a_file_without_time_is_counted_from_the_first_stamp(loaded: Loaded) -> None:
    table = loaded(
        "load\n" + "\n".join(map(str, range(48))), first_timestamp="2024-01-01T00:00:00", frequency="30min"
    )
    assert table.frame["timestamp"][1] == datetime(2024, 1, 1, 0, 30, tzinfo=UTC)
    assert _note(table, "made_stamps").rows == 48


def test_the_split_is_one_moment_for_all_series(loaded: Loaded, hourly: Hourly) -> None:
    text = hourly(change=lambda i, s, v: f"{s},{v},a" + (f"\n{s},{v},b" if i >= 36 else ""))
    table = loaded(text.replace("timestamp,load", "timestamp,load,meter", 1), series_id="meter")
    train, holdout = split(table, 0.25)
    assert train["timestamp"].max() < split_time(table, 0.25) == holdout["timestamp"].min()
    assert train.height + holdout.height == table.frame.height
    assert 0.2 < holdout.height / table.frame.height < 0.3


def test_one_moment_cannot_be_split(loaded: Loaded, hourly: Hourly) -> None:
    table = loaded(hourly())
    one = PreparedTable(**{**vars(table), "frame": table.frame.head(1)})
    with pytest.raises(DataError, match="too few time stamps"):
        split(one, 0.2)


def test_what_comes_later_changes_no_training_row(
    tmp_path: Any, clean_table: pl.DataFrame, make_dirty: Callable[..., Any]
) -> None:
    config = TrainingConfig(timestamp="ts", target="load", features=["temp"], time_zone="Europe/Berlin")
    dirty = make_dirty(clean_table, "Europe/Berlin", seed=4).frame
    dirty.write_csv(tmp_path / "a.csv")
    table = load(tmp_path / "a.csv", config)
    boundary = split_time(table, 0.2)
    later = pl.col("ts") >= f"{boundary:%Y-%m-%d}"
    noise = (pl.col("load").cast(pl.Float64, strict=False) * 3 + pl.int_range(pl.len()) % 977).cast(pl.String)
    dirty.with_columns(pl.when(later).then(noise).otherwise(pl.col("load")).alias("load")).write_csv(
        tmp_path / "b.csv"
    )
    other = load(tmp_path / "b.csv", config)
    keep = pl.col("ts") < boundary - timedelta(days=1)
    assert other.frame.filter(keep).equals(table.frame.filter(keep))
    assert not other.frame.equals(table.frame)


def test_rows_finer_than_a_second_are_refused_or_averaged(loaded: Loaded) -> None:
    rows = "".join(f"2024-01-01 00:00:{i // 10:02d}.{i % 10}00,{i}\n" for i in range(600))
    with pytest.raises(DataError, match="100 ms apart"):
        loaded("timestamp,load\n" + rows)
    assert loaded("timestamp,load\n" + rows, frequency="1s").frame.height == 60
