from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from aihub.monitoring.context import FixedContexts, VersionContext
from aihub.monitoring.grid import FeatureGrid
from aihub.monitoring.observations import Observations
from aihub.validation.profile import Profile
from databases import sqlite_at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def context() -> VersionContext:
    rng = np.random.default_rng(7)
    table = {"temperature": rng.normal(15, 6, 5000), "site": rng.choice(["a", "b"], 5000)}
    profile = Profile.of({**table, "site": table["site"].tolist()})
    return VersionContext(grid=FeatureGrid.of(profile), groups={"north": ["n-*"]})


@pytest.fixture
def observations(tmp_path: Path, context: VersionContext) -> Iterator[Observations]:
    engine = sqlite_at(tmp_path / "monitoring.db")
    yield Observations(engine, FixedContexts(context))
    engine.dispose()
