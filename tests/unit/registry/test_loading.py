# ruff: noqa: PLC0415 - the model libraries take seconds to import, which tests left out should not cost
from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import polars as pl
import pytest

from aihub.errors import ArtifactError, DataError
from aihub.registry.artifacts import Manifest, pack, write
from aihub.registry.loading import load_predictor
from aihub.registry.sandbox import Child, Limits
from aihub.types import Predictor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _table(rows: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["a", "b", "c", "d"])


@pytest.mark.parametrize("kind", ["lightgbm", "ubj", "json"])
def test_a_bare_native_model_predicts_whatever_it_is_called(
    tmp_path: Path,
    train_lightgbm: Callable[..., bytes],
    train_xgboost: Callable[..., bytes],
    rows: np.ndarray,
    kind: str,
) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(train_lightgbm() if kind == "lightgbm" else train_xgboost(form=kind))
    predictor = load_predictor(path)
    assert isinstance(predictor, Predictor)
    assert predictor.feature_names == ("a", "b", "c", "d")
    answer = predictor.predict(_table(rows))
    assert answer.shape == (300,)
    assert answer.dtype == np.float64
    shuffled = pl.from_pandas(_table(rows)).select("d", "c", "b", "a", pl.lit(1.0).alias("load"))
    assert np.array_equal(predictor.predict(shuffled), answer)
    assert np.array_equal(predictor.predict(shuffled.to_arrow()), answer)
    assert np.array_equal(predictor.predict(rows), answer)


def test_a_missing_or_textual_column_is_named(
    tmp_path: Path, train_lightgbm: Callable[..., bytes], rows: np.ndarray
) -> None:
    (tmp_path / "m").write_bytes(train_lightgbm())
    predictor = load_predictor(tmp_path / "m")
    with pytest.raises(DataError, match="'d'"):
        predictor.predict(_table(rows)[["a", "b", "c"]])
    with pytest.raises(DataError, match="column 'c'"):
        predictor.predict(_table(rows).assign(c="x"))
    with pytest.raises(DataError, match="column 'c'"):
        predictor.predict(_table(rows).assign(c=pd.Timestamp("2026-01-01")))
    with pytest.raises(DataError, match="shape"):
        predictor.predict(rows[:, :3])
    with pytest.raises(DataError, match="not a table"):
        predictor.predict([[1, 2, 3, 4]])


def test_a_model_without_names_takes_columns_as_they_come(tmp_path: Path, rows: np.ndarray) -> None:
    import lightgbm

    given = {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 5}
    booster = lightgbm.train(given, lightgbm.Dataset(rows, rows[:, 0]), 2)
    (tmp_path / "m").write_text(booster.model_to_string())
    predictor = load_predictor(tmp_path / "m")
    assert predictor.feature_names == ()
    assert np.array_equal(predictor.predict(_table(rows)), booster.predict(rows))
    with pytest.raises(DataError, match="takes 4 columns"):
        predictor.predict(_table(rows).assign(more=1.0))


def test_categories_of_pandas_are_those_of_training(tmp_path: Path) -> None:
    import lightgbm

    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"size": rng.normal(size=200), "kind": pd.Categorical(rng.choice(["x", "y", "z"], 200))}
    )
    target = table["kind"].cat.codes * 3.0 + table["size"]
    model = lightgbm.LGBMRegressor(n_estimators=3, verbose=-1, n_jobs=1, min_child_samples=5).fit(
        table, target
    )
    (tmp_path / "m").write_text(model.booster_.model_to_string())
    predictor = load_predictor(tmp_path / "m")
    part = table.iloc[[5, 1, 9]]
    expected = model.predict(table)[[5, 1, 9]]
    assert np.array_equal(predictor.predict(part.astype({"kind": str})), expected)


@pytest.mark.parametrize(
    "content",
    [
        b"hello",
        b"\x7fELF",
        b"PK\x03\x04",
        b"tree\n",
        b"{}",
        b"{L\0\0\0\0",
        b"\x80\x04.",
        b"\x1f\x8b",
        b"\0" * 100,
    ],
)
def test_other_content_is_refused_with_the_path(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"model\.pkl"):
        load_predictor(path)


@pytest.mark.parametrize("path", ["", "/", "/nonexistent/model.pkl", "/dev/zero"])
def test_what_is_no_file_is_refused(path: str) -> None:
    with pytest.raises(ArtifactError):
        load_predictor(path)


def test_an_artefact_of_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    files = {"model.json": json.dumps({"kind": "riddle/1"}).encode()}
    write(tmp_path / "m", pack(files, Manifest(kind="riddle/1", name="x")))
    with pytest.raises(ArtifactError, match="riddle"):
        load_predictor(tmp_path / "m")


def test_a_damaged_booster_in_an_artefact_is_found_before_the_library(
    tmp_path: Path, train_lightgbm: Callable[..., bytes]
) -> None:
    files = {"model.json": b'{"kind": "forecast/1"}', "point.txt": train_lightgbm()[:-3000]}
    write(tmp_path / "m", pack(files, Manifest(kind="forecast/1", name="x")))
    with pytest.raises(ArtifactError, match=r"point\.txt"):
        load_predictor(tmp_path / "m")


def test_an_artefact_with_a_pickle_in_it_is_refused(tmp_path: Path) -> None:
    files = {"model.json": b'{"kind": "forecast/1"}', "model.pkl": b"\x80\x04N."}
    write(tmp_path / "m", pack(files, Manifest(kind="forecast/1", name="x")))
    with pytest.raises(ArtifactError, match=r"model\.pkl"):
        load_predictor(tmp_path / "m")


def test_the_settings_say_what_reading_may_cost(
    tmp_path: Path, train_lightgbm: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m"
    path.write_bytes(train_lightgbm())
    monkeypatch.setenv("AIHUB_LOAD_TIMEOUT_S", "0.001")
    with pytest.raises(ArtifactError, match=r"within 0\.001 s"):
        load_predictor(path)
    assert load_predictor(path, limits=Limits()).feature_names
    monkeypatch.setenv("AIHUB_LOAD_TIMEOUT_S", "20")
    monkeypatch.setenv("AIHUB_SANDBOX_MEMORY_MB", "256")
    monkeypatch.setattr("aihub.registry.loading.Child", functools.partial(_small, seen := []))
    load_predictor(path)
    assert seen == [256 << 20]


def _small(seen: list[int], *, memory_bytes: int) -> Child:
    seen.append(memory_bytes)
    return Child()
