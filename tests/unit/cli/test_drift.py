from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner, Result

from aihub.cli.drift import drift
from aihub.cli.main import run

if TYPE_CHECKING:
    from pathlib import Path


def table(path: Path, n: int, seed: int, shift: float = 0.0, **extra: object) -> Path:
    rng = np.random.default_rng(seed)
    frame = pl.DataFrame({"load": rng.normal(100 + shift, 10, n), "site": rng.choice(["a", "b"], n)})
    frame.with_columns(**{name: pl.lit(value) for name, value in extra.items()}).write_csv(path)
    return path


def called(*arguments: object) -> Result:
    return CliRunner().invoke(drift, [str(a) for a in arguments], standalone_mode=False)


def test_the_same_source_is_ok_and_another_level_is_drift(tmp_path: Path) -> None:
    reference = table(tmp_path / "r.csv", 6000, 0)
    calm = called(reference, table(tmp_path / "a.csv", 3000, 1))
    assert (calm.exception, calm.return_value) == (None, 0)
    assert "Verdict: ok" in calm.output
    moved = called(reference, table(tmp_path / "b.csv", 3000, 2, shift=8))
    assert moved.return_value == 1
    assert "Verdict: drift (1 drift" in moved.output
    assert moved.output.splitlines()[1].split()[:2] == ["load", "drift"]


def test_few_rows_are_not_enough_data_and_do_not_pass(tmp_path: Path) -> None:
    result = called(table(tmp_path / "r.csv", 6000, 0), table(tmp_path / "a.csv", 8, 1), "--json")
    document = json.loads(result.output)
    assert result.return_value == 1
    assert document["verdict"] == "not enough data"
    assert document["n_needed"] > 8


def test_profiles_stand_for_their_tables(tmp_path: Path) -> None:
    reference, current = table(tmp_path / "r.csv", 6000, 0), table(tmp_path / "b.csv", 3000, 2, shift=8)
    profile = tmp_path / "r.profile"
    assert run(["profile", str(reference), "--output", str(profile)]) == 0
    assert json.loads(called(profile, current, "--json").output) == json.loads(
        called(reference, current, "--json").output
    )


def test_new_columns_are_named_and_columns_can_be_chosen(tmp_path: Path) -> None:
    reference = table(tmp_path / "r.csv", 6000, 0)
    current = table(tmp_path / "b.csv", 3000, 2, shift=8, extra="x")
    assert "new columns: extra" in called(reference, current).output
    only = called(reference, current, "--columns", "site")
    assert only.return_value == 0
    assert "load" not in only.output


def seasonal(path: Path, days: int, start: str, level: float) -> Path:
    n = days * 24
    rng = np.random.default_rng(len(path.name))
    stamps = np.datetime64(start, "us") + np.arange(n) * np.timedelta64(1, "h")
    load = level + 100 * np.sin(np.arange(n) % 24 / 24 * 2 * np.pi) + rng.normal(0, 5, n)
    pl.DataFrame({"time": stamps, "load": load}).write_parquet(path)
    return path


def test_series_are_compared_season_by_season(tmp_path: Path) -> None:
    reference = seasonal(tmp_path / "r.parquet", 300, "2024-01-01", 1000)
    calm = called(
        reference, seasonal(tmp_path / "calm.parquet", 7, "2024-11-04", 1000), "--timestamp", "time", "--json"
    )
    moved = called(
        reference,
        seasonal(tmp_path / "moved.parquet", 7, "2024-11-04", 1060),
        "--timestamp",
        "time",
        "--json",
    )
    assert json.loads(calm.output)["columns"]["load"] == "ok"
    assert json.loads(moved.output)["columns"]["load"] == "drift"
    assert (calm.return_value, moved.return_value) == (0, 1)


def test_a_time_axis_is_pointed_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reference = seasonal(tmp_path / "r.parquet", 30, "2024-01-01", 1000)
    run(["drift", str(reference), str(reference)])
    assert "--timestamp time" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--columns", "lod"], "Did you mean 'load'"),
        (["--timestamp", "tim"], "no such column"),
    ],
)
def test_bad_options_are_exit_code_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], told: str
) -> None:
    reference = table(tmp_path / "r.csv", 50, 0)
    assert run(["drift", str(reference), str(reference), *options]) == 2
    assert told in capsys.readouterr().err


def test_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["drift", str(tmp_path / "a.csv"), str(tmp_path / "b.csv")]) == 2
    assert "a.csv" in capsys.readouterr().err
