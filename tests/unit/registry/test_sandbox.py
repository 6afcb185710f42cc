from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aihub.errors import ArtifactError
from aihub.registry import frames
from aihub.registry.sandbox import Child


def _layers(child: Child) -> list[str]:
    return child.ask({"op": "layers"}, timeout_s=20, max_blob=0)[0]["layers"]


def test_the_child_confines_itself_before_it_answers() -> None:
    with Child() as child:
        layers = _layers(child)
    assert {"limits", "audit"} <= set(layers)
    if sys.platform == "linux" and os.uname().machine in ("x86_64", "aarch64"):
        assert "seccomp" in layers


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux counts threads as processes, and has the filter"
)
def test_the_child_may_have_threads_whoever_runs_it() -> None:
    # Root is not held to the bound: only for others it would end the child at its first thread.
    with Child() as child:
        layers = _layers(child)
        bounds = Path(f"/proc/{child._process.pid}/limits").read_text(encoding="ascii")
    (processes,) = [line.split()[2] for line in bounds.splitlines() if line.startswith("Max processes")]
    assert ("seccomp" in layers) == (processes != "0")


def test_an_unknown_request_is_an_error_and_the_child_lives() -> None:
    with Child() as child:
        with pytest.raises(ArtifactError, match="KeyError"):
            child.ask({"op": "nothing"}, timeout_s=20, max_blob=0)
        assert _layers(child)


def test_a_closed_child_is_gone() -> None:
    child = Child()
    assert child.is_alive
    child.close()
    child.close()
    assert not child.is_alive


def test_a_child_that_does_not_answer_is_killed_at_the_deadline() -> None:
    child = Child()
    os.kill(child._process.pid, 19)
    started = time.monotonic()
    with pytest.raises(ArtifactError, match=r"within 0\.3 s"):
        child.ask({"op": "layers"}, b"x" * 5_000_000, timeout_s=0.3, max_blob=0)
    assert time.monotonic() - started < 10
    assert not child.is_alive


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"short",
        b"EVIL" + bytes(12),
        frames.HEAD.pack(b"AIHB", 2**31, 0),
        frames.HEAD.pack(b"AIHB", 2, 2**40),
    ],
)
def test_an_answer_that_is_no_frame_is_refused(head: bytes) -> None:
    with pytest.raises(frames.FrameError):
        frames.sizes(head, max_header=1000, max_blob=1000)


@pytest.mark.parametrize("text", [b"", b"[]", b"\xff", b"[" * 100_000, b"1"])
def test_a_header_that_is_no_object_is_refused(text: bytes) -> None:
    with pytest.raises(frames.FrameError):
        frames.header(text)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="asks the process table")
def test_the_child_ends_with_its_parent_although_its_pipe_stays_open(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, signal, sys\n"
        "from aihub.registry.sandbox import Child\n"
        "child = Child()\n"
        "child.ask({'op': 'layers'}, timeout_s=60, max_blob=0)\n"  # confined, and watching
        "os.set_inheritable(child._process.stdin.fileno(), True)\n"
        "os.posix_spawn('/bin/sleep', ['sleep', '20'], {})\n"  # holds the pipe, as a hanging native call would
        "pathlib.Path(sys.argv[1]).write_text(str(child._process.pid))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    note = tmp_path / "pid"
    subprocess.run([sys.executable, "-c", code, str(note)], check=False, timeout=120)
    status = Path(f"/proc/{note.read_text()}/status")
    deadline = time.monotonic() + 15
    while is_running(status) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not is_running(status)


def is_running(status: Path) -> bool:
    try:
        return "State:\tZ" not in status.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
