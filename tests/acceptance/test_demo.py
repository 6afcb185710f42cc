"""The demonstration tells its whole story, and ends as it should."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_demo_trains_refuses_deploys_asks_watches_and_takes_back(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "AIHUB_HOME": str(tmp_path),
        "AIHUB_MLFLOW_TRACKING_URI": "off",
        "AIHUB_SHARED_DATA": "",
    }
    done = subprocess.run(
        [Path(sys.executable).with_name("aihub"), "demo"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=800,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    for said in (
        "MODEL VALIDATION REPORT",
        "Overall Status: ✓ PASSED",
        "rejected",
        "Tomorrow, asked of demo-load",
        "serves",
        "FAILED: mae",
        "24 hours with a 90 % interval",
        "rollback: mae",
        "aihub.watch",
    ):
        assert said in done.stdout
    assert (tmp_path / "demo" / "reports" / "demo-load" / "3" / "report.html").is_file()
    report = Path(done.stdout.split("Report of the winner: ")[1].splitlines()[0])
    assert report.stat().st_size < 1_000_000
