from __future__ import annotations

import io
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import orjson
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aihub.errors import DataError, InputError
from aihub.serving import protocol
from aihub.serving.contract import Column, Contract, Role

CONTRACT = Contract(
    (Column("at", Role.TIME), Column("t", Role.NUMBER), Column("sky", Role.CATEGORY, ("rain",)))
)
START = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = [
    {"at": START + timedelta(hours=k), "t": None if k == 1 else float(k), "sky": "rain"} for k in range(3)
]


def as_json() -> list[dict[str, Any]]:
    return [{**row, "at": row["at"].isoformat()} for row in ROWS]


def parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def stream(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


BODIES: dict[str, tuple[bytes, str]] = {
    "records": (orjson.dumps({"records": as_json()}), "application/json"),
    "a bare list": (orjson.dumps(as_json()), ""),
    "columns": (
        orjson.dumps({"columns": {name: [row[name] for row in as_json()] for name in ("sky", "t", "at")}}),
        "application/json; charset=utf-8",
    ),
    "ndjson": (b"\n".join(orjson.dumps(row) for row in as_json()) + b"\n", protocol.NDJSON),
    "arrow": (stream(pl.DataFrame(ROWS).to_arrow()), protocol.ARROW),
    "parquet": (parquet(pl.DataFrame(ROWS).to_arrow()), protocol.PARQUET),
}


@pytest.mark.parametrize("form", BODIES)
def test_every_form_says_the_same(form: str) -> None:
    rows = protocol.checked(protocol.read(*BODIES[form]), CONTRACT)
    assert rows.count == 3
    assert np.array_equal(rows.numbers(1), [0.0, np.nan, 2.0], equal_nan=True)
    assert list(rows.column(2)) == ["rain"] * 3
    times = protocol.micros(rows.column(0), "UTC", column="at")
    assert times.tolist() == [int(row["at"].timestamp() * 1e6) for row in ROWS]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"records": [{"t": NaN}]}', "column 't': is not a finite number"),
        (b'"text"', "no object"),
        (b"{}", "exactly one of"),
        (b'{"records": [], "horizon": 3}', "exactly one of"),
        (b'{"recods": []}', "Did you mean 'records'"),
        (b'{"records": {}}', "is no list"),
        (b'{"columns": []}', "is no object"),
        (b'{"horizon": 0}', "no number of steps"),
        (b'{"horizon": true}', "no number of steps"),
        (b'{"records": [], "level": 1}', "between 0 and 1"),
        (b'{"records": [], "series": [1]}', "no list of texts"),
    ],
)
def test_a_body_that_asks_nothing_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        protocol.read(body, "application/json")


@pytest.mark.parametrize("body", [b"[]", b'{"records": []}', b'{"columns": {"at": [], "t": [], "sky": []}}'])
def test_no_row_is_no_question(body: bytes) -> None:
    with pytest.raises(InputError, match="no row"):
        protocol.checked(protocol.read(body, "application/json"), CONTRACT)


def test_a_form_that_is_not_known_is_named() -> None:
    with pytest.raises(
        InputError, match=r"'text/html' is not one that predictions take; send application/json"
    ):
        protocol.read(b"", "text/html")
    for kind in (protocol.ARROW, protocol.PARQUET):
        with pytest.raises(InputError, match="cannot be read as"):
            protocol.read(b"garbage", kind)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_found_in_tables_too(value: float) -> None:
    table = pa.table({"at": ["2026-01-01"] * 2, "t": [1.0, value], "sky": ["rain"] * 2})
    with pytest.raises(DataError, match="column 't', row 2: is not a finite number"):
        protocol.read(parquet(table), protocol.PARQUET)


def test_booleans_and_lists_in_tables_are_refused() -> None:
    for values in ([True, False], [[1], [2]], [b"1", b"2"]):
        with pytest.raises(DataError, match="column 't': holds"):
            protocol.read(parquet(pa.table({"t": values})), protocol.PARQUET)


@pytest.mark.parametrize("form", [(parquet, protocol.PARQUET), (stream, protocol.ARROW)])
@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pa.array([0, 2**55], pa.int64()).cast(pa.timestamp("ms", "UTC")), r"row 2: '36028797018963968 ms since 1970' is before 1678"),
        (pa.array([0, -(2**62)], pa.int64()).cast(pa.timestamp("us")), "row 2: .* is before 1678"),
        (pa.array([2**31 - 2, 0], pa.int32()).cast(pa.date32()), "row 1: .* s since 1970' is before 1678"),
        (pa.array([1, 2], pa.duration("s")), r"holds duration\["),
        (pa.array([1, 2], pa.time32("s")), r"holds time32\["),
    ],
    ids=["ms", "us", "date", "duration", "time of day"],
)  # fmt: skip
def test_moments_that_no_calendar_holds_name_column_and_row(
    form: Any, values: pa.Array, message: str
) -> None:
    write, kind = form
    with pytest.raises(DataError, match=f"column 'at'.*{message}"):
        protocol.read(write(pa.table({"at": values})), kind)


