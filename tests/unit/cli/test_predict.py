from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest

from aihub.cli.main import run
from aihub.cli.predict import _write
from aihub.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path


def test_what_cannot_be_is_said_before_the_model_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model.aihub"
    model.write_bytes(b"not looked at")
    assert run(["predict", str(model), "--version", "2"]) == 2
    assert "is a model file and has no --version" in capsys.readouterr().err
    assert run(["predict", str(model), "--output", "answer.xlsx"]) == 2
    assert "must end in .csv or .parquet" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_an_answer_is_written_or_the_path_is_named(tmp_path: Path, suffix: str) -> None:
    answered = pl.DataFrame({"prediction": [1.0, 2.0]})
    _write(answered, tmp_path / f"answer{suffix}")
    found = tmp_path / f"answer{suffix}"
    assert (pl.read_csv(found) if suffix == ".csv" else pl.read_parquet(found)).equals(answered)
    with pytest.raises(DataError, match=r"missing.*cannot be written.*Give another path"):
        _write(answered, tmp_path / "missing" / f"answer{suffix}")
