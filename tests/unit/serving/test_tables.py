"""Bodies that are small and stand for much."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aihub.errors import DataError, InputError
from aihub.serving import protocol, tables

FILE = "application/vnd.apache.arrow.file"


def arrow(table: pa.Table, *, compression: str | None = None, is_file: bool = False) -> bytes:
    sink = io.BytesIO()
    writer: Any = pa.ipc.new_file if is_file else pa.ipc.new_stream
    with writer(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as opened:
        opened.write_table(table)
    return sink.getvalue()


def parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


@pytest.mark.parametrize("compression", [None, "zstd", "lz4"])
@pytest.mark.parametrize("is_file", [False, True])
def test_tables_come_as_they_were_sent(compression: str | None, *, is_file: bool) -> None:
    sky = pa.array(["rain", None, "sun"] * 1000).dictionary_encode()
    table = pa.table({"t": np.arange(3000.0), "sky": sky})
    kind = FILE if is_file else protocol.ARROW
    found = protocol.read(arrow(table, compression=compression, is_file=is_file), kind).columns
    assert found is not None
    assert found["t"].tolist() == list(range(3000))
    assert found["sky"] == ["rain", None, "sun"] * 1000
    again = protocol.read(parquet(table), protocol.PARQUET).columns
    assert again is not None
    assert again["sky"] == found["sky"]


def test_a_small_body_that_unpacks_to_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_BYTES", 4 << 20)
    numbers = pa.table({"t": np.zeros(1_000_000)})
    words = pa.table({"sky": pa.array(["x" * 100_000] * 1000).dictionary_encode()})
    bodies = [
        (arrow(numbers, compression="zstd"), protocol.ARROW),
        (arrow(numbers, compression="lz4", is_file=True), FILE),
        (arrow(words), protocol.ARROW),
        (parquet(numbers), protocol.PARQUET),
        (parquet(words), protocol.PARQUET),
    ]
    for body, kind in bodies:
        assert len(body) < 4 << 20
        with pytest.raises(InputError, match="unpacks to more than"):
            protocol.read(body, kind)


def test_rows_without_content_count_too() -> None:
    with pytest.raises(InputError, match="more than 1,000,000 rows"):
        protocol.read(arrow(pa.table({"t": pa.nulls(2_000_000)})), protocol.ARROW)


def test_values_that_stand_for_many_are_refused() -> None:
    ends = pa.RunEndEncodedArray.from_arrays(pa.array([1000], pa.int32()), pa.array(["x"]))
    for column in (ends, pa.array(["x"], pa.string_view())):
        with pytest.raises(DataError, match="convert it"):
            protocol.read(arrow(pa.table({"t": column})), protocol.ARROW)


@pytest.mark.parametrize("is_file", [False, True])
def test_damaged_tables_are_refused_and_end_nothing(*, is_file: bool) -> None:
    body = arrow(pa.table({"t": np.arange(50.0), "sky": ["rain"] * 50}), compression="zstd", is_file=is_file)
    rng = np.random.default_rng(3)
    for _ in range(300):
        mutant = bytearray(body)
        mutant[int(rng.integers(len(body)))] ^= int(rng.integers(1, 256))
        try:
            protocol.read(bytes(mutant), FILE if is_file else protocol.ARROW)
        except InputError:
            continue
