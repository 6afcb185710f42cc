from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from aihub.errors import InputError
from aihub.registry import mlflow
from aihub.registry.artifacts import ArtifactStore, Manifest, pack
from aihub.registry.lineage import collect
from aihub.registry.registry import Registry
from aihub.settings import Settings
from aihub.store.audit import AuditLog
from databases import sqlite_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NOW = datetime(2026, 1, 2, tzinfo=UTC)

LOOK = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
import mlflow
import mlflow.lightgbm, mlflow.xgboost
mlflow.set_tracking_uri(sys.argv[1])
client = mlflow.MlflowClient()
versions = client.search_model_versions("name = 'load'")
champion = client.get_model_version_by_alias("load", "production")
run = client.get_run(champion.run_id)
print(json.dumps({
    "versions": sorted(v.tags["aihub.version"] for v in versions),
    "runs": len(client.search_runs(["1"])),
    "champion": champion.tags["aihub.version"],
    "metrics": run.data.metrics,
    "params": run.data.params,
    "tags": run.data.tags,
    "lightgbm": type(mlflow.lightgbm.load_model("models:/load/1")).__name__,
    "xgboost": type(mlflow.xgboost.load_model("models:/load@production")).__name__,
    "inputs": mlflow.models.get_model_info("models:/load/1").signature.inputs.input_names(),
}))
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture
def registry(settings: Settings) -> Iterator[Registry]:
    engine = sqlite_at(settings.home / "hub.db")
    yield Registry(engine, ArtifactStore(settings.artifacts_dir), AuditLog(settings.read_audit_key()))
    engine.dispose()


def _register(registry: Registry, name: str, content: bytes, **config: object) -> Any:
    files = {"model.json": b"{}", name: content}
    digest = registry.artifacts.put(pack(files, Manifest(kind="forecast/1", name="load")))
    lineage = collect(
        {"algorithm": "lgbm", "seed": 1, **config}, {"sha256": "f" * 64}, requested_by="ann", now=NOW
    )
    metrics = {"mae": 1.5, "mape": float("inf")}
    return registry.register_version(
        "load", digest, lineage, status="candidate", actor="ann", now=NOW, metrics=metrics
    )


@pytest.mark.slow
def test_versions_and_champions_appear_in_mlflow_once(
    settings: Settings,
    registry: Registry,
    train_lightgbm: Callable[..., bytes],
    train_xgboost: Callable[..., bytes],
) -> None:
    process = mlflow.start(settings)
    assert process is not None
    _register(registry, "point.txt", train_lightgbm())
    _register(registry, "point.ubj", train_xgboost(), algorithm="xgboost")
    registry.deploy("load", 1, actor="ann", reason="first", now=NOW)
    registry.deploy("load", 2, actor="ann", reason="better", now=NOW)
    output, _ = process.communicate(timeout=240)
    assert json.loads(output) == {"done": 4, "pending": 0, "error": ""}
    assert mlflow.sync(settings, now=NOW) == mlflow.SyncResult(done=0, pending=0)
    # MLflow is looked at from another process: importing it here would leave its loggers and hooks to other tests.
    environment = {
        **os.environ,
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    command = [sys.executable, "-c", LOOK, settings.mlflow_uri]
    seen = json.loads(
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=240).stdout
    )
    assert seen["versions"] == ["v1.0.0", "v1.1.0"]
    assert seen["runs"] == 2
    assert seen["champion"] == "v1.1.0"
    assert seen["metrics"] == {"mae": 1.5}
    assert seen["params"]["algorithm"] == "xgboost"
    assert seen["tags"]["aihub.data_sha256"] == "f" * 64
    assert (seen["lightgbm"], seen["xgboost"]) == ("Booster", "Booster")
    assert seen["inputs"] == ["a", "b", "c", "d"]


@pytest.mark.slow
def test_a_server_that_is_away_costs_nothing_but_a_note(
    settings: Settings, registry: Registry, train_lightgbm: Callable[..., bytes]
) -> None:
    away = settings.model_copy(update={"mlflow_tracking_uri": "http://127.0.0.1:9", "mlflow_timeout_s": 1.0})
    _register(registry, "point.txt", train_lightgbm())
    process = mlflow.start(away)
    assert process is not None
    result = json.loads(process.communicate(timeout=240)[0])
    assert (result["done"], result["pending"]) == (0, 1)
    assert "127.0.0.1" in result["error"]


def test_nothing_due_does_not_import_mlflow(settings: Settings, registry: Registry) -> None:
    assert registry.models() == []
    assert mlflow.sync(settings, now=NOW) == mlflow.SyncResult(done=0, pending=0)
    assert "mlflow.tracking" not in sys.modules


def test_the_mirror_can_be_off(
    settings: Settings, registry: Registry, train_lightgbm: Callable[..., bytes]
) -> None:
    off = settings.model_copy(update={"mlflow_tracking_uri": "off"})
    _register(registry, "point.txt", train_lightgbm())
    assert mlflow.start(off) is None
    assert mlflow.sync(off, now=NOW).done == 0


def test_stages_are_aliases() -> None:
    assert mlflow.alias_of("Production") == "production"
    assert mlflow.alias_of("staging") == "staging"
    with pytest.raises(InputError, match="Archived"):
        mlflow.alias_of("Archived")
