from __future__ import annotations

import json
import os
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import lightgbm as lgb
import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner, Result

from aihub.cli.main import run
from aihub.cli.validate import validate
from aihub.validation.profile import Profile
from aihub.validation.report import read_json

if TYPE_CHECKING:
    from pathlib import Path


def sample(n: int, seed: int, shift: float = 0.0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    temperature, humidity = rng.normal(20 + shift, 5, n), rng.normal(60, 10, n)
    load = 1000 + 12 * temperature + 3 * humidity + rng.normal(0, 5, n)
    return pl.DataFrame({"temperature": temperature, "humidity": humidity, "load": load})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LightGBM model, tables and what it may be held against."""
    root = tmp_path_factory.mktemp("validate")
    train = sample(1500, 0)
    features = lgb.Dataset(train.select("temperature", "humidity").to_numpy(), train["load"].to_numpy(),
                           feature_name=["temperature", "humidity"])  # fmt: skip
    parameters = {"objective": "l2", "verbosity": -1, "num_threads": 1, "seed": 0}
    lgb.train(parameters, features, num_boost_round=80).save_model(root / "model.txt")
    lgb.train(parameters, features, num_boost_round=2).save_model(root / "weak.txt")
    sample(600, 1).write_csv(root / "good.csv")
    sample(600, 1).write_csv(root / "semicolon.csv", separator=";")
    sample(600, 1).write_parquet(root / "good.parquet")
    sample(600, 2, shift=25).write_csv(root / "shifted.csv")
    (root / "train.profile").write_bytes(Profile.of(train.drop("load")).to_bytes())
    (root / "huge.json").write_text('{"mae": 1' + "0" * 400 + "}")
    (root / "deep.json").write_text('{"a":' * 100_000)
    (root / "list.json").write_text('{"checks": [1]}')
    os.mkfifo(root / "pipe")
    (root / "stats.json").write_text(
        '{"temperature": {"mean": 20.0, "std": 5.0}, "humidity": {"mean": 60.0, "std": 10.0}}'
    )
    (root / "baseline.json").write_text('{"mae": 20.0}')
    (root / "hard.json").write_text('{"mae": 0.5}')
    return root


def called(folder: Path, model: str, data: str, *options: str) -> Result:
    arguments = [str(folder / model), "--data", str(folder / data), "--target", "load", *options]
    return CliRunner().invoke(validate, arguments, standalone_mode=False)


@pytest.mark.parametrize("data", ["good.csv", "good.parquet", "semicolon.csv"])
def test_a_good_model_passes_and_every_report_is_written(folder: Path, tmp_path: Path, data: str) -> None:
    result = called(
        folder,
        "model.txt",
        data,
        "--report",
        str(tmp_path / "r"),
        "--baseline",
        str(folder / "baseline.json"),
    )
    assert result.exception is None
    assert result.return_value == 0
    assert "Overall Status: ✓ PASSED" in result.output
    assert "BASELINE COMPARISON" in result.output
    names = {path.name for path in (tmp_path / "r").iterdir()}
    assert names == {"report.txt", "report.json", "report.md", "report.html", "junit.xml"}
    report = read_json((tmp_path / "r" / "report.json").read_text())
    assert report.passed
    assert (tmp_path / "r" / "report.txt").read_text() == f"{report}\n"
    assert report.context["data"]["rows"] == 600
    assert not ET.parse(tmp_path / "r" / "junit.xml").findall(".//failure")  # noqa: S314 - written by this test


def test_a_weak_model_fails_with_exit_code_one(folder: Path) -> None:
    result = called(folder, "weak.txt", "good.csv")
    assert result.return_value == 1
    assert "Overall Status: ✗ FAILED" in result.output
    assert "FAILURES" in result.output


def test_worse_than_the_baseline_or_the_champion_is_said(folder: Path) -> None:
    assert called(folder, "model.txt", "good.csv", "--baseline", str(folder / "hard.json")).return_value == 1
    result = called(folder, "weak.txt", "good.csv", "--champion", str(folder / "model.txt"), "--json")
    document = json.loads(result.output)
    assert document["context"]["has_champion"] is True
    assert document["passed"] is False


@pytest.mark.parametrize("profile", ["train.profile", "stats.json"])
def test_drifted_data_is_noticed_with_a_profile_and_with_the_guides_statistics(
    folder: Path, profile: str
) -> None:
    shifted = json.loads(
        called(folder, "model.txt", "shifted.csv", "--profile", str(folder / profile), "--json").output
    )
    good = json.loads(
        called(folder, "model.txt", "good.csv", "--profile", str(folder / profile), "--json").output
    )
    drifted = {
        f["subject"]
        for r in shifted["results"]
        for f in r["findings"]
        if f["outcome"] == "failed" and "drift" in r["name"]
    }
    calm = {
        f["subject"]
        for r in good["results"]
        for f in r["findings"]
        if f["outcome"] == "failed" and "drift" in r["name"]
    }
    assert any("temperature" in name for name in drifted)
    assert not any("temperature" in name for name in calm)


def test_thresholds_come_from_the_spec(folder: Path, tmp_path: Path) -> None:
    spec = tmp_path / "model.yaml"
    spec.write_text(
        "name: m\ntraining: {algorithm: lgbm, target: load, features: [temperature, humidity]}\n"
        "validation:\n  thresholds:\n    mae: {max: 0.001}\n"
    )
    result = called(folder, "model.txt", "good.csv", "--spec", str(spec), "--annotations")
    assert result.return_value == 1
    assert f"::error title=Performance%3A mae,file={spec}" in result.output
    document = json.loads(called(folder, "model.txt", "good.csv", "--spec", str(spec), "--json").output)
    assert document["settings"]["thresholds.mae"] == {"value": {"max": 0.001}, "from": "spec"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model": "nothing.txt"}, "nothing.txt"),
        ({"data": "nothing.csv"}, "nothing.csv"),
        ({"target": "lod"}, "Did you mean 'load'"),
        ({"baseline": "model.txt"}, "is not JSON"),
        ({"baseline": "stats.json"}, "holds no metric"),
        ({"baseline": "nothing.json"}, "nothing.json"),
        ({"baseline": "huge.json"}, "is not finite"),
        ({"baseline": "deep.json"}, "is not JSON"),
        ({"baseline": "list.json"}, "holds no metric"),
        ({"baseline": "pipe"}, "is not a file"),
        ({"profile": "pipe"}, "is not a file"),
        ({"spec": "pipe"}, "is not a file"),
        ({"profile": "good.csv"}, "profile"),
        ({"since": "2024-01-01"}, "--since"),
        ({"target": None}, "--target"),
    ],
)
def test_bad_input_is_exit_code_two_and_names_the_fault(
    folder: Path, capsys: pytest.CaptureFixture[str], change: dict[str, str | None], told: str
) -> None:
    given: dict[str, str | None] = {"model": "model.txt", "data": "good.csv", "target": "load"} | change
    arguments = [
        "validate",
        str(folder / str(given.pop("model"))),
        "--data",
        str(folder / str(given.pop("data"))),
    ]
    for name, value in given.items():
        if value is not None:
            arguments += [f"--{name}", value if name in ("target", "since") else str(folder / value)]
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert told in captured.err
    assert captured.out == ""


def test_a_report_folder_that_cannot_be_made_is_bad_input(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "validate",
        str(folder / "model.txt"),
        "--data",
        str(folder / "good.csv"),
        "--target",
        "load",
    ]
    assert run([*arguments, "--report", str(folder / "good.csv" / "r")]) == 2
    assert "choose another folder" in capsys.readouterr().err


def test_rows_before_the_moment_are_not_judged(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stamps = np.datetime64("2024-01-01", "us") + np.arange(600) * np.timedelta64(1, "h")
    path = tmp_path / "timed.parquet"
    sample(600, 1).with_columns(time=stamps).write_parquet(path)
    common = ["--data", str(path), "--target", "load", "--timestamp", "time", "--json"]
    result = CliRunner().invoke(
        validate, [str(folder / "model.txt"), *common, "--since", "2024-01-11"], standalone_mode=False
    )
    document = json.loads(result.output)
    assert document["validation_data_size"] == 600 - 240
    performance = next(r for r in document["results"] if r["name"] == "performance")
    assert performance["plots"]["residuals"]["x"][0] == "2024-01-11T00:00Z"
    assert run(["validate", str(folder / "model.txt"), *common, "--since", "2025-01-01"]) == 2
    assert "the last is from 2024-01-25 23:00" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["forecast", "Forecast", "anomaly"])
def test_the_model_type_is_named_as_everywhere_else(
    folder: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    arguments = ["validate", str(folder / "model.txt"), "--data", str(folder / "good.csv")]
    code = run([*arguments, "--target", "load", "--model-type", kind])
    told = capsys.readouterr()
    # A regression gives no score that an anomaly could be told by.
    assert code == (2 if kind == "anomaly" else 0), told.err
    assert ("has no score" in told.err) is (kind == "anomaly")
