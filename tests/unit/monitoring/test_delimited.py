from __future__ import annotations

import gzip

import numpy as np
import pytest

from aihub.errors import DataError
from aihub.monitoring import parsing
from aihub.monitoring.context import VersionContext
from aihub.monitoring.parsing import ActualTable, parse

CONTEXT = VersionContext(target="load")


def read(body: bytes) -> ActualTable:
    return parse(body, "text/csv", CONTEXT)


@pytest.mark.parametrize(
    "body",
    [
        b"timestamp,actual\n2026-01-31,5.5\n",
        b"\xef\xbb\xbftimestamp,actual\r\n2026-01-31,5.5\r\n",
        b"\n\ntimestamp;actual\n2026-01-31;5,5\n",
        b"timestamp\tload\n2026-01-31\t5,5\n",
        b'timestamp,"a\nb", actual ,x,x,\n2026-01-31,1,5.5,2,3,\n',
        gzip.compress(b"timestamp,actual\n2026-01-31,5.5\n", mtime=0),
    ],
)
def test_csv_is_read_as_it_is_written(body: bytes) -> None:
    table = read(body)
    assert (table.value.tolist(), table.rejected_rows) == ([5.5], 0)
    assert table.target_us[0] == np.datetime64("2026-01-31", "us").astype(np.int64)


def test_a_row_with_a_field_too_many_is_not_read_as_another_value() -> None:
    table = read(b"timestamp,actual\n2026-01-31,5,5\n2026-02-01,6\n2026-02-02,7,\n")
    assert table.value.tolist() == [6.0, 7.0]
    assert [(one.row, one.reason.partition(";")[0]) for one in table.rejected] == [
        (1, "has more fields than the header has columns")
    ]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"timestamp,actual,actual\n2026-01-31,5,6\n", "column 'actual': two columns have this name"),
        (b"timestamp,actual\r2026-01-31,5\r", "line ends of old Macs"),
        ("timestamp,actual\n2026-01-31,5\n".encode("utf-16"), "is UTF-16"),
        ("timestamp,actual,x\n2026-01-31,5,ü\n".encode("cp1252"), "row 1: is not UTF-8"),
        (b'timestamp,actual\n2026-01-30,4\n"2026-01-31,5\n', "row 2: cannot be read"),
        (b"<html>no</html>", "is a web page"),
        (b"a,b\n1,2\n", "what was sent has 'a', 'b'"),
        (gzip.compress(b"timestamp,actual\n2026-01-31,5\n", mtime=0)[:-9], "no single whole gzip"),
        (b"\x28\xb5\x2f\xfd" + b"x" * 50, "compressed in a way that is not taken"),
    ],
)
def test_what_cannot_be_read_is_named(body: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(body)


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "MAX_UNPACKED_BYTES", 1 << 20)
    with pytest.raises(DataError, match="unpacks to more than 1 MiB"):
        read(gzip.compress(b"timestamp,actual\n" + b"2026-01-31,5\n" * 200_000))
