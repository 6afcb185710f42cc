import io
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aihub.errors import DataError
from aihub.training.data import PreparedTable
from aihub.training.data.plain import read_table

Loaded = Callable[..., PreparedTable]
Hourly = Callable[..., str]


def _written(hourly: Hourly, change: Callable[[pa.ChunkedArray], pa.Array]) -> bytes:
    table = pl.read_csv(io.StringIO(hourly()), try_parse_dates=True).to_arrow()
    sink = io.BytesIO()
    pq.write_table(table.set_column(0, "timestamp", change(table.column("timestamp"))), sink)
    return sink.getvalue()


@pytest.mark.parametrize("zone", ["+05:30", "-01:00", "Mars/Olympus", "Europe/Berlin"])
def test_a_parquet_says_the_moment_whatever_its_zone(loaded: Loaded, hourly: Hourly, zone: str) -> None:
    zoned = _written(hourly, lambda times: times.cast(pa.timestamp("us", zone)))
    plain = _written(hourly, lambda times: times.cast(pa.timestamp("us", "UTC")))
    assert loaded(zoned, name="t.parquet").frame.equals(loaded(plain, name="u.parquet").frame)


def test_a_column_of_an_odd_zone_that_nobody_asks_for_is_no_fault(
    loaded: Loaded, hourly: Hourly, tmp_path: Path
) -> None:
    table = pl.read_csv(io.StringIO(hourly()), try_parse_dates=True).to_arrow()
    sink = io.BytesIO()
    pq.write_table(table.append_column("seen", table[0].cast(pa.timestamp("ms", "+05:30"))), sink)
    found = loaded(sink.getvalue(), name="t.parquet").frame
    assert found.equals(loaded(hourly()).frame)
    (tmp_path / "t.parquet").write_bytes(sink.getvalue())
    whole, notes = read_table(tmp_path / "t.parquet")
    assert whole["seen"].dtype == pl.Datetime("us", "UTC")
    assert notes == []


def test_times_as_repeated_words_are_read(loaded: Loaded, hourly: Hourly) -> None:
    words = _written(hourly, lambda times: times.cast(pa.string()).dictionary_encode())
    assert loaded(words, name="t.parquet").frame.equals(loaded(hourly()).frame)


@pytest.mark.parametrize("kind", [pa.timestamp("s"), pa.timestamp("us"), pa.timestamp("us", "UTC"), pa.timestamp("ms", "Europe/Berlin"), pa.date32()], ids=str)  # fmt: skip
@pytest.mark.parametrize("sign", [1, -1])
def test_moments_of_no_year_that_is_taken_name_the_row(
    loaded: Loaded, hourly: Hourly, kind: pa.DataType, sign: int
) -> None:
    far = sign * (2**31 - 2 if pa.types.is_date(kind) else 2**50 if kind.unit == "s" else 2**62)
    storage = pa.int32() if pa.types.is_date(kind) else pa.int64()
    wrong = _written(hourly, lambda times: pa.array([far] * len(times), storage).cast(kind))
    with pytest.raises(
        DataError, match=r"column 'timestamp', row 1: 72 of 72 cells are no time stamps.*1970"
    ):
        loaded(wrong, name="t.parquet")


def test_a_table_for_people_leaves_out_what_no_year_holds_and_says_so(tmp_path: Path) -> None:
    table = pa.table({"at": pa.array([0, 2**62, None], pa.timestamp("us", "UTC")), "x": [1.0, 2.0, 3.0]})
    pq.write_table(table, tmp_path / "t.parquet")
    found, notes = read_table(tmp_path / "t.parquet")
    assert found["at"].null_count() == 2
    assert notes == ["1 values of 'at' are of no year that is taken and count as missing (first in row 2)."]


def test_a_table_of_some_columns_has_no_faults_of_others(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1.0], "nested": [[1, 2]], "y": [2.0]}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="column 'nested': holds List"):
        read_table(tmp_path / "t.parquet")
    found, _ = read_table(tmp_path / "t.parquet", only=["y", "x", "gone"])
    assert found.to_dict(as_series=False) == {"x": [1.0], "y": [2.0]}
    assert read_table(tmp_path / "t.parquet", only=["gone"])[0].is_empty()


def test_bytes_are_no_numbers(loaded: Loaded, hourly: Hourly) -> None:
    table = pl.read_csv(io.StringIO(hourly()), try_parse_dates=True).to_arrow()
    sink = io.BytesIO()
    pq.write_table(table.set_column(1, "load", pa.array([b"1"] * 72)), sink)
    with pytest.raises(DataError, match=r"column 'load': holds bytes\. Write it as numbers"):
        loaded(sink.getvalue(), name="t.parquet")
