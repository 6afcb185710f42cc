from __future__ import annotations

import io
import json
from contextlib import suppress
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aihub.errors import AIHubError, DataError, InputError
from aihub.monitoring import parsing
from aihub.monitoring.context import VersionContext
from aihub.monitoring.parsing import MAX_REJECTED, ActualTable, parse, tabled
from aihub.monitoring.predictions import PredictionIds, created_us, id_text, parse_id
from aihub.serving.stamps import micros

CONTEXT = VersionContext(target="load", series_column="site", timestamp_column="time")


def read(document: Any, kind: str = "application/json") -> ActualTable:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return parse(body, kind, CONTEXT)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31T14:00:00", "2026-01-31T14:00"),
        ("2026-01-31T14:00:00Z", "2026-01-31T14:00"),
        ("2026-01-31 14:00:00.5", "2026-01-31T14:00:00.500"),
        ("2026-01-31T14:00:00+00:00", "2026-01-31T14:00"),
        ("2026-01-31T14:00+02:00", "2026-01-31T12:00"),
        ("2026-01-31", "2026-01-31T00:00"),
    ],
)
def test_times(text: str, expected: str) -> None:
    table = read([{"timestamp": text, "actual": 1}])
    assert table.target_us.astype("datetime64[us]")[0] == np.datetime64(expected, "us")


@pytest.mark.parametrize("kind", ["text", "space", "parquet"])
def test_times_without_an_offset_are_read_as_serving_reads_them(kind: str) -> None:
    walls = [
        "2026-07-01T14:00:00",
        "2026-03-29T02:30:00",  # skipped
        "2026-10-25T02:00:00",  # twice
        "2026-10-25T02:00:00",
        "2026-10-25T03:00:00",
        "1960-01-01T00:00:00",
    ]
    sites = ["a"] * len(walls)
    frame = pl.DataFrame({"time": walls, "site": sites, "actual": [1.0] * len(walls)})
    if kind == "space":
        frame = frame.with_columns(pl.col("time").str.replace("T", " "))
    if kind == "parquet":
        frame = frame.with_columns(pl.col("time").str.to_datetime())
    context = VersionContext(series_column="site", timestamp_column="time", stamp_zone="Europe/Berlin")
    found = tabled(frame, context).target_us
    assert found.tolist() == micros(walls, "Europe/Berlin", column="time", series=sites).tolist()
    assert found[0] == np.datetime64("2026-07-01T12:00", "us").astype(np.int64)


def test_an_offset_counts_more_than_the_zone_of_training() -> None:
    context = VersionContext(stamp_zone="America/New_York")
    stamps = ["2026-01-31T14:00:00Z", "2026-01-31T15:00:00+01:00", "2026-01-31T09:00:00"]
    frame = pl.DataFrame({"timestamp": stamps, "actual": [1.0] * 3})
    assert len(set(tabled(frame, context).target_us.tolist())) == 1


def test_the_names_of_the_training_table_are_understood() -> None:
    table = read([{"time": "2026-01-31", "site": "a", "load": 5}])
    assert (list(table.series or []), table.value.tolist()) == (["a"], [5.0])


def test_ids_carry_their_time() -> None:
    ids = PredictionIds()
    made = ids.take(5000, now_ms=1_700_000_000_000)
    assert len(set(made.tolist())) == 5000
    assert (np.diff(made) > 0).all()
    assert created_us(made[:1])[0] == 1_700_000_000_000_000
    assert [parse_id(id_text(int(one))) for one in made[:3]] == made[:3].tolist()
    assert ids.one() > made[-1]
    for bad in ("", "p_", "p_zz", "0000000000000001", "p_ffffffffffffffff", "p_" + "1" * 17):
        with pytest.raises(InputError):
            parse_id(bad)


def test_many_bad_rows_are_counted_and_some_listed() -> None:
    table = tabled(pl.DataFrame({"timestamp": ["x"] * 3000, "actual": [1.0] * 3000}), CONTEXT)
    assert (len(table), table.rejected_rows, len(table.rejected)) == (0, 3000, MAX_REJECTED)


def test_broken_lines_are_rows_that_are_rejected() -> None:
    table = read(b'{"timestamp": "2026-01-31", "actual": 1}\n{"timest\n[]\n', "application/x-ndjson")
    assert (len(table), [one.row for one in table.rejected]) == (1, [2, 3])
    assert table.rejected[0].reason == "the row is empty, or no object of column and value"


