"""The service as a process: one command, ready quickly, and a stop that leaves nothing undone."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from databases import mortal_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

READY_S = 60
"""The aim is 5 s; a machine that runs other tests beside may take longer, and is not what is tested."""


@contextmanager
def running(
    home: Path, *command: str, **environment: str
) -> Iterator[tuple[subprocess.Popen[str], str, list[str]]]:
    """Start a command that listens; its process, address and what it said."""
    env = {**os.environ, "AIHUB_HOME": str(home), "AIHUB_MLFLOW_TRACKING_URI": "off", **environment}
    with (home.parent / "stderr").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "aihub", *command, "--port", "0"],
            stdout=subprocess.PIPE, stderr=log, text=True, env=env,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            said = [process.stdout.readline()]
            found = re.search(r"http://\S+", said[0])
            assert found, (home.parent / "stderr").read_text()
            yield process, found[0], said
        finally:
            process.kill()
            process.wait(20)
            if process.stdout:
                process.stdout.close()


def finish(process: subprocess.Popen[str], number: int) -> tuple[int, str]:
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    return process.returncode, said


def test_the_first_start_shows_a_key_that_works_and_no_later_one_does(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with running(home, "up") as (process, url, _):
        assert process.stdout is not None
        token = re.search(r"hub_\S+", process.stdout.readline())
        assert token
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token[0]}"}) as http:
            assert http.get("/models").json() == {"items": [], "next": None}
            deadline = time.monotonic() + READY_S
            while http.get("/ready").json()["status"] != "ready":
                assert time.monotonic() < deadline
                time.sleep(0.1)
            assert "aihub_workers 1.0" in http.get("/metrics").text
        code, _ = finish(process, signal.SIGTERM)
        assert code == 0, (tmp_path / "stderr").read_text()
    with running(home, "serve") as (process, url, _):
        assert httpx.get(f"{url}/ready").json()["status"] == "degraded"
        code, said = finish(process, signal.SIGINT)
        assert (code, "hub_" in said) == (0, False)
    assert token[0] not in (tmp_path / "stderr").read_text()


def test_a_stop_ends_live_streams_and_answers_what_is_under_way(tmp_path: Path) -> None:
    body: dict[str, Any] = {"model_type": "forecast", "config": {"target": "load"}}
    with running(tmp_path / "home", "serve") as (process, url, _):
        assert process.stdout is not None
        token = re.search(r"hub_\S+", process.stdout.readline())
        assert token
        headers = {"Authorization": f"Bearer {token[0]}"}
        job = httpx.post(f"{url}/ai/training/jobs", json=body, headers=headers).json()["job_id"]
        path = f"{url}/ai/training/jobs/{job}/logs"
        with httpx.stream(
            "GET", path, headers={**headers, "Accept": "text/event-stream"}, timeout=30
        ) as stream:
            started = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert "retry:" in stream.read().decode()
        assert process.wait(30) == 0
        assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    "environment", [{"AIHUB_PORT": "x"}, {"AIHUB_ANONYMOUS_ROLE": "admin", "AIHUB_HOST": "::"}]
)
def test_a_start_that_cannot_be_is_refused_with_the_next_step(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    env = {**os.environ, "AIHUB_HOME": str(tmp_path), "AIHUB_MLFLOW_TRACKING_URI": "off", **environment}
    done = subprocess.run(
        [sys.executable, "-m", "aihub", "serve"],
        capture_output=True,
        text=True,
        env=env,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert next(iter(environment)) in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.postgres
def test_a_worker_waits_for_a_database_that_starts_later(tmp_path: Path) -> None:
    with mortal_server(is_durable=False) as server:
        server.kill()
        env = {
            **os.environ,
            "AIHUB_HOME": str(tmp_path / "home"),
            "AIHUB_DATABASE_URL": server.url,
            "AIHUB_MLFLOW_TRACKING_URI": "off",
        }
        command = [sys.executable, "-m", "aihub", "worker"]
        hurried = subprocess.run(
            command, env={**env, "AIHUB_START_TIMEOUT_S": "0"}, capture_output=True, text=True, check=False, timeout=60
        )  # fmt: skip
        assert hurried.returncode == 3, hurried.stderr
        assert "does not answer" in hurried.stderr
        assert "trying" not in hurried.stderr
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
        )
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            while "trying for 60 s" not in (line := process.stderr.readline()):
                assert line, "ended"
            server.start()
            assert "takes jobs" in process.stdout.readline()
        finally:
            process.terminate()
            _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
