import bz2
import gzip
import io
import lzma
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aihub.errors import DataError
from aihub.training.config import TrainingConfig
from aihub.training.data import PreparedTable, load
from aihub.training.data.limits import Limits
from aihub.training.data.pipeline import load as load_with_limits

Loaded = Callable[..., PreparedTable]
Hourly = Callable[..., str]


def _zip(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


PACKERS = {
    "plain": lambda data: data,
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
    "zstd": _zstd,
    "zip": lambda data: _zip(**{"table.csv": data}),
    "utf-8 with mark": lambda data: b"\xef\xbb\xbf" + data,
    "utf-16": lambda data: data.decode().encode("utf-16"),
    "crlf": lambda data: data.replace(b"\n", b"\r\n"),
    "blank lines first": lambda data: b"\n\n" + data,
    "no newline at the end": lambda data: data.rstrip(b"\n"),
}


@pytest.mark.parametrize("packer", PACKERS.values(), ids=PACKERS)
def test_every_packing_gives_the_same_table(
    loaded: Loaded, hourly: Hourly, packer: Callable[[bytes], bytes]
) -> None:
    plain = loaded(hourly())
    packed = loaded(packer(hourly().encode()), name="misleading.parquet")
    assert packed.frame.equals(plain.frame)
    assert packed.fingerprint.rows == 72


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("separator", [",", ";"])
def test_a_name_in_the_header_may_span_lines(
    loaded: Loaded, hourly: Hourly, end: str, separator: str
) -> None:
    first, *rows = hourly(separator=separator).splitlines()
    header = f'"Station{end}""North"""{separator}{first}'
    text = end.join([header, *(f'"a{end}b"{separator}{row}' for row in rows)])
    assert loaded(text).frame.equals(loaded(hourly()).frame)


def test_a_quote_inside_of_a_name_opens_nothing(loaded: Loaded, hourly: Hourly) -> None:
    first, *rows = hourly().splitlines()
    assert loaded("\n".join([f'5" pipe,{first}', *(f"1,{row}" for row in rows)])).fingerprint.rows == 72


def test_parquet_of_too_many_digits_names_the_column(loaded: Loaded, hourly: Hourly) -> None:
    table = pl.read_csv(io.StringIO(hourly())).to_arrow()
    at = table.column_names.index("load")
    wide = table.column("load").cast(pa.decimal256(60, 3))
    sink = io.BytesIO()
    pq.write_table(table.set_column(at, "load", wide), sink)
    with pytest.raises(DataError, match=r"column 'load': holds decimal256\(60, 3\)"):
        loaded(sink.getvalue())


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_are_told_from_the_header(loaded: Loaded, hourly: Hourly, separator: str) -> None:
    assert loaded(hourly(separator=separator)).frame.equals(loaded(hourly()).frame)


def test_a_decimal_comma_is_read(loaded: Loaded, hourly: Hourly) -> None:
    comma = hourly(separator=";").replace(".", ",")
    assert loaded(comma).frame.equals(loaded(hourly()).frame)


def test_thousands_are_read_where_the_whole_column_has_them(loaded: Loaded) -> None:
    rows = "\n".join(f'2024-01-01 {i:02d}:00,"{1 + i % 7},{i:03d}.5"' for i in range(24))
    assert loaded("timestamp,load\n" + rows).frame["load"][3] == 4003.5


def test_quoted_newlines_and_headers_with_blanks(loaded: Loaded) -> None:
    rows = "\n".join(f'2024-01-01 {i:02d}:00,{i + 1},"a\nb"' for i in range(24))
    assert loaded('"timestamp", load ,note\n' + rows).frame.height == 24


def test_latin_text_is_read_with_a_note(loaded: Loaded, hourly: Hourly) -> None:
    text = hourly().replace("load", "Zähler").encode("cp1252")
    table = loaded(text, target="Zähler")
    assert [note.code for note in table.notes] == ["encoding"]


def test_parquet_reads_only_the_columns_asked_for(tmp_path: Path, hourly: Hourly) -> None:
    frame = pl.read_csv(hourly().encode(), try_parse_dates=True).with_columns(pl.lit([1, 2]).alias("nested"))
    frame.write_parquet(tmp_path / "t.parquet")
    assert load(tmp_path / "t.parquet", TrainingConfig(target="load")).frame.height == 72
    with pytest.raises(DataError, match="not single values"):
        load(tmp_path / "t.parquet", TrainingConfig(target="load", features=["nested"]))


def test_arff_with_quotes_and_missing_values(loaded: Loaded) -> None:
    rows = "\n".join(f"'2024-01-01 {i:02d}:00',{'?' if i == 5 else i},'a b'" for i in range(24))
    head = "% comment\n@relation r\n@attribute timestamp string\n@ATTRIBUTE 'the load' real\n@attribute kind {'a b', c}\n@data\n"
    table = loaded(head + rows, target="the load", name="t.arff")
    assert table.frame["the load"].null_count() == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n\n\n", "is empty"),
        (b"timestamp,load\n", "no rows"),
        (b"timestamp,load", "no rows"),
        (b"timestamp,load\n" + b"\x00\x01" * 100, "binary data"),
        (bytes(range(1, 256)) * 50, "neither UTF-8 nor|no such column|no header"),
        (b"timestamp,load\rrow\r", "CR only"),
        (b"timestamp,load\n2024-01-01," + b"9" * 2_000_000, "longer than"),
        (b"timestamp,load\n" + b"1," * 1_000_000, "longer than"),
        (b",".join(b"c%d" % i for i in range(20_000)) + b"\n1\n", "columns"),
        (b"2024-01-01 00:00,3\n2024-01-01 01:00,4\n", "no header line"),
        (b"timestamp,load,load\n2024-01-01,1,2\n", "two columns"),
        (b"timestamp,lod\n2024-01-01,1\n", "Did you mean 'lod'"),
        (b"timestamp,load\n2024-01-01,1\n2024-01-02,1,7\n", "row 2.*3 fields"),
        (b"PAR1" + b"x" * 100, "cut off"),
        (b"PAR1" + b"x" * 100 + b"PAR1", "damaged Parquet"),
        (b"ARROW1" + b"x" * 100, "Arrow IPC"),
        (b"\x80\x04K\x01.", "pickle"),
        (
            gzip.compress(b"timestamp,load\n" + b"1,2\n" * 1000, mtime=0)[:-20],
            "ends in the middle|damaged gzip",
        ),
        (
            gzip.compress(b"timestamp,load\n" * 100, mtime=0)[:30] + b"junk" * 20,
            "damaged gzip|ends in the middle",
        ),
        (lzma.compress(b"timestamp,load\n" * 1000)[:-30], "ends in the middle|damaged xz"),
        (bz2.compress(b"timestamp,load\n" * 1000)[:-10], "ends in the middle|damaged bzip2"),
        (_zstd(b"timestamp,load\n" * 1000)[:-10], "ends in the middle|damaged zstd|no rows|no time"),
        (b"PK\x03\x04" + b"junk" * 30, "damaged zip"),
        (_zip(**{"readme.md": b"x"}), "holds no table"),
        (_zip(**{"a.csv": b"x", "b.csv": b"y"}), "holds 2 tables.*::a.csv"),
        (_zip(**{"xl/workbook.xml": b"x"}), "Excel"),
        (b"@relation r\n@attribute a real\n", "no @data"),
        (b"@relation r\n@data\n1\n", "names no attribute"),
        (b"@relation r\n@attribute timestamp string\n@attribute load real\n@data\n{0 1}\n", "sparse"),
        (b"@relation r\n@attribute timestamp string\n@attribute load real\n@data\n", "no rows"),
    ],
)
def test_a_bad_file_is_refused_in_words(loaded: Loaded, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        loaded(content)
    assert "table.csv" in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_name_like_a_very_long_number_takes_no_time(loaded: Loaded) -> None:
    for name in (b"1" * 200_000, b" " * 200_000, b"1 " * 100_000):
        began = time.process_time()
        with pytest.raises(DataError, match="no such column"):
            loaded(name + b"x\n1\n2\n")
        assert time.process_time() - began < 3


def test_a_bomb_is_refused_while_it_unpacks(tmp_path: Path) -> None:
    small = Limits(text_bytes=10**8, ratio_from_bytes=10**6)
    for name, packed in (
        ("gz", gzip.compress),
        ("xz", lzma.compress),
        ("zip", lambda data: _zip(**{"a.csv": data})),
    ):
        path = tmp_path / f"bomb.{name}"
        path.write_bytes(packed(b"timestamp,load\n" + b"2024-01-01,1\n" * 300_000))
        with pytest.raises(DataError, match="bomb"):
            load_with_limits(path, TrainingConfig(target="load"), limits=small)


def test_a_file_beyond_the_limit_is_refused(tmp_path: Path, hourly: Hourly) -> None:
    path = tmp_path / "t.csv"
    path.write_text(hourly(2000))
    with pytest.raises(DataError, match="is more than"):
        load_with_limits(path, TrainingConfig(target="load"), limits=Limits(text_bytes=1000))
    path.write_bytes(gzip.compress(hourly(2000).encode()))
    with pytest.raises(DataError, match="unpacks to more than"):
        load_with_limits(path, TrainingConfig(target="load"), limits=Limits(text_bytes=1000))


def test_a_file_with_a_hole_of_many_gigabytes_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "hole.csv"
    with path.open("wb") as stream:
        stream.write(b"timestamp,load\n")
        stream.truncate(6 * 1024**3)
    begun = time.monotonic()
    with pytest.raises(DataError, match="zero byte"):
        load(path, TrainingConfig(target="load"))
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("name", ["a[1]", "*", "?", "a{1,2}"])
def test_a_name_with_wildcards_means_that_file_and_no_other(
    tmp_path: Path, hourly: Hourly, name: str
) -> None:
    for other in ("a1", "other", "a2"):
        (tmp_path / f"{other}.csv").write_text(hourly(200))
    path = tmp_path / f"{name}.csv"
    path.write_text(hourly())
    assert load(path, TrainingConfig(target="load")).fingerprint.rows == 72
    table = tmp_path / f"{name}.parquet"
    pl.read_csv(path, glob=False).write_parquet(table)
    assert load(table, TrainingConfig(target="load")).fingerprint.rows == 72


def test_a_file_that_grows_while_it_is_read_is_refused(
    tmp_path: Path, hourly: Hourly, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(hourly())

    def grown(file: Path) -> str:
        with file.open("a") as stream:
            stream.write("2030-01-01 00:00:00,1\n")
        return "0" * 64

    monkeypatch.setattr("aihub.training.data.raw.sha256", grown)
    with pytest.raises(DataError, match="changed while it was read"):
        load(path, TrainingConfig(target="load"))


def test_blank_lines_after_the_header_are_passed_over(loaded: Loaded, hourly: Hourly) -> None:
    head, rest = hourly().split("\n", 1)
    assert loaded(f"\n{head}\n\n\n{rest}").frame.equals(loaded(hourly()).frame)


def test_a_quote_that_nothing_ends_is_named_by_its_row(loaded: Loaded, hourly: Hourly) -> None:
    lines = hourly().splitlines()
    lines[30] = '"' + lines[30]
    with pytest.raises(DataError, match="open") as caught:
        loaded("\n".join(lines))
    assert caught.value.row == 30


def test_a_parquet_with_too_many_rows_is_refused_before_it_is_read(tmp_path: Path, hourly: Hourly) -> None:
    path = tmp_path / "t.parquet"
    pl.read_csv(hourly().encode()).write_parquet(path)
    for limits, message in (
        (Limits(rows=10), "more than 10"),
        (Limits(cells_bytes=100), "of memory"),
        (Limits(columns=1), "columns"),
    ):
        with pytest.raises(DataError, match=message):
            load_with_limits(path, TrainingConfig(target="load"), limits=limits)


def test_a_missing_file_offers_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "meter.csv").write_text("x")
    with pytest.raises(DataError, match=r"Did you mean 'meter\.csv'"):
        load(tmp_path / "metr.csv", TrainingConfig(target="load"))
    with pytest.raises(DataError, match="is not a file"):
        load(tmp_path, TrainingConfig(target="load"))
    with pytest.raises(DataError, match="no zip archive"):
        load(f"{tmp_path}/meter.csv::a.csv", TrainingConfig(target="load"))
    with pytest.raises(DataError, match=r"cannot be opened|no such file"):
        load("a\x00b", TrainingConfig(target="load"))


def test_a_member_is_chosen_by_its_path(tmp_path: Path, hourly: Hourly) -> None:
    path = tmp_path / "t.zip"
    path.write_bytes(_zip(**{"x/a.csv": hourly().encode(), "b.csv": b"nothing"}))
    assert load(f"{path}::x/a.csv", TrainingConfig(target="load")).frame.height == 72
    with pytest.raises(DataError, match=r"Did you mean 'x/a\.csv'"):
        load(f"{path}::x/b.csvv", TrainingConfig(target="load"))


@given(
    st.binary(max_size=300),
    st.sampled_from(["", "timestamp,load\n", "timestamp,load\n2024-01-01 00:00,1\n", "@relation a\n"]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
def test_any_bytes_give_a_table_or_a_data_error(loaded: Loaded, junk: bytes, head: str) -> None:
    with pytest.raises(DataError):
        loaded(head.encode() + junk)


@given(st.integers(0, 2000), st.integers(0, 255))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
def test_one_wrong_byte_in_a_parquet_is_an_error_or_a_table(
    tmp_path: Path, hourly: Hourly, at: int, byte: int
) -> None:
    buffer = io.BytesIO()
    pl.read_csv(hourly().encode()).write_parquet(buffer)
    data = bytearray(buffer.getvalue())
    data[at % len(data)] = byte
    (tmp_path / "t.parquet").write_bytes(data)
    try:
        table = load(tmp_path / "t.parquet", TrainingConfig(target="load"))
    except DataError as error:
        assert error.exit_code == 2  # noqa: PT017 - a table is as good an answer
    else:
        assert table.frame.height > 0
