"""Bodies that are small and stand for much."""

from __future__ import annotations

import io
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aihub.errors import DataError, InputError
from aihub.serving import protocol, tables

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = "application/vnd.apache.arrow.file"


def arrow(table: pa.Table, *, compression: str | None = None, is_file: bool = False) -> bytes:
    sink = io.BytesIO()
    writer: Any = pa.ipc.new_file if is_file else pa.ipc.new_stream
    with writer(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as opened:
        opened.write_table(table)
    return sink.getvalue()


def parquet(table: pa.Table, **given: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **given)
    return sink.getvalue()


def with_number(body: bytes, before: int, after: int) -> bytes:
    """The bytes with one number in another's place, as Thrift's compact form writes both, in all places."""

    def written(number: int) -> bytes:
        number, out = number << 1, bytearray()
        while number > 127:
            out.append(number & 127 | 128)
            number >>= 7
        return bytes([*out, number])

    assert len(written(before)) == len(written(after))
    assert written(before) in body
    return body.replace(written(before), written(after))


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


@pytest.mark.parametrize("compression", ["uncompressed", "lz4", "zstd"])
def test_a_file_of_polars_which_holds_no_stream_is_read(
    compression: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = io.BytesIO()
    frame = pl.DataFrame({"t": np.arange(3000.0), "sky": ["rain", "sun", None] * 1000})
    frame = frame.with_columns(pl.col("sky").cast(pl.Categorical))
    frame.write_ipc(
        sink, compression=compression, compat_level=pl.CompatLevel.oldest(), record_batch_size=500
    )
    found = protocol.read(sink.getvalue(), FILE).columns
    assert found is not None
    assert found["t"].tolist() == list(range(3000))
    assert found["sky"] == ["rain", "sun", None] * 1000
    monkeypatch.setattr(tables, "MAX_BYTES", 8 * 3000)
    with pytest.raises(InputError, match="unpacks to more than"):
        protocol.read(sink.getvalue(), FILE)


def test_a_file_that_lists_one_part_many_times_is_refused() -> None:
    batch = pa.record_batch({"t": pa.nulls(1)})
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, batch.schema) as opened:
        for _ in range(100):
            opened.write_batch(batch)
    body = sink.getvalue()
    listed = bytearray(body[-10 - struct.unpack_from("<i", body, len(body) - 10)[0] :])
    blocks = tables._field(listed, tables._number(listed, 0, "<I"), tables._RECORD_BATCHES)
    assert blocks is not None
    first = blocks + tables._number(listed, blocks, "<I") + 4
    offset, head = struct.unpack_from("<qi", listed, first)
    listed[first : first + 24 * 100] = listed[first : first + 24] * 100
    # One part and a list of a hundred: Arrow itself reads it, a hundred times.
    crafted = body[: offset + head] + bytes(listed)
    assert pa.ipc.open_file(crafted).read_all().num_rows == 100
    with pytest.raises(InputError, match="cut off"):
        protocol.read(crafted, FILE)


def test_what_is_no_arrow_file_is_refused() -> None:
    whole = arrow(pa.table({"t": [1.0]}), is_file=True)
    for body in (
        b"",
        b"ARROW1",
        whole[:-20],
        arrow(pa.table({"t": [1.0]})),
        whole[:-10] + b"\xff" * 4 + b"ARROW1",
    ):
        with pytest.raises(InputError, match="write it again"):
            protocol.read(body, FILE)


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


def test_a_parquet_file_whose_summary_lies_is_refused_before_it_is_unpacked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tables, "MAX_BYTES", 16 << 20)
    words = pa.table({"sky": pa.array(["x" * 1000] * 20_000)})
    whole = parquet(words, compression="zstd", use_dictionary=False, data_page_size=1 << 30)
    about = pq.ParquetFile(io.BytesIO(whole)).metadata.row_group(0)
    assert about.total_byte_size > 20_000_000
    lying = with_number(whole, about.total_byte_size, 3_000_000)
    assert pq.ParquetFile(io.BytesIO(lying)).metadata.row_group(0).total_byte_size == 3_000_000
    # The summary's number is the last of those in the file; the first is the page's own.
    number_of_page = with_number(whole[:100], 20_000, 900_000) + whole[100:]
    kinds = [
        pa.array([b"x" * 100_000] * 1000),
        pa.array([b"x" * 100_000] * 1000, pa.binary(100_000)),
        pa.array([["x"] * 1000] * 1000),
    ]
    refused = [
        (lying, "unpacks to more than"),
        (number_of_page, "cannot be read"),
        (parquet(words, use_dictionary=False, column_encoding="DELTA_BYTE_ARRAY"), "write it PLAIN"),
        *((parquet(pa.table({"sky": kind})), "convert it") for kind in kinds),
    ]
    for body, why in refused:
        assert len(body) < 1 << 20
        with arrow_of_its_own() as pool, pytest.raises(InputError, match=why):
            protocol.read(body, protocol.PARQUET)
        assert (pool.max_memory() or 0) < 1 << 20


@contextmanager
def arrow_of_its_own() -> Iterator[pa.MemoryPool]:
    """Memory that only Arrow's calls within take, so that the most of it is known."""
    before = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(pa.system_memory_pool())
    pa.set_memory_pool(pool)
    try:
        yield pool
    finally:
        pa.set_memory_pool(before)


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
@pytest.mark.parametrize("is_dictionary", [False, True])
def test_parquet_of_every_form_is_read(version: Any, compression: str, *, is_dictionary: bool) -> None:
    rng = np.random.default_rng(1)
    words = [None if at % 7 == 0 else f"w{at % 11}" for at in range(3000)]
    table = pa.table({"t": rng.normal(size=3000), "n": pa.array(range(3000), pa.int32()), "sky": words})
    body = parquet(
        table, compression=compression, use_dictionary=is_dictionary, data_page_version=version, row_group_size=700,
        data_page_size=1000, write_page_index=True, write_page_checksum=True,
    )  # fmt: skip
    found = protocol.read(body, protocol.PARQUET).columns
    assert found is not None
    assert found["t"].tolist() == table["t"].to_pylist()
    assert found["n"].tolist() == table["n"].to_pylist()
    assert found["sky"] == words


def test_a_damaged_parquet_file_ends_nothing() -> None:
    body = parquet(pa.table({"t": np.arange(50.0), "sky": ["rain", "sun"] * 25}))
    rng = np.random.default_rng(3)
    for _ in range(300):
        mutant = bytearray(body)
        mutant[int(rng.integers(len(body)))] ^= int(rng.integers(1, 256))
        try:
            protocol.read(bytes(mutant), protocol.PARQUET)
        except InputError:
            continue


def test_buffers_that_an_old_form_says_are_packed_are_not_unpacked() -> None:
    body = arrow(pa.table({"t": np.zeros(1000)}))
    for message in pa.ipc.MessageReader.open_stream(body):
        head = message.metadata.to_pybytes()
        if message.type == "record batch":
            assert tables._field(head, tables._number(head, 0, "<I"), 4) is None
    batch = pa.record_batch({"t": np.zeros(1000)})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, batch.schema) as opened:
        opened.write_batch(batch, custom_metadata={"ARROW:experimental_compression": "ZSTD"})
    with pytest.raises(InputError, match=r"before Arrow 1\.0"):
        protocol.read(sink.getvalue(), protocol.ARROW)


def test_columns_that_take_no_bytes_are_limited_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_BYTES", 4 << 20)
    body = arrow(pa.table({f"c{at}": pa.nulls(100_000) for at in range(10)}))
    with pytest.raises(InputError, match="unpacks to more than"):
        protocol.read(body, protocol.ARROW)


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