@pytest.mark.parametrize("form", [(parquet, protocol.PARQUET), (stream, protocol.ARROW)])
def test_dates_nanoseconds_and_large_whole_numbers_are_read_as_json_reads_them(form: Any) -> None:
    write, kind = form
    noon = 1_767_268_800_000_000_001
    table = pa.table(
        {
            "at": pa.array([date(2026, 1, 1)] * 2),
            "naive": pa.array([noon] * 2).cast(pa.timestamp("ns")),
            "aware": pa.array([noon] * 2).cast(pa.timestamp("ns", "+05:30")),
            "signed": pa.array([2**63 - 1, None]),
            "unsigned": pa.array([2**64 - 1, 0], pa.uint64()),
        }
    )
    found = protocol.read(write(table), kind).columns
    assert found is not None
    assert found["at"] == ["2026-01-01T00:00:00"] * 2
    assert found["naive"] == ["2026-01-01T12:00:00"] * 2
    assert found["aware"].tolist() == [datetime(2026, 1, 1, 12)] * 2  # noqa: DTZ001 - numpy's, in UTC
    assert found["signed"][0] == 2.0**63
    assert np.isnan(found["signed"][1])
    assert found["unsigned"].tolist() == [2.0**64, 0.0]


@pytest.mark.parametrize("form", [(parquet, protocol.PARQUET), (stream, protocol.ARROW)])
def test_two_columns_of_one_name_are_refused(form: Any) -> None:
    write, kind = form
    table = pa.Table.from_arrays([pa.array([1.0]), pa.array([2.0]), pa.array([3.0])], names=["a", "t", "t"])
    with pytest.raises(DataError, match="column 't': two columns have this name; send one of them"):
        protocol.read(write(table), kind)


def test_stamps_of_the_hours_to_come_are_read_as_those_of_rows() -> None:
    rows = [
        {"at": stamp} for stamp in ("2026-07-01T14:00:00", "2026-07-01T13:00:00Z", "2026-07-01T16:00+02:00")
    ]
    found = protocol.future_table(rows, CONTRACT, "Europe/Berlin").get_column("at").to_list()
    assert found == [datetime(2026, 7, 1, hour, tzinfo=UTC) for hour in (12, 13, 14)]
    with pytest.raises(DataError, match=r"'at', row 2: .* is not a time stamp"):
        protocol.future_table([{"at": "2026-07-01"}, {"at": "soon"}], CONTRACT, "UTC")


@pytest.mark.parametrize(
    ("future", "message"),
    [
        ({"t": [1.0, 2.0]}, "column 'future': lacks the column 'at'"),
        (
            [{"at": "2026-07-01T12:00:00Z", "tt": 1.0}],
            "has a column 'tt' that the model does not know. Did you mean 't'",
        ),
        ({"at": ["2026-07-01T12:00:00Z"], "t": [1.0, 2.0]}, "column 't': has 2 values where 'at' has 1"),
        (
            [{"at": "2026-07-01T12:00:00Z", "t": "x"}],
            "column 't', row 1: is text where the model takes a number",
        ),
        ([{"at": "2026-07-01T12:00:00Z", "t": True}], "column 't', row 1: is true or false"),
        ([{"at": "2026-07-01T12:00:00Z", "t": [1]}], "column 't', row 1: is a list"),
        ([{"at": "2026-07-01T12:00:00Z", "sky": 5}], "column 'sky', row 1: is a number where"),
        ([{"at": 5}], "column 'at', row 1: is a number where the model takes a time stamp"),
        ([{}], "column 'at', row 1: is empty where the model takes a time stamp"),
        ([1, 2], "neither a list of rows nor lists by column"),
    ],
)
def test_covariates_that_cannot_be_used_are_named(future: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        protocol.future_table(future, CONTRACT, "UTC")


def test_a_covariate_that_nobody_sent_is_missing_in_both_forms() -> None:
    for future in ([{"at": "2026-07-01T12:00:00Z"}], {"at": ["2026-07-01T12:00:00Z"]}):
        assert protocol.future_table(future, CONTRACT, "UTC").get_column("t").to_list() == [None]
