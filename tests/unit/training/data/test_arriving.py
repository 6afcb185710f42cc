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
