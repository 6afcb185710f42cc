from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from aihub.cli.main import run
from aihub.cli.profile import profile
from aihub.validation.profile import Profile

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    n = 200
    frame = pl.DataFrame(
        {
            "time": pl.datetime_range(
                pl.datetime(2024, 1, 1), pl.datetime(2024, 1, 1) + pl.duration(hours=n - 1), "1h", eager=True
            ),
            "load": np.arange(n, dtype=float),
            "site": ["a", "a", "b", "c"] * (n // 4),
            "<b>\x1b[31m": [None] * (n - 1) + [1.0],
        }
    )
    path = tmp_path / "table.csv"
    frame.write_csv(path)
    frame.write_parquet(tmp_path / "table.parquet")
    return path


def test_a_table_for_people(table: Path) -> None:
    result = CliRunner().invoke(profile, [str(table)], standalone_mode=False)
    assert result.exception is None
    assert "200 rows, 4 columns" in result.output
    assert "a (50%)" in result.output
    assert "2024-01-01 00:00" in result.output
    assert "\x1b" not in result.output


def test_the_file_it_writes_reads_back_and_prints_the_same(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "p.profile"
    assert (
        CliRunner().invoke(profile, [str(table), "--output", str(out)], standalone_mode=False).exception
        is None
    )
    assert Profile.from_bytes(out.read_bytes()).columns["load"].mean == 99.5  # type: ignore[union-attr]
    documents = [
        json.loads(CliRunner().invoke(profile, [str(path), "--json"], standalone_mode=False).output)
        for path in (table, out, table.with_suffix(".parquet"))
    ]
    assert documents[0]["columns"] == documents[1]["columns"] == documents[2]["columns"]
    assert documents[0]["columns"][1]["median"] == pytest.approx(99.5, rel=0.02)


def test_metrics_of_a_prediction_column(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("y,p\n1,2\n2,3\n3,4\n")
    result = CliRunner().invoke(
        profile, [str(path), "--target", "y", "--prediction", "p"], standalone_mode=False
    )
    assert "mae: 1.0000" in result.output


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty"),
        (b"AIHUB-PROFILE\nxx", "profile"),
        (b"a,a\n1,2\n", "two columns"),
        (b"a,b\n", "no rows"),
        (b"PAR1 broken PAR1", "Parquet"),
    ],
)
def test_bad_files_are_exit_code_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, told: str
) -> None:
    path = tmp_path / "bad.bin"
    path.write_bytes(content)
    assert run(["profile", str(path)]) == 2
    assert told in capsys.readouterr().err


def test_a_flipped_byte_is_refused(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "p.profile"
    assert run(["profile", str(table), "--output", str(out)]) == 0
    data = bytearray(out.read_bytes())
    data[-5] ^= 1
    out.write_bytes(data)
    assert run(["profile", str(out)]) == 2
    assert "error:" in capsys.readouterr().err
