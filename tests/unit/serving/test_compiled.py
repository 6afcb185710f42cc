# ruff: noqa: PLC0415 - the model libraries take seconds to import, which tests left out should not cost
from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from aihub.errors import ArtifactError, InputError
from aihub.registry import artifacts, boosters
from aihub.registry.artifacts import Manifest
from aihub.registry.boosters import Wrapper
from aihub.registry.external import KIND, ExternalModel
from aihub.serving.compiled import compile_model, compile_version
from aihub.serving.native import native_call

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAMES = ("a", "b", "c", "d e")


def _data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(400, len(NAMES)))
    rows[::9, 1] = np.nan
    return rows, np.nan_to_num(rows) @ np.array([1.0, 2.0, 0.5, -1.0])


def _lightgbm(y: np.ndarray, **parameters: Any) -> bytes:
    import lightgbm

    given = {"num_leaves": 7, "verbose": -1, "num_threads": 1, "min_data_in_leaf": 5, **parameters}
    data = lightgbm.Dataset(_data()[0], y, feature_name=list(NAMES))
    return lightgbm.train(given, data, 8).model_to_string().encode()


def _xgboost(y: np.ndarray, **parameters: Any) -> bytes:
    import xgboost

    data = xgboost.DMatrix(_data()[0], y, feature_names=list(NAMES), nthread=1)
    return bytes(xgboost.train({"max_depth": 3, "nthread": 1, **parameters}, data, 8).save_raw("ubj"))


def _model(content: bytes, wrapper: Wrapper | None = None) -> ExternalModel:
    return ExternalModel(boosters.load(boosters.parse(content), wrapper))


def _cases() -> dict[str, Callable[[], ExternalModel]]:
    y = _data()[1]
    is_high, third = (y > 0).astype(float), np.digitize(y, [-1, 1]).astype(float)
    many = {"objective": "multiclass", "num_class": 3}
    return {
        "lightgbm": lambda: _model(_lightgbm(y)),
        "lightgbm, half of the rounds": lambda: _model(_lightgbm(y), Wrapper(rounds=4)),
        "lightgbm, probability": lambda: _model(_lightgbm(is_high, objective="binary")),
        "lightgbm, label": lambda: _model(
            _lightgbm(is_high, objective="binary"), Wrapper(classes=(10.0, 20.0))
        ),
        "lightgbm, classes": lambda: _model(_lightgbm(third, **many)),
        "xgboost": lambda: _model(_xgboost(y)),
        "xgboost, half of the rounds": lambda: _model(_xgboost(y), Wrapper(rounds=4)),
        "xgboost, label": lambda: _model(
            _xgboost(is_high, objective="binary:logistic"), Wrapper(classes=(10.0, 20.0))
        ),
        "xgboost, softprob": lambda: _model(_xgboost(third, objective="multi:softprob", num_class=3)),
        "xgboost, softmax": lambda: _model(_xgboost(third, objective="multi:softmax", num_class=3)),
    }


@pytest.mark.parametrize("case", _cases())
def test_a_compiled_booster_answers_what_its_predictor_does(case: str) -> None:
    model = _cases()[case]()
    compiled = compile_model(model)
    names = compiled.contract.names
    rows = _data()[0]
    table = pd.DataFrame(rows, columns=list(names))
    wanted = model.predict(table).tolist()
    records = table.astype(object).where(table.notna(), None).to_dict("records")
    one_by_one = [
        compiled.predict(compiled.contract.records([record])).prediction[0] for record in records[:50]
    ]
    assert one_by_one == pytest.approx(wanted[:50], rel=1e-6)
    assert compiled.predict(compiled.contract.records(records)).prediction == pytest.approx(wanted, rel=1e-6)
    by_column = {name: [record[name] for record in records] for name in reversed(names)}
    assert compiled.predict(compiled.contract.by_column(by_column)).prediction == pytest.approx(
        wanted, rel=1e-6
    )
    assert not compiled.predict(compiled.contract.records([])).prediction
    with pytest.raises(InputError, match="no interval"):
        compiled.predict(compiled.contract.records(records[:1]), level=0.9)


@pytest.mark.parametrize("case", ["lightgbm, label", "xgboost, half of the rounds"])
def test_an_external_model_comes_back_from_its_artefact(case: str, tmp_path: Path) -> None:
    model = _cases()[case]()
    path = tmp_path / "model.aihub"
    artifacts.write(path, artifacts.pack(model.to_files(), Manifest(kind=KIND, name="outside")))
    compiled = compile_version(path)
    rows = _data()[0][:20]
    assert compiled.kind == KIND
    table = dict(zip(compiled.contract.names, rows.T, strict=True))
    wanted = model.predict(pd.DataFrame(table)).tolist()
    assert compiled.predict(compiled.contract.by_column(table)).prediction == pytest.approx(wanted, rel=1e-6)


def test_a_model_with_categories_is_asked_in_words() -> None:
    import lightgbm

    rng = np.random.default_rng(1)
    table = pd.DataFrame(
        {"x": rng.normal(size=300), "sky": pd.Categorical(rng.choice(["clear", "rain"], 300))}
    )
    y = table["x"] + 5 * (table["sky"] == "rain")
    booster = lightgbm.train(
        {"verbose": -1, "num_threads": 1, "num_leaves": 7}, lightgbm.Dataset(table, y), 8
    )
    model = _model(booster.model_to_string().encode())
    compiled = compile_model(model)
    assert [column.known for column in compiled.contract.columns] == [(), ("clear", "rain")]
    records = [{"x": float(row.x), "sky": row.sky} for row in table.head(30).itertuples()]
    answer = compiled.predict(compiled.contract.records(records))
    assert answer.prediction == pytest.approx(booster.predict(table.head(30), num_threads=1).tolist())


def test_calls_from_several_threads_do_not_share_a_row() -> None:
    rows = np.nan_to_num(_data()[0])
    for content in (_lightgbm(_data()[1]), _xgboost(_data()[1])):
        model = _model(content)
        call = native_call(model.predictor.booster, features=len(NAMES))
        wanted = [call.one(row) for row in rows.tolist()]
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(call.one, rows.tolist() * 5)) == wanted * 5


def test_a_model_with_several_answers_a_row_is_refused() -> None:
    import xgboost

    rows, y = _data()
    data = xgboost.DMatrix(rows, np.stack([y, -y], axis=1), nthread=1)
    content = bytes(xgboost.train({"nthread": 1, "max_depth": 2}, data, 3).save_raw("ubj"))
    with pytest.raises(ArtifactError, match="answers 2 numbers a row"):
        compile_model(_model(content))
