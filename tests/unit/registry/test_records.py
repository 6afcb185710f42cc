from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from aihub.registry.lineage import collect
from aihub.registry.records import Deployment, Version

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
SEMANTIC = {"major": 1, "minor": 2, "patch": 3}


def _version_row() -> dict[str, Any]:
    lineage = collect({"algorithm": "lgbm"}, {"sha256": "f" * 64}, requested_by="ann", now=NOW)
    return {
        "uid": "u1", "model": "load", "number": 4, **SEMANTIC, "git_commit": None, "status": "rejected",
        "digest": "d" * 64, "size_bytes": 10, "kind": "forecast/1", "lineage": lineage.to_dict(),
        "metrics": {"mae": 1.5}, "notes": ["short"], "report_digest": None, "created_by": "ann", "created_at": NOW,
    }  # fmt: skip


def test_a_version_for_machines_is_json_and_names_the_version_as_a_deployment_does() -> None:
    document = json.loads(json.dumps(Version.from_row(_version_row()).to_dict()))
    assert (document["version"], document["semantic"]) == (4, "v1.2.3")
    assert document["status"] == "rejected"
    assert document["created_at"] == "2026-03-01T12:30:00Z"
    assert document["lineage"]["config"] == {"algorithm": "lgbm"}


def test_a_deployment_for_machines_says_when_and_how_it_ended() -> None:
    row = {
        "uid": "u2", "model": "load", "number": 4, **SEMANTIC, "version_uid": "u1", "digest": "d" * 64,
        "environment": "production", "sequence": 7, "action": "deploy", "actor": "ann", "reason": "better",
        "started_at": NOW, "ended_at": None, "ended_by": None, "status": "candidate", "evidence": None,
    }  # fmt: skip
    serving = json.loads(json.dumps(Deployment.from_row(row).to_dict()))
    assert (serving["version"], serving["semantic"], serving["sequence"]) == (4, "v1.2.3", 7)
    assert (serving["ended_at"], serving["ended_by"]) == (None, None)
    ended = Deployment.from_row({**row, "ended_at": NOW, "ended_by": "rollback"}).to_dict()
    assert (ended["ended_at"], ended["ended_by"]) == ("2026-03-01T12:30:00Z", "rollback")
