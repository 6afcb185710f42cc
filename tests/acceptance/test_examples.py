"""Real data through the command line: a forecast with weather and faults, one meter, daily rows, and anomalies."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

AIHUB = Path(sys.executable).with_name("aihub")
EXAMPLES = Path(__file__).parents[2] / "examples"
pytestmark = [pytest.mark.data, pytest.mark.slow]


def aihub(home: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("AIHUB_", "MLFLOW_"))
    }
    environ |= {"AIHUB_HOME": str(home), "AIHUB_MLFLOW_TRACKING_URI": "off", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [str(AIHUB), *map(str, arguments)],
        cwd=home.parent,
        env=environ,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


def run(home: Path, name: str, data: str | Path) -> Any:
    """Run one example to its end; its gate must have passed."""
    done = aihub(home, "run", EXAMPLES / f"{name}.yaml", "--data", data, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def made(name: str, folder: Path, out: Path) -> Path:
    spec = importlib.util.spec_from_file_location("prepare", EXAMPLES / "prepare.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.main([name, str(folder), str(out)]) == 0
    return out


def test_a_dirty_file_is_repaired_judged_and_deployed(shared_data: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    file = shared_data / "dirty_shared" / "meter.csv.gz"
    done = run(home, "dirty_shared", file)
    assert done["deployed"]
    assert done["metrics"]["mape"] < 3.5
    assert {"unit_change", "stuck_meter", "clock_shift", "temperature_unit"} <= {
        note["code"] for note in done["notes"]
    }
    assert not done["failures"]
    asked = aihub(home, "predict", "dirty-shared")
    assert asked.returncode == 2  # tomorrow's temperature is not known to the model
    assert "temp" in asked.stderr


def test_half_hours_without_a_time_column_answer_for_tomorrow(shared_data: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = run(home, "taylor", shared_data / "taylor" / "taylor.csv")
    assert done["metrics"]["mape"] < 2
    rows = json.loads(aihub(home, "predict", "taylor", "--json").stdout)["rows"]
    assert len(rows) == 48
    assert all(15_000 < row["lower"] <= row["prediction"] <= row["upper"] < 45_000 for row in rows)


def test_daily_rows_have_intervals_that_are_of_use(shared_data: Path, tmp_path: Path) -> None:
    data = made("eemeter", shared_data / "eemeter_samples", tmp_path / "daily.parquet")
    done = run(tmp_path / "home", "eemeter_daily", data)
    spread = pl.read_parquet(data).get_column("value").drop_nans().std()
    assert isinstance(spread, float)
    assert done["metrics"]["width"] < 4 * spread
    assert done["metrics"]["coverage"] > 0.8


def test_the_second_model_of_the_same_data_is_as_good_as_the_champion(
    shared_data: Path, tmp_path: Path
) -> None:
    home, data = tmp_path / "home", f"{shared_data}/nab/nab_data_labels.zip::data/realKnownCause/nyc_taxi.csv"
    first = run(home, "nab", data)
    second = run(home, "nab", data)
    assert first["metrics"] == second["metrics"]
    assert second["version"] == 2
    report = json.loads(Path(second["reports"]["report.json"]).read_text())
    performance = next(check for check in report["results"] if check["name"] == "performance")
    assert performance["outcome"] == "skipped"  # nobody labelled the rides


def test_labels_in_words_are_learned_and_real_drift_is_shown(shared_data: Path, tmp_path: Path) -> None:
    done = run(tmp_path / "home", "drift_elec2", shared_data / "drift_streams" / "Electricity.arff.zip")
    assert done["metrics"]["auc_roc"] > 0.8
    assert any("vicprice" in warning for warning in done["warnings"])