@pytest.mark.parametrize("value", ["NaN", "inf", "", None, "1e999", "x", [1], {}, 10**400])
def test_no_number_is_no_actual(value: Any) -> None:
    table = read([{"timestamp": "2026-01-31", "actual": value}, {"timestamp": "2026-01-31", "actual": 2}])
    assert (len(table), table.rejected_rows) == (1, 1)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[1, 2", b"5", b'"x"', b"null", b'{"a": [1], "b": [1, 2]}', b"[]", b"\xff\xfe", b"[" * 60_000,
             b'{"a":' * 60_000]
)  # fmt: skip
def test_what_is_no_table_is_refused(body: bytes) -> None:
    for kind in ("application/json", "text/csv", "application/vnd.apache.parquet", "application/x-ndjson"):
        with pytest.raises((DataError, InputError)):
            parse(body, kind, CONTEXT)


@given(
    body=st.binary(max_size=300),
    kind=st.sampled_from(["application/json", "text/csv", "application/x-ndjson"]),
)
def test_no_upload_breaks_the_reader(body: bytes, kind: str) -> None:
    try:
        table = parse(body, kind, CONTEXT)
    except AIHubError:
        return
    assert np.isfinite(table.value).all()


def test_a_small_parquet_file_that_unpacks_to_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = "application/vnd.apache.parquet"
    stamp = ["2026-01-01T00:00:00Z"] * 200_000

    def body(**columns: Any) -> bytes:
        sink = io.BytesIO()
        pl.DataFrame({"timestamp": stamp, "actual": [1.0] * len(stamp), **columns}).write_parquet(sink)
        return sink.getvalue()

    assert len(parse(body(), kind, VersionContext())) == len(stamp)
    for limit, columns in ((1 << 20, {}), (32 << 20, {"series": ["x" * 200] * len(stamp)})):
        monkeypatch.setattr(parsing, "MAX_UNPACKED_BYTES", limit)
        content = body(**columns)
        assert len(content) < 1 << 20
        with pytest.raises(InputError, match=r"unpacks? to more than"):
            parse(content, kind, VersionContext())


def _uploaded(stamps: pa.Array) -> ActualTable:
    sink = io.BytesIO()
    pq.write_table(pa.table({"timestamp": stamps, "actual": pa.array([1.0] * len(stamps))}), sink)
    return parse(sink.getvalue(), "application/vnd.apache.parquet", VersionContext())


@pytest.mark.parametrize("zone", ["+05:30", "Mars/Olympus", "Europe/Berlin"])
@pytest.mark.parametrize("is_repeated", [False, True])
def test_a_parquet_says_the_moment_whatever_its_zone(zone: str, *, is_repeated: bool) -> None:
    stamps = pa.array([1_767_268_800_000_000] * 2).cast(pa.timestamp("us", zone))
    table = _uploaded(stamps.dictionary_encode() if is_repeated else stamps)
    assert table.target_us.tolist() == [1_767_268_800_000_000] * 2


@pytest.mark.parametrize("kind", [pa.date32(), pa.timestamp("ms"), pa.timestamp("us", "UTC")], ids=str)
@pytest.mark.parametrize("sign", [1, -1])
def test_moments_that_no_calendar_holds_are_rows_that_are_rejected(kind: pa.DataType, sign: int) -> None:
    storage = pa.int32() if pa.types.is_date(kind) else pa.int64()
    far = sign * (2**31 - 2 if pa.types.is_date(kind) else 2**61)
    table = _uploaded(pa.array([0, far], storage).cast(kind))
    assert (table.row.tolist(), table.target_us.tolist()) == ([1], [0])
    assert [one.row for one in table.rejected] == [2]
    assert "no time between 1900 and 2100" in table.rejected[0].reason


def test_a_damaged_parquet_file_is_refused_and_ends_nothing() -> None:
    sink = io.BytesIO()
    pl.DataFrame({"timestamp": ["2026-01-01T00:00:00Z"] * 50, "actual": np.arange(50.0)}).write_parquet(sink)
    body, rng = sink.getvalue(), np.random.default_rng(5)
    for _ in range(300):
        mutant = bytearray(body)
        mutant[int(rng.integers(len(body)))] ^= int(rng.integers(1, 256))
        with suppress(InputError):
            parse(bytes(mutant), "application/parquet", VersionContext())


def test_rows_without_use_are_named_and_keep_no_other_out() -> None:
    rows = [
        {"time": "2026-01-31", "load": 1, "site": "x" * 257},
        {"time": "2026-01-31", "load": 1, "site": "a\0"},
        {"time": "2026-01-31", "load": 1, "site": None},
        {"time": "2026-01-31", "load": 1, "site": "a"},
    ]
    table = read(rows)
    assert (len(table), [one.row for one in table.rejected]) == (1, [1, 2, 3])
    reasons = [one.reason for one in table.rejected]
    assert reasons == ["site has more than 256 characters", "site holds a zero character", "site is missing"]


def test_true_and_false_are_one_and_zero() -> None:
    rows = [{"time": f"2026-01-0{at}", "load": value} for at, value in ((1, True), (2, False), (3, None))]
    table = read(rows)
    assert (table.value.tolist(), [one.row for one in table.rejected]) == ([1.0, 0.0], [3])
