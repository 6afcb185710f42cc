from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aihub.errors import ArtifactError, UnavailableError
from aihub.registry.files import read_regular, sweep, write_atomically

WRITER = """
import sys
from pathlib import Path
from aihub.registry.files import write_atomically
if len(sys.argv) > 2:
    import resource, signal
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL if sys.argv[2] == "kill" else signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
try:
    write_atomically(Path(sys.argv[1]), b"n" * 3_000_000)
except Exception as error:
    print(type(error).__name__)
    sys.exit(7)
"""
OLD, NEW = b"old" * 10, b"n" * 3_000_000


def _run(*arguments: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [*before, sys.executable, "-c", WRITER, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    ("how", "limit"), [("kill", 0), ("kill", 1_500_000), ("full", 0), ("full", 2_999_999)]
)
def test_a_killed_or_refused_write_leaves_the_old_file(tmp_path: Path, how: str, limit: int) -> None:
    # A file-size limit stands for a full disk; with the signal left on, the kernel kills in the middle of the write.
    target = tmp_path / "model.aihub"
    target.write_bytes(OLD)
    done = _run(str(target), how, str(limit))
    assert done.returncode == (-25 if how == "kill" else 7), done.stderr
    assert target.read_bytes() == OLD
    if how == "full":
        assert done.stdout.strip() == "UnavailableError"
        assert list(tmp_path.iterdir()) == [target], "a failed write cleans up"


def _can_inject() -> bool:
    if not shutil.which("strace"):
        return False
    probe = subprocess.run(
        ["strace", "-qq", "-o", os.devnull, "true"], capture_output=True, check=False, timeout=20
    )
    return probe.returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not _can_inject(), reason="strace is missing or may not trace here")
@pytest.mark.parametrize("call", ["write", "fsync", "rename,renameat,renameat2"])
@pytest.mark.parametrize("effect", ["signal=SIGKILL", "error=ENOSPC"])
def test_a_fault_at_any_system_call_leaves_old_or_new(tmp_path: Path, call: str, effect: str) -> None:
    target = tmp_path / "model.aihub"
    for nth in (1, 2, 3):
        target.write_bytes(OLD)
        injected = f"--inject={call}:{effect}:when={nth}"
        # Only calls on files in this folder count, the interpreter's own are left alone.
        done = _run(
            str(target), before=("strace", "-f", "-qq", "-o", os.devnull, "-P", str(tmp_path), injected)
        )
        content = target.read_bytes()
        assert content in (OLD, NEW)
        if done.returncode == 0:
            assert content == NEW
    assert sweep(tmp_path, older_than_s=-1, now_s=2e9) >= 0
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_that_cannot_be_written_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UnavailableError, match="could not be written"):
        write_atomically(tmp_path / "file" / "inner", b"x")


@pytest.mark.parametrize("kind", ["missing", "folder", "empty", "link", "pipe", "device", "null", "large"])
def test_what_is_not_a_file_with_a_model_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    match kind:
        case "folder":
            path.mkdir()
        case "empty":
            path.touch()
        case "link":
            (tmp_path / "real").write_text("x")
            path.symlink_to(tmp_path / "real")
        case "pipe":
            os.mkfifo(path)
        case "device":
            path = Path("/dev/zero")
        case "null":
            path = Path("bad\0name")
        case "large":
            with path.open("wb") as file:
                file.truncate(5 << 30)
    with pytest.raises(ArtifactError):
        read_regular(path)


def test_sweep_leaves_what_is_young(tmp_path: Path) -> None:
    (tmp_path / ".a.123.tmp").write_text("x")
    now_s = (tmp_path / ".a.123.tmp").stat().st_mtime + 10
    assert sweep(tmp_path, older_than_s=60, now_s=now_s) == 0
    assert sweep(tmp_path, older_than_s=5, now_s=now_s) == 1
