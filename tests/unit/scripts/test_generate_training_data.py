import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "generate_training_data.py"


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(("model_type", "columns"), [("forecast", 4), ("anomaly", 5)])
def test_the_guides_call_writes_a_table_and_says_how_many_rows(
    tmp_path: Path, model_type: str, columns: int
) -> None:
    output = tmp_path / "training_data.csv"
    done = _run("--model-type", model_type, "--samples", "200", "--output", str(output))
    assert (done.returncode, done.stdout) == (0, "Generated 200 samples\n"), done.stderr
    assert pl.read_csv(output).shape == (200, columns)
    assert output.read_text().splitlines()[1].startswith("2024-01-01 00:00:00,")


def test_a_mistake_is_told_without_a_traceback(tmp_path: Path) -> None:
    for arguments in (("--samples", "0", "--output", "x.csv"), ("--output", str(tmp_path / "no" / "x.csv"))):
        done = _run("--model-type", "forecast", *arguments)
        assert done.returncode == 2
        assert done.stderr.startswith("error: ")
