"""What is known of versions, while their artefacts are away and after."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from aihub.hub import opened
from aihub.monitoring import versions
from aihub.monitoring.predictions import PredictionBatch, PredictionIds
from aihub.monitoring.versions import RegistryContexts
from aihub.registry.stored import PROFILE_FILE
from aihub.settings import Settings
from aihub.validation.profile import Profile
from hubs import register

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aihub.hub import Hub


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with opened(Settings(home=tmp_path / "home", mlflow_tracking_uri="off")) as found:
        yield found


def profile() -> dict[str, bytes]:
    values = np.random.default_rng(1).normal(size=500)
    return {PROFILE_FILE: Profile.of({"t": values}).to_bytes()}


def test_a_store_that_was_away_is_asked_again(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    version = register(hub, files=profile())
    contexts = RegistryContexts(hub.engine, hub.artifacts)
    path = hub.artifacts.path(version.digest)
    away = path.rename(path.with_name("away"))
    found = contexts.of("default", "load", 1)
    assert "the artefact cannot be read" in found.missing
    assert not found.grid.columns
    away.rename(path)
    # Not on every prediction: a store that stays away would be asked thousands of times a second.
    assert contexts.of("default", "load", 1) is found
    monkeypatch.setattr(versions, "AGAIN_S", 0.0)
    contexts = RegistryContexts(hub.engine, hub.artifacts)
    away = path.rename(away)
    assert contexts.of("default", "load", 1).missing
    away.rename(path)
    again = contexts.of("default", "load", 1)
    assert (again.missing, len(again.grid.columns)) == ("", 1)
    assert contexts.of("default", "load", 1) is again


def test_a_version_that_comes_later_is_found(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "AGAIN_S", 0.0)
    contexts = RegistryContexts(hub.engine, hub.artifacts)
    assert contexts.of("default", "load", 1).missing == "there is no version 1"
    register(hub, files=profile())
    assert contexts.of("default", "load", 1).missing == ""


def test_performance_says_what_it_does_not_know(hub: Hub) -> None:
    version = register(hub, files=profile())
    hub.artifacts.path(version.digest).unlink()
    now = datetime.now(UTC)
    batch: Any = PredictionBatch(
        tenant="default", model="load", version=1, ids=PredictionIds().take(3), prediction=np.ones(3),
        features={"t": np.ones(3)},
    )  # fmt: skip
    hub.observations.ingest_predictions([batch])
    found = hub.observations.performance("default", "load", now - timedelta(days=1), now + timedelta(days=1))
    document = found.to_dict()
    assert document["predictions"] == 3
    assert "the artefact cannot be read" in document["data_drift"]["reason"]
