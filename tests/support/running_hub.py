"""A hub that really runs: API, workers and scheduler as processes of their own, called over HTTP."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from aihub import Client
from aihub.errors import UnavailableError
from aihub.store.credentials import new_token

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[2]
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0


@dataclass
class RunningHub:
    """Processes of one hub; `admin_key` is the operator's."""

    home: Path
    url: str
    admin_key: str
    environ: dict[str, str]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *arguments: str, name: str) -> subprocess.Popen[bytes]:
        """Start `aihub ARGUMENTS`; what it prints is in the file NAME.log of `home`."""
        with (self.home / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "aihub", *arguments],
                cwd=self.home,
                env=self.environ,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def log(self, name: str) -> str:
        """What a process has printed so far."""
        return (self.home / f"{name}.log").read_text(errors="replace")

    def client(self, key: str | None = None, **more: object) -> Client:
        """Return a client with `key`, by default the operator's."""
        return Client(self.url, api_key=self.admin_key if key is None else key, **more)  # type: ignore[arg-type]

    def key_of(self, principal: str, role: str, *, tenant: str = "default") -> str:
        """Make a key for somebody."""
        with self.client(tenant=tenant) as client:
            return client.keys.create(principal, role)[1]

    def client_environ(self, key: str | None = None) -> dict[str, str]:
        """Environment of a script or command that talks to the hub."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("AIHUB_", "GITHUB_"))
        }
        return {**kept, "AIHUB_URL": self.url, "AIHUB_API_KEY": self.admin_key if key is None else key}

    def wait_until_ready(self, wanted: str = "ready") -> None:
        """Wait until `/ready` says so, or fail with what the processes printed."""
        deadline = time.monotonic() + START_TIMEOUT_S
        with self.client() as client:
            while time.monotonic() < deadline:
                try:
                    if client.ready()["status"] == wanted:
                        return
                except UnavailableError:
                    pass
                if any(process.poll() is not None for process in self.processes):
                    break
                time.sleep(0.05)
        logs = "\n".join(f"--- {file.name}\n{file.read_text()[-3000:]}" for file in self.home.glob("*.log"))
        raise AssertionError(f"the hub did not become ready\n{logs}")

    def stop(self) -> None:
        """Stop the processes as an operator would, and by force those that do not."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@contextmanager
def hub_at(home: Path, environ: Mapping[str, str] | None = None) -> Iterator[RunningHub]:
    """Yield a hub of which nothing runs yet, on a free port; all that was started is stopped at the end."""
    home.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    key = new_token()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIHUB_", "GITHUB_"))}
    hub = RunningHub(
        home=home,
        url=f"http://127.0.0.1:{port}",
        admin_key=key,
        environ={
            **kept,
            "AIHUB_HOME": str(home),
            "AIHUB_PORT": str(port),
            "AIHUB_BOOTSTRAP_KEY": key,
            "AIHUB_MLFLOW_TRACKING_URI": "off",
            **(environ or {}),
        },
    )
    try:
        yield hub
    finally:
        hub.stop()
