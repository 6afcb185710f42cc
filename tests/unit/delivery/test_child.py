from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def test_a_table_is_called_as_its_owner_called_it(tmp_path: Path) -> None:
    data = tmp_path / "0f"
    data.write_text("timestamp,temperature\n2026-01-01T00:00:00,1\n")
    training = {"model_type": "forecast", "features": ["temperature"], "target": "load"}
    order = {
        "spec": {"name": "load", "description": "", "training": training, "validation": {}, "policy": {}},
        "data": str(data),
        "data_name": "january.csv",
        "requested_by": "ann",
        "now": "2026-01-02T00:00:00+00:00",
        "git_commit": None,
        "incumbent": None,
        "artifacts": str(tmp_path / "artifacts"),
        "reports": str(tmp_path / "reports"),
        "memory_mb": 0,
    }
    done = subprocess.run(
        [sys.executable, "-m", "aihub.delivery.child"],
        input=json.dumps(order) + "\n",
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    told = json.loads(done.stdout.splitlines()[-1])["error"]
    assert told["code"] == "bad_data"
    assert "january.csv" in told["message"]
    assert str(tmp_path) not in told["message"]
