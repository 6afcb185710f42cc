"""The command line as a user calls it: a process, files, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from aihub.training.synthetic import generate_anomaly_data, generate_forecast_data

AIHUB = Path(sys.executable).with_name("aihub")
HOURS = 3000
SPEC = """\
name: {name}
training:
  model_type: forecast
  algorithm: {algorithm}
  hyperparameters: {{n_estimators: {trees}}}
  features: [temperature, humidity]
  target: load
  frequency: 1h
  backtest_folds: 0
"""


def aihub(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("AIHUB_", "MLFLOW_"))
    }
    environ |= {"AIHUB_HOME": str(folder / "home"), "AIHUB_MLFLOW_TRACKING_URI": "off"}
    return subprocess.run(
        [str(AIHUB), *arguments],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def answered(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.stderr == ""
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("user")
    rows = generate_forecast_data(HOURS + 24, seed=7)
    rows.head(HOURS).write_csv(place / "load.csv")
    rows.head(HOURS).write_parquet(place / "load.parquet")
    rows.tail(24).drop("load").write_csv(place / "tomorrow.csv")
    (place / "good.yaml").write_text(SPEC.format(name="meter", algorithm="lgbm", trees=60))
    (place / "poor.yaml").write_text(SPEC.format(name="meter", algorithm="lgbm", trees=1))
    return place


@pytest.fixture(scope="module")
def delivered(folder: Path) -> Any:
    done = aihub(folder, "run", "good.yaml", "--data", "load.csv", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return answered(done)


@pytest.mark.slow
class TestGoodModel:
    def test_passes_and_serves(self, folder: Path, delivered: Any) -> None:
        assert delivered["passed"] is True
        assert delivered["status"] == "candidate"
        assert delivered["deployed"] is True
        assert delivered["semantic"] == "v1.0.0"
        assert {"report.txt", "report.json", "report.md", "report.html", "junit.xml"} <= set(
            delivered["reports"]
        )
        html = Path(delivered["reports"]["report.html"]).read_text()
        assert "<script" not in html
        assert "meter" in html
        models = {m["model"]: m for m in answered(aihub(folder, "models", "--json"))["models"]}
        # Other tests of this folder add versions, in any order.
        assert models["meter"].pop("versions") >= 1
        assert models["meter"] == {
            "model": "meter",
            "production": "v1.0.0",
            "kind": "forecast/1",
            "rollouts": [],
        }

    def test_answers_for_tomorrow_with_an_interval(self, folder: Path, delivered: Any) -> None:
        assert delivered["passed"]
        rows = answered(aihub(folder, "predict", "meter", "--data", "tomorrow.csv", "--json"))["rows"]
        assert len(rows) == 24
        assert all(row["lower"] < row["prediction"] < row["upper"] for row in rows)
        truth = generate_forecast_data(HOURS + 24, seed=7).tail(24)["load"].to_list()
        errors = [abs(row["prediction"] - actual) for row, actual in zip(rows, truth, strict=True)]
        assert sum(errors) / len(errors) < 50

    def test_asked_without_weather_says_what_it_needs(self, folder: Path, delivered: Any) -> None:
        assert delivered["passed"]
        done = aihub(folder, "predict", "meter")
        assert done.returncode == 2
        assert "temperature" in done.stderr

    def test_versions_follow_from_what_changed(self, folder: Path) -> None:
        def run(algorithm: str, data: str) -> Any:
            (folder / "followed.yaml").write_text(SPEC.format(name="followed", algorithm=algorithm, trees=20))
            return answered(aihub(folder, "run", "followed.yaml", "--data", data, "--json", "--no-deploy"))

        first, again, other = run("lgbm", "load.csv"), run("lgbm", "load.parquet"), run("xgboost", "load.csv")
        assert [r["semantic"] for r in (first, again, other)] == ["v1.0.0", "v1.0.1", "v1.1.0"]
        assert again["metrics"] == pytest.approx(first["metrics"])  # Parquet gives the same model as CSV

    def test_deploy_and_rollback(self, folder: Path) -> None:
        (folder / "swapped.yaml").write_text(SPEC.format(name="swapped", algorithm="lgbm", trees=20))
        for more in ([], ["--no-deploy"]):
            aihub(folder, "run", "swapped.yaml", "--data", "load.csv", "--json", *more)
        done = answered(aihub(folder, "deploy", "swapped", "v1.0.1", "--reason", "try it", "--json"))
        assert done["semantic"] == "v1.0.1"
        back = answered(aihub(folder, "rollback", "swapped", "--reason", "it was worse", "--json"))
        assert back["semantic"] == "v1.0.0"
        history = answered(aihub(folder, "models", "swapped", "--history", "--json"))["deployments"]
        assert [d["action"] for d in history] == ["rollback", "deploy", "deploy"]


@pytest.mark.slow
@pytest.mark.usefixtures("delivered")
def test_poor_model_is_rejected_and_cannot_be_deployed(folder: Path) -> None:
    done = aihub(folder, "run", "poor.yaml", "--data", "load.csv", "--json")
    assert done.returncode == 1
    refused = json.loads(done.stdout)
    assert refused["passed"] is False
    assert refused["status"] == "rejected"
    assert refused["failures"]
    tried = aihub(folder, "deploy", "meter", str(refused["version"]), "--reason", "anyway")
    assert tried.returncode != 0
    assert "rejected" in tried.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("delivered")
def test_plain_output_holds_the_guides_report(folder: Path) -> None:
    done = aihub(folder, "run", "good.yaml", "--data", "load.csv", "--no-deploy")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "MODEL VALIDATION REPORT" in done.stdout
    assert "Overall Status: ✓ PASSED" in done.stdout
    assert "To ask it: aihub predict meter --version " in done.stdout  # what serves may be another
    assert "\x1b[" not in done.stdout  # a pipe gets no colours


@pytest.mark.slow
def test_anomaly_detector_flags_what_is_odd(tmp_path: Path) -> None:
    rows = generate_anomaly_data(6000, seed=3)
    rows.write_csv(tmp_path / "meter.csv")
    (tmp_path / "spec.yaml").write_text(
        "name: odd\ntraining:\n  model_type: anomaly\n  features: [load, temperature, humidity]\n  target: is_anomaly\n"
    )
    done = aihub(tmp_path, "run", "spec.yaml", "--data", "meter.csv", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    judged = answered(aihub(tmp_path, "predict", "odd", "--data", "meter.csv", "--json"))["rows"]
    flags = pl.Series([row["prediction"] for row in judged])
    assert set(flags.unique()) == {0, 1}
    agreement = (flags == rows["is_anomaly"].cast(pl.Int64)).mean()
    assert agreement is not None
    assert agreement > 0.95


BAD_FILES = {
    "no such column": ("timestamp,temperature,humidity,lod\n2024-01-01,1,2,3\n", "load"),
    "empty": ("", "empty"),
    "only a header": ("timestamp,temperature,humidity,load\n", ""),
    "words for numbers": (
        "timestamp,temperature,humidity,load\n" + "2024-01-01 00:00,1,2,many\n" * 30,
        "load",
    ),
    "words for times": ("timestamp,temperature,humidity,load\n" + "soon,1,2,3\n" * 30, "timestamp"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_input_is_exit_code_two_and_names_the_place(case: str, tmp_path: Path) -> None:
    content, named = BAD_FILES[case]
    (tmp_path / "bad.csv").write_text(content)
    (tmp_path / "spec.yaml").write_text(SPEC.format(name="meter", algorithm="lgbm", trees=5))
    done = aihub(tmp_path, "run", "spec.yaml", "--data", "bad.csv")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "bad.csv" in done.stderr
    assert named in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ("name: m\ntraining: {target: load, algoritm: lgbm}\n", "algorithm"),
        ("name: m\ntraining: {target: load, algorithm: lgbmm}\n", "lgbm"),
        ("name: m\ntraining: {target: load, hyperparameters: {n_estimators: -1}}\n", "n_estimators"),
        ("name: m\ntraining: {target: load, hyperparameters: {learning_rate: .nan}}\n", "learning_rate"),
        ("name: m\ntraining: {target: load}\nvalidation: {thresholds: {maee: {max: 1}}}\n", "mae"),
        ("name: [\n", "spec.yaml"),
    ],
)
def test_bad_spec_is_exit_code_two_before_any_training(spec: str, named: str, tmp_path: Path) -> None:
    generate_forecast_data(500, seed=1).write_csv(tmp_path / "load.csv")
    (tmp_path / "spec.yaml").write_text(spec)
    done = aihub(tmp_path, "run", "spec.yaml", "--data", "load.csv")
    assert done.returncode == 2, done.stdout + done.stderr
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert "train" not in done.stdout


def test_missing_files_are_named(tmp_path: Path) -> None:
    assert "nowhere.yaml" in aihub(tmp_path, "run", "nowhere.yaml", "--data", "x.csv").stderr
    (tmp_path / "spec.yaml").write_text(SPEC.format(name="meter", algorithm="lgbm", trees=5))
    done = aihub(tmp_path, "run", "spec.yaml", "--data", "nowhere.csv")
    assert done.returncode == 2
    assert "nowhere.csv" in done.stderr


def test_doctor_finds_nothing_broken(tmp_path: Path) -> None:
    done = aihub(tmp_path, "doctor", "--json")
    assert done.returncode == 0, done.stdout
    assert {check["subject"] for check in json.loads(done.stdout)["checks"]} >= {
        "libraries",
        "home",
        "database",
    }
