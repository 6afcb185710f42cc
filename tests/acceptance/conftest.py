"""A running hub, and scripts and commands called as a workflow calls them."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from running_hub import ROOT, RunningHub, hub_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Called = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """Everything in one command on SQLite, as `aihub up` starts it; shared by all tests, which use models of their own."""
    with hub_at(tmp_path_factory.mktemp("hub")) as hub:
        hub.start("up", name="up")
        hub.wait_until_ready()
        yield hub


@pytest.fixture
def call() -> Called:
    """Run a script of the guide by its name, or `aihub`, with the environment of a client."""

    def run(
        name: str, *arguments: str, environ: dict[str, str], timeout_s: float = 240
    ) -> subprocess.CompletedProcess[str]:
        program = ["-m", "aihub"] if name == "aihub" else [str(ROOT / "scripts" / name)]
        return subprocess.run(
            [sys.executable, *program, *arguments],
            env=environ,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    return run
