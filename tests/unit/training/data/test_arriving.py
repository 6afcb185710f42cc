from __future__ import annotations

import csv
import gzip
import io
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aihub.errors import DataError
from aihub.training.data.arriving import Arrived, ArrivingTable
from aihub.training.data.limits import Limits

NOWHERE = Path("nowhere")
FIELD = st.text(alphabet='ab1, "\n;', max_size=6)


def arrive(content: bytes, size: int = 7, **limits: int) -> Arrived:
    table = ArrivingTable("t.csv", Limits(**limits))
    for start in range(0, len(content), size):
        table.feed(content[start : start + size])
    return table.finish(NOWHERE)


@given(st.lists(st.tuples(FIELD, FIELD, FIELD), min_size=1, max_size=8), st.integers(1, 40), st.booleans())
def test_however_it_is_cut_the_rows_are_those_of_the_csv_reader(
    rows: list[tuple[str, str, str]],
    size: int,
    is_packed: bool,  # noqa: FBT001 - hypothesis gives it
) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("x", "y", "z"), *rows])
    content = file.getvalue().encode()
    found = arrive(gzip.compress(content) if is_packed else content, size)
    assert found == Arrived("csv.gz" if is_packed else "csv", ("x", "y", "z"), len(rows))


def test_several_gzip_members_are_one_table() -> None:
    content = gzip.compress(b"a,b\n1,2\n") + gzip.compress(b"3,4\n")
    for size in (1, 5, 1000):
        assert arrive(content, size).rows == 2
    with pytest.raises(DataError, match="gzip"):
        arrive(content[:-3])


def test_a_quote_that_never_ends_is_refused_in_time() -> None:
    started = time.process_time()
    with pytest.raises(DataError, match="longer than"):
        arrive(b'a,b\n"' + b"1\n" * 2_000_000, 65_536)
    assert time.process_time() - started < 5


def test_the_first_wrong_row_ends_it() -> None:
    table = ArrivingTable("t.csv")
    table.feed(b"a;b\n1;2\n")
    with pytest.raises(DataError, match="row 2: has 3 fields, the header 2"):
        table.feed(b"1;2;3\n" + b"1;2\n" * 10)


@pytest.mark.parametrize(
    ("content", "limits", "words"),
    [(b"a\n1\n2\n3\n", {"rows": 2}, "more than 2 rows"), (b"a,b,c\n1,2,3\n", {"columns": 2}, "3 columns"),
     (b"a\n" + b"1\n" * 600_000, {"text_bytes": 1 << 20}, "1 MiB")],
)  # fmt: skip
def test_limits_hold(content: bytes, limits: dict[str, int], words: str) -> None:
    with pytest.raises(DataError, match=words):
        arrive(content, 10_000, **limits)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"a,b\r1,2\r3,4\r", "line ends of old Macs", id="cr"),
        pytest.param(b"<!DOCTYPE html><html>404</html>", "is a web page, not a table", id="html"),
        pytest.param(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 9\n", "git lfs pull", id="lfs"),
        pytest.param(b'\n [{"a": 1}]', "is JSON, not a table", id="json"),
        pytest.param("a,b\n1,2\n".encode("utf-16-le"), "looks like UTF-16", id="utf-16"),
        pytest.param(b"a,b\n1,2\n3,\0\n", "row 2: holds binary data", id="nul"),
        pytest.param(gzip.compress(b"PAR1 and more of it"), "holds parquet inside of gzip", id="parquet in gzip"),
        pytest.param(gzip.compress(gzip.compress(b"a\n1\n")), "holds gzip inside of gzip", id="gzip in gzip"),
        pytest.param(b"Exported by Meter 3\na,b\n1,2\n", "'Exported by Meter 3'; remove what stands above", id="title"),
        pytest.param(b"--91d260a9f40b6c129a\r\nContent-Disposition: form-data\r\n\r\na,b\r\n", "is a form", id="form"),
        pytest.param(b'a,"b\n1,2\n', "in the header line does not end", id="open quote"),
        pytest.param(b"sep=,\na,b,c\n1,2,3\n", "'sep=,'; remove", id="sep"),
    ],
)  # fmt: skip
def test_what_is_no_table_is_named(content: bytes, message: str) -> None:
    for size in (5, 1000):
        with pytest.raises(DataError, match=message):
            arrive(content, size)


def test_names_of_columns_are_read_as_training_reads_them() -> None:
    assert arrive("zeit,wärme\n1,2\n".encode("cp1252")).columns == ("zeit", "wärme")
    assert arrive(b'a,5" pipe\n1,2\n').columns == ("a", '5" pipe')
    assert arrive(b'a,"b\nc"\n1,2\n').columns == ("a", "b\nc")
