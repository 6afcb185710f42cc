"""Tags of deployed versions in a real repository."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from aihub.errors import ConflictError, InputError
from aihub.registry.tags import tag_commit

if TYPE_CHECKING:
    from pathlib import Path


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@t"]
    return subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> tuple[Path, str]:
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "one")
    return tmp_path, git(tmp_path, "rev-parse", "HEAD")


def test_a_deployed_version_tags_its_commit_once(checkout: tuple[Path, str]) -> None:
    folder, commit = checkout
    given = {"model": "load", "semantic": "v1.2.3", "commit": commit, "message": "deployed to production"}
    assert tag_commit(folder, **given).is_new
    assert not tag_commit(folder, **given).is_new
    assert git(folder, "rev-parse", "model/load/v1.2.3^{commit}") == commit
    assert "deployed to production" in git(folder, "cat-file", "-p", "model/load/v1.2.3")


def test_a_tag_is_never_moved(checkout: tuple[Path, str]) -> None:
    folder, commit = checkout
    tag_commit(folder, model="load", semantic="v1.2.3", commit=commit, message="m")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "two")
    with pytest.raises(ConflictError, match="never changes"):
        tag_commit(
            folder, model="load", semantic="v1.2.3", commit=git(folder, "rev-parse", "HEAD"), message="m"
        )


def test_where_there_is_nothing_to_tag_it_says_why(
    checkout: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, _ = checkout
    given = {"model": "load", "semantic": "v1.2.3", "message": "m"}
    assert "names no commit" in tag_commit(folder, commit=None, **given).reason
    assert "not in this checkout" in tag_commit(folder, commit="0" * 40, **given).reason
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert "no checkout" in tag_commit(elsewhere, commit="0" * 40, **given).reason


@pytest.mark.parametrize("semantic", ["v1.2.3; rm -rf /", "--delete", "latest"])
def test_what_is_no_version_makes_no_tag(checkout: tuple[Path, str], semantic: str) -> None:
    folder, commit = checkout
    with pytest.raises(InputError):
        tag_commit(folder, model="load", semantic=semantic, commit=commit, message="m")
