from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest

from aihub.cli.main import run
from aihub.delivery.by_hand import ByHand
from aihub.errors import ConfigError, ConflictError, NotFoundError
from aihub.hub import opened
from aihub.settings import Settings
from aihub.store.engine import read
from hubs import hub_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aihub.hub import Hub

COMMIT = "c" * 40


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import lightgbm  # noqa: PLC0415 - takes seconds, which tests left out should not cost

    rows = np.random.default_rng(1).normal(size=(80, 2))
    table = lightgbm.Dataset(rows, rows[:, 0], feature_name=["a", "b"])
    text = lightgbm.train(
        {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 5}, table, 2
    ).model_to_string()
    path = tmp_path_factory.mktemp("model") / "model.txt"
    path.write_text(text)
    return path


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with hub_in(tmp_path / "hub") as hub:
        yield hub


def hand_of(hub: Hub, tenant: str = "default") -> ByHand:
    return ByHand(hub=hub, tenant=tenant, actor="ann")


def test_the_command_registers_in_the_store_where_no_hub_is_named(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AIHUB_URL", raising=False)
    monkeypatch.setenv("AIHUB_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("AIHUB_MLFLOW_TRACKING_URI", "off")
    assert run(["register", "load", str(model), "--target", "kw"]) == 0
    assert capsys.readouterr().out == "Registered load v1.0.0 (version 1)\n"
    assert run(["register", "load", str(model), "--target", "kw", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["version"] == 1


def test_registered_once_deployed_once_and_written_down(hub: Hub, model: Path) -> None:
    hand = hand_of(hub)
    version = hand.register(model, "load", git_commit=COMMIT)
    assert hand.register(model, "load") == version
    first = hand.deploy(version, "production", reason="by hand")
    assert hand.deploy(hand.find("load", COMMIT), "production", reason="again") == first
    assert hand.find("load", "v1.0.0") == version
    with read(hub.engine, tenant="default") as connection:
        verdict = hub.audit.verify(connection, tenant="default")
    assert (verdict.is_intact, verdict.events) == (True, 2)
    hand.mirror()


def test_newest_version_of_a_commit_that_passed_is_meant(hub: Hub, model: Path) -> None:
    hand = hand_of(hub)
    version = hand.register(model, "load", git_commit=COMMIT)
    given = {"actor": "ann", "now": datetime.now(UTC)}
    for status in ("candidate", "rejected"):
        hub.registry.register_version("load", version.digest, version.lineage, status=status, **given)
    assert hand.find("load", COMMIT).number == 2
    with pytest.raises(ConflictError, match="rejected"):
        hand.deploy(hand.find("load", "3"), "production", reason="anyway")
    with pytest.raises(NotFoundError):
        hand.find("load", "d" * 40)


def test_store_of_another_machine_is_deployed_from_without_its_files(
    hub: Hub, model: Path, tmp_path: Path
) -> None:
    version = hand_of(hub).register(model, "load")
    runner = tmp_path / "runner"
    runner.mkdir()
    shutil.copy(hub.settings.home / "audit.key", runner)
    settings = Settings(home=runner, database_url=hub.settings.store_url, mlflow_tracking_uri="off")
    with opened(settings) as elsewhere:
        done = hand_of(elsewhere).deploy(version, "production", reason="from a runner")
    assert hub.registry.champion("load") == version
    assert done.actor == "ann"


def test_another_audit_key_is_refused_before_anything_is_written(
    hub: Hub, model: Path, tmp_path: Path
) -> None:
    hand_of(hub).register(model, "load")
    settings = Settings(
        home=tmp_path / "runner", database_url=hub.settings.store_url, mlflow_tracking_uri="off"
    )
    with opened(settings) as elsewhere, pytest.raises(ConfigError, match="AIHUB_AUDIT_KEY"):
        hand_of(elsewhere)
    with read(hub.engine, tenant="default") as connection:
        assert hub.audit.verify(connection, tenant="default").is_intact


def test_tenants_are_apart(hub: Hub, model: Path) -> None:
    hand_of(hub).register(model, "load")
    with pytest.raises(NotFoundError):
        hand_of(hub, "grid").find("load", "1")
