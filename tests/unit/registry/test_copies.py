from __future__ import annotations

import hashlib
import os
import time
from typing import TYPE_CHECKING

from aihub.registry import copies

if TYPE_CHECKING:
    from pathlib import Path

OLD = 2 * copies.LEFTOVER_AGE_S


def aged(path: Path, age_s: float = OLD) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_bytes(path.name.encode())
    os.utime(path, times=(time.time() - age_s,) * 2)
    return path


def trim(root: Path, limit_bytes: int = 0) -> int:
    return copies.trim(root, limit_bytes=limit_bytes, grace_s=60, now_s=time.time())


def test_what_killed_writers_left_is_removed(tmp_path: Path) -> None:
    old, new = aged(tmp_path / "ab" / ".x.tmp"), aged(tmp_path / "ab" / ".y.tmp", 10)
    trim(tmp_path)
    assert (old.exists(), new.exists()) == (False, True)


def test_workspace_of_a_process_that_lives_is_left_alone(tmp_path: Path) -> None:
    dead = tmp_path / copies.WORK / "dead"
    dead.mkdir(parents=True)
    with copies.workspace(tmp_path) as folder:
        for one in (dead, folder):
            aged(one)
        trim(tmp_path)
        assert (dead.exists(), folder.exists()) == (False, True)
    assert not folder.exists()


def test_linked_file_outlives_its_first_name(tmp_path: Path) -> None:
    path = aged(tmp_path / "ab" / "abc")
    with copies.workspace(tmp_path) as folder:
        copies.link(path, folder / "ab" / "abc")
        assert trim(tmp_path) == 1
        assert not path.exists()
        assert (folder / "ab" / "abc").read_bytes() == b"abc"


def test_use_counts_and_damage_does_not(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"x").hexdigest()
    path = tmp_path / "ab" / digest
    assert not copies.use(path, digest)
    path.parent.mkdir()
    path.write_bytes(b"x")
    aged(path)
    assert copies.use(path, digest)
    assert trim(tmp_path) == 0
    path.write_bytes(b"y")
    assert not copies.use(path, digest)
