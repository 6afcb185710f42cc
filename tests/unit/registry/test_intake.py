from __future__ import annotations

import pickle
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from aihub.errors import ArtifactError
from aihub.registry.artifacts import ArtifactStore, pack
from aihub.registry.intake import take_in
from aihub.registry.loading import load_stored

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW = datetime(2026, 3, 2, tzinfo=UTC)
COMMIT = "c" * 40


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


def take(store: ArtifactStore, path: Path, **more: Any) -> Any:
    return take_in(store, path, model="load", requested_by="ann", now=NOW, git_commit=COMMIT, **more)


@pytest.fixture(params=["lightgbm", "xgboost", "pickle"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "model.pkl"
    if request.param == "pickle":
        from lightgbm import LGBMRegressor  # noqa: PLC0415 - takes seconds, which tests left out should not cost

        frame = pl.DataFrame({name: np.arange(60.0) % (n + 5) for n, name in enumerate("abcd")}).to_pandas()
        model = LGBMRegressor(n_estimators=3, min_child_samples=2, verbose=-1, n_jobs=1)
        path.write_bytes(pickle.dumps(model.fit(frame, frame["a"] * 2.0)))
    else:
        path.write_bytes(request.getfixturevalue(f"train_{request.param}")())
    return path


def test_model_trained_elsewhere_becomes_an_artefact_that_serves(file: Path, store: ArtifactStore) -> None:
    taken = take(store, file, config={"target": "load", "model_type": "forecast"})
    assert taken.artifact.manifest.kind == "booster/1"
    assert taken.lineage.git_commit == COMMIT
    assert taken.lineage.config["features"] == ["a", "b", "c", "d"]
    assert taken.lineage.config["target"] == "load"
    rows = pl.DataFrame({name: np.arange(5.0) for name in "abcd"})
    answered = load_stored(store.path(taken.artifact.digest)).predict(rows)
    assert answered.shape == (5,)
    assert np.isfinite(answered).all()


def test_same_file_is_the_same_artefact(file: Path, store: ArtifactStore) -> None:
    assert take(store, file).artifact.digest == take(store, file).artifact.digest
    assert len(list(store.list())) == 1


def test_artefact_of_a_hub_stays_what_it_is(
    train_lightgbm: Callable[..., bytes], store: ArtifactStore, tmp_path: Path
) -> None:
    (tmp_path / "model.txt").write_bytes(train_lightgbm())
    first = take(store, tmp_path / "model.txt")
    copy = tmp_path / "model.pkl"
    copy.write_bytes(store.path(first.artifact.digest).read_bytes())
    other = ArtifactStore(tmp_path / "other")
    assert take(other, copy).artifact.digest == first.artifact.digest


def test_estimator_that_cannot_be_served_is_refused(store: ArtifactStore, tmp_path: Path) -> None:
    from sklearn.linear_model import Ridge  # noqa: PLC0415 - takes seconds, which tests left out should not cost

    (tmp_path / "ridge.pkl").write_bytes(pickle.dumps(Ridge().fit(np.eye(4), np.arange(4.0))))
    with pytest.raises(ArtifactError, match="not served"):
        take(store, tmp_path / "ridge.pkl")
    assert not list(store.list())


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04broken", b"\x80\x04cos\nsystem\n.", b"hello"])
def test_what_is_no_model_is_refused(content: bytes, store: ArtifactStore, tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(content)
    with pytest.raises(ArtifactError):
        take(store, tmp_path / "model.pkl")
    assert not list(store.list())


def claiming(tmp_path: Path, train_lightgbm: Callable[..., bytes], **claims: Any) -> Path:
    """An artefact whose maker has chosen what it says of itself."""
    (tmp_path / "model.txt").write_bytes(train_lightgbm())
    artifact = take(
        ArtifactStore(tmp_path / "made"), tmp_path / "model.txt", config={"target": "load"}
    ).artifact
    lineage = {"config": {"target": "load", "features": ["a"]}, "data": {}, "seed": 0, "requested_by": "eve"}
    lineage |= {"created_at": "", **claims}
    path = tmp_path / "claims.aihub"
    path.write_bytes(pack(dict(artifact.files), replace(artifact.manifest, lineage=lineage)))
    return path


def test_what_an_artefact_says_of_itself_is_kept(
    train_lightgbm: Callable[..., bytes], store: ArtifactStore, tmp_path: Path
) -> None:
    given = {"git_commit": "d" * 40, "packages": {"numpy": "2"}, "data": {"rows": 5}}
    found = take(store, claiming(tmp_path, train_lightgbm, **given)).lineage
    assert (found.git_commit, found.packages, found.data) == ("d" * 40, {"numpy": "2"}, {"rows": 5})
    assert (found.requested_by, found.created_at) == ("ann", NOW)


def deep() -> dict[str, Any]:
    document: dict[str, Any] = {}
    for _ in range(400):
        document = {"a": document}
    return document


@pytest.mark.parametrize(
    ("claims", "field"),
    [
        ({"config": []}, "config"),
        ({"config": {"model_type": "evil"}}, "config.model_type"),
        ({"config": {"target": ["load"]}}, "config.target"),
        ({"config": {"target": "a\0b"}}, "config.target"),
        ({"config": {"features": 5}}, "config.features"),
        ({"config": {"features": [["a"]]}}, "config.features.0"),
        ({"config": {"z": deep()}}, "levels"),
        ({"data": []}, "data"),
        ({"seed": "x"}, "seed"),
        ({"seed": 1 << 200}, "seed"),
        ({"git_commit": "--force"}, "git_commit"),
        ({"git_commit": "a" * 65}, "git_commit"),
        ({"git_dirty": "x"}, "git_dirty"),
        ({"packages": {"a": {"b": "c"}}}, "packages.a"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_what_no_hub_says_of_an_artefact_is_refused(
    claims: dict[str, Any],
    field: str,
    train_lightgbm: Callable[..., bytes],
    store: ArtifactStore,
    tmp_path: Path,
) -> None:
    """Else every page that shows the version, and every validation of it, would end in a fault of the hub."""
    with pytest.raises(ArtifactError, match=field):
        take(store, claiming(tmp_path, train_lightgbm, **claims))
    assert not list(store.list())
