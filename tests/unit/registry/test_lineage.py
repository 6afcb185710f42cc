from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from aihub.errors import InputError
from aihub.registry.lineage import Lineage, collect, git_state

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_commit_and_dirty_flag_are_those_of_the_folder(tmp_path: Path) -> None:
    _git(tmp_path, "init", "-q")
    assert git_state(tmp_path) == (None, None)
    (tmp_path / "a").write_text("1")
    _git(tmp_path, "add", "a")
    _git(tmp_path, "commit", "-q", "-m", "x")
    commit = _git(tmp_path, "rev-parse", "HEAD")
    assert git_state(tmp_path) == (commit, False)
    (tmp_path / "a").write_text("2")
    assert git_state(tmp_path) == (commit, True)


def test_outside_of_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state(tmp_path) == (None, None)
    monkeypatch.setenv("PATH", "")
    assert git_state(tmp_path) == (None, None)


def test_a_lineage_survives_json() -> None:
    lineage = collect(
        {"seed": 3, "algorithm": "lgbm"}, {"sha256": "x", "rows": 5}, requested_by="ci", now=NOW
    )
    assert Lineage.from_dict(lineage.to_dict()) == lineage
    assert lineage.seed == 3
    assert {"python", "numpy", "lightgbm"} <= set(lineage.packages)


def test_a_config_that_does_not_fit_its_hash_is_refused() -> None:
    document = collect({"seed": 3}, {}, requested_by="ci", now=NOW).to_dict()
    with pytest.raises(InputError, match="config_hash"):
        Lineage.from_dict({**document, "config": {"seed": 4}})


def test_a_lineage_needs_an_aware_time() -> None:
    with pytest.raises(InputError, match="time zone"):
        collect({}, {}, requested_by="ci", now=datetime(2026, 1, 1))  # noqa: DTZ001 - on purpose
