from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import click
import pytest

from aihub import errors
from aihub.cli import main


def test_every_command_can_be_loaded_and_has_help() -> None:
    context = click.Context(main.cli)
    for name in main.COMMANDS:
        command = main.cli.get_command(context, name)
        assert command is not None
        assert command.help, f"{name} has no help"


def test_unknown_command_offers_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["prdict"]) == 2
    assert "predict" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.DataError("bad", file="f.csv", column="load", row=3), 2),
        (errors.UnavailableError("away"), 3),
        (errors.ArtifactError("broken"), 2),
        (RuntimeError("ours"), 3),
    ],
)
def test_errors_become_exit_codes(
    error: Exception, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(main.cli, "main", fail)
    assert main.run([]) == code
    assert str(error) in capsys.readouterr().err


def test_help_costs_little_and_imports_nothing_heavy() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(Path(sys.executable).with_name("aihub")), "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    heavy = (
        "numpy",
        "polars",
        "pandas",
        "pydantic",
        "sqlalchemy",
        "mlflow",
        "lightgbm",
        "xgboost",
        "rich",
        "scipy",
    )
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert not imported & set(heavy)
    assert "run" in done.stdout
    # Not a timed test: a bound ten times above what it costs, which only a heavy import would break.
    assert after.ru_utime - before.ru_utime < 3


def test_the_guides_import_loads_no_web_database_mlflow_or_tree_library() -> None:
    code = "import sys; from app.services.model_validator import ModelValidator; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {
        "fastapi",
        "starlette",
        "sqlalchemy",
        "alembic",
        "mlflow",
        "lightgbm",
        "xgboost",
        "sklearn",
        "dbos",
    }
