"""The pipeline's script tells who is configured, and says so where nobody is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[3] / "scripts" / "notify.py"


def run(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "SLACK_WEBHOOK_URL"}
    return subprocess.run(
        [sys.executable, SCRIPT, *words], cwd=folder, env={**environment, **variables},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_nobody_configured_is_no_failure(tmp_path: Path) -> None:
    done = run(tmp_path, "--status", "success")
    assert done.returncode == 0
    assert "Nobody to tell" in done.stdout


def test_a_channel_that_is_away_fails_without_showing_its_secret(tmp_path: Path) -> None:
    routes = {
        "channels": {
            "hook": {"kind": "slack", "url": {"env": "HOOK"}, "hosts": ["127.0.0.1"], "allow_private": True}
        },
        "routes": [{"channels": ["hook"]}],
    }
    file = tmp_path / "notify.json"
    file.write_text(json.dumps(routes))
    done = run(
        tmp_path, "--status", "failure", "--fact", "run=7",
        AIHUB_NOTIFY_FILE=str(file), HOOK="http://127.0.0.1:1/services/T0/secret-part",
    )  # fmt: skip
    assert done.returncode == 1
    assert "hook: '127.0.0.1' does not answer" in done.stderr
    assert "secret-part" not in done.stdout + done.stderr


def test_a_wrong_file_of_routes_is_bad_input(tmp_path: Path) -> None:
    done = run(tmp_path, "--status", "success", AIHUB_NOTIFY_FILE=str(tmp_path / "none.yaml"))
    assert done.returncode == 2
    assert "cannot be read" in done.stderr
