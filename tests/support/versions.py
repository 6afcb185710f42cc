"""Versions and deployments as values, for what only reads them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from aihub.registry.artifacts import Artifact, Manifest, pack, read_bytes
from aihub.registry.lineage import Lineage
from aihub.registry.records import Action, Deployment, Status, Version
from aihub.registry.versioning import SemanticVersion

START = datetime(2026, 1, 1, 12, tzinfo=UTC)


def artifact_of(content: bytes = b"{}") -> Artifact:
    return read_bytes(pack({"model.json": content}, Manifest(kind="forecast/1", name="load")))


def version_of(number: int = 1, *, config: dict[str, Any] | None = None, **changes: Any) -> Version:
    """A version of the model `load`, one day after the one before."""
    at = START + timedelta(days=number)
    lineage = Lineage(
        config={
            "model_type": "forecast",
            "algorithm": "lgbm",
            "features": ["temperature"],
            "target": "load",
            **(config or {}),
        },
        data={
            "sha256": "a" * 64,
            "rows": 10_000,
            "start": "2024-01-01T00:00:00",
            "end": "2025-01-01T00:00:00",
        },
        seed=42,
        requested_by="ann",
        created_at=at,
        packages={"python": "3.11.9", "lightgbm": "4.6.0"},
        **changes.pop("lineage", {}),
    )
    given: dict[str, Any] = {
        "uid": f"{number:032x}",
        "model": "load",
        "number": number,
        "semantic": SemanticVersion(1, number - 1, 0),
        "git_commit": "c" * 40,
        "status": Status.CANDIDATE,
        "digest": artifact_of().digest,
        "size_bytes": 1000,
        "kind": "forecast/1",
        "lineage": lineage,
        "metrics": {"mae": 40.0},
        "notes": (),
        "report_digest": "b" * 64,
        "created_by": "ann",
        "created_at": at,
    }
    return Version(**{**given, **changes})


def deployment_of(version: Version, sequence: int = 1, **changes: Any) -> Deployment:
    given: dict[str, Any] = {
        "uid": f"{sequence:032x}",
        "model": version.model,
        "version": version.number,
        "semantic": version.semantic,
        "version_uid": version.uid,
        "digest": version.digest,
        "environment": "production",
        "sequence": sequence,
        "action": Action.DEPLOY,
        "actor": "bob",
        "reason": "the gate passed",
        "started_at": START + timedelta(days=sequence),
        "ended_at": None,
        "ended_by": None,
    }
    return Deployment(**{**given, **changes})
