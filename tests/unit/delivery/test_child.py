from __future__ import annotations

import json
import resource
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def test_a_full_disk_is_said_to_be_that_and_may_be_tried_again(tmp_path: Path) -> None:
    start, hours = datetime(2024, 1, 1, tzinfo=UTC), 24 * 40
    rows = [f"{start + timedelta(hours=hour):%Y-%m-%dT%H:%M:%S},{hour % 24}" for hour in range(hours)]
    data = tmp_path / "meter.csv"
    data.write_text("\n".join(["timestamp,value", *rows]))
    training = {"model_type": "forecast", "target": "value", "backtest_folds": 0}
    training["hyperparameters"] = {"n_estimators": 3}
    with subprocess.Popen(
        [sys.executable, "-m", "aihub.delivery.child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # What the disk does when it is full, the limit on a file's size does here.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)),  # noqa: PLW1509 - no threads
    ) as child:
        out, _ = child.communicate(json.dumps(order(tmp_path, data, training)) + "\n", timeout=120)
    told = json.loads(out.splitlines()[-1])["error"]
    assert told["code"] == "unavailable"
    assert "free space" in told["message"]


def order(folder: Path, data: Path, training: dict[str, object]) -> dict[str, object]:
    return {
        "kind": "train",
        "spec": {"name": "load", "description": "", "training": training, "validation": {}, "policy": {}},
        "data": str(data),
        "data_name": "january.csv",
        "requested_by": "ann",
        "now": "2026-01-02T00:00:00+00:00",
        "git_commit": None,
        "incumbent": None,
        "artifacts": str(folder / "artifacts"),
        "reports": str(folder / "reports"),
        "memory_mb": 0,
    }


def test_a_table_is_called_as_its_owner_called_it(tmp_path: Path) -> None:
    data = tmp_path / "0f"
    data.write_text("timestamp,temperature\n2026-01-01T00:00:00,1\n")
    training = {"model_type": "forecast", "features": ["temperature"], "target": "load"}
    done = subprocess.run(
        [sys.executable, "-m", "aihub.delivery.child"],
        input=json.dumps(order(tmp_path, data, training)) + "\n",
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    told = json.loads(done.stdout.splitlines()[-1])["error"]
    assert told["code"] == "bad_data"
    assert "january.csv" in told["message"]
    assert str(tmp_path) not in told["message"]
