from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from aihub.delivery.candidate import Incumbent
from aihub.delivery.judging import Judgement, judge, table_for
from aihub.delivery.progress import Remark, ignore
from aihub.errors import ArtifactError, DataError
from aihub.registry.artifacts import ArtifactStore
from aihub.registry.intake import take_in
from aihub.training.config import TrainingConfig
from aihub.training.data import load
from aihub.training.trainer import train
from aihub.types import ModelType
from outside import FEATURES, SECTION, booster, table

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 3, 2, tzinfo=UTC)
CONFIG = {"target": "load", "model_type": "forecast", "features": list(FEATURES)}


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


def taken(store: ArtifactStore, folder: Path, rounds: int) -> Any:
    path = folder / f"model-{rounds}.txt"
    path.write_bytes(booster(rounds=rounds))
    return take_in(store, path, model="outside", requested_by="ann", now=NOW, config=CONFIG)


def asked(found: Any, folder: Path, content: bytes, **changes: Any) -> Judgement:
    data = folder / "holdout.csv"
    data.write_bytes(content)
    wanted = Judgement(
        label="outside v1.0.0 (version 1)",
        digest=found.artifact.digest,
        lineage=found.lineage.to_dict(),
        model_type=ModelType.FORECAST,
        target="load",
        timestamp="timestamp",
        series_id=None,
        data=data,
        data_name="holdout.csv",
        dataset=hashlib.sha256(content).hexdigest(),
        spec={},
        asked=SECTION,
        now=NOW,
    )
    return replace(wanted, **changes)


def test_a_report_names_the_artefact_and_the_table_that_it_is_about(
    store: ArtifactStore, tmp_path: Path
) -> None:
    found = taken(store, tmp_path, 60)
    wanted, events = asked(found, tmp_path, table(missing=20)), []
    report = judge(wanted, store, events.append)
    assert report.passed
    assert report.context["model"]["sha256"] == found.artifact.digest
    assert report.context["data"]["dataset_sha256"] == wanted.dataset
    assert report.validation_data_size == 700
    assert any(isinstance(one, Remark) and "20 of 720 rows" in one.text for one in events)
    # What the specification of the version says is stronger than what the request does.
    strict = replace(wanted, spec={"thresholds": {"mae": {"max": 0.001}}})
    assert not judge(strict, store, ignore).passed


def test_a_newcomer_is_compared_with_the_champion_on_the_same_rows(
    store: ArtifactStore, tmp_path: Path
) -> None:
    good, poor = taken(store, tmp_path, 60), taken(store, tmp_path, 20)
    champion = Incumbent(
        label="outside v1.0.0 (version 1)",
        digest=good.artifact.digest,
        config=good.lineage.config,
        metrics={"mae": 1.0},
        sequence=1,
    )
    wanted = asked(poor, tmp_path, table())
    assert judge(wanted, store, ignore).passed
    found = judge(replace(wanted, incumbent=champion), store, ignore)
    assert not found.passed
    assert found.context["has_champion"]
    # One that cannot answer these rows is stood by for by its metrics, and says so.
    elsewhere = replace(champion, config={**champion.config, "features": ["wind"]})
    events: list[Any] = []
    found = judge(replace(wanted, incumbent=elsewhere), store, events.append)
    assert not found.passed
    assert not found.context["has_champion"]
    assert any("'wind'" in one.text for one in events if isinstance(one, Remark))


def test_what_is_not_what_it_was_is_not_judged(store: ArtifactStore, tmp_path: Path) -> None:
    found = taken(store, tmp_path, 60)
    with pytest.raises(DataError, match="not what was uploaded"):
        judge(asked(found, tmp_path, table(), dataset="0" * 64), store, ignore)
    with pytest.raises(DataError, match="no value at all"):
        judge(asked(found, tmp_path, table(count=30, missing=30)), store, ignore)
    path = store.path(found.artifact.digest)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ArtifactError):
        judge(asked(found, tmp_path, table()), store, ignore)


def test_a_column_that_never_changes_is_given_back_whatever_stands_beside_it(tmp_path: Path) -> None:
    times = pl.datetime_range(datetime(2026, 1, 1), datetime(2026, 1, 11), "1h", eager=True)  # noqa: DTZ001 - wall clock
    n = len(times)
    frame = pl.DataFrame(
        {"timestamp": times, "load": [float(k % 24) for k in range(n)], "t": [float(k % 7) for k in range(n)]}
    )
    config = TrainingConfig.model_validate(
        CONFIG | {"features": ["t"], "hyperparameters": {"n_estimators": 1}}
    )
    frame.write_parquet(tmp_path / "t.parquet")
    model = train(config, load(tmp_path / "t.parquet", config)).model
    beside = frame.with_columns(t=pl.lit(3.0), beside=pl.lit([1, 2]))
    beside.write_parquet(tmp_path / "u.parquet")
    found, _ = table_for(model, tmp_path / "u.parquet", "load")
    assert found["t"].to_list() == [3.0] * n
