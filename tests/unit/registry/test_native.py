# ruff: noqa: PLC0415 - the model libraries take seconds to import, which tests left out should not cost
from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from aihub.errors import ArtifactError
from aihub.registry import boosters
from aihub.registry.native import lightgbm_text, ubjson, xgboost_ubj
from aihub.registry.sandbox import Child

sys.path.insert(0, str(Path(__file__).parent))
from mutation import mutate

if TYPE_CHECKING:
    from collections.abc import Callable

Train = "Callable[..., bytes]"
CLASSES = np.arange(300) % 3


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"categories": True},
        {"linear_tree": True},
        {"objective": "quantile", "alpha": 0.9},
        {"objective": "binary", "target": CLASSES % 2},
        {"objective": "multiclass", "num_class": 3, "target": CLASSES},
        {"objective": "tweedie", "target": CLASSES},
        {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
        {"boosting": "dart"},
        {"min_data_in_leaf": 10_000},
        {"monotone_constraints": [1, 0, -1, 0]},
    ],
    ids=str,
)
def test_a_lightgbm_model_predicts_the_same_after_its_canonical_form(
    train_lightgbm: Train, rows: np.ndarray, parameters: dict[str, object]
) -> None:
    import lightgbm

    text = train_lightgbm(**parameters)
    model = lightgbm_text.parse(text)
    before = lightgbm.Booster(model_str=text.decode()).predict(rows)
    assert np.array_equal(lightgbm.Booster(model_str=model.text).predict(rows), before)
    assert lightgbm_text.parse(model.text.encode()).text == model.text
    assert "[data:" not in model.text, "training parameters may name files and are left out"


@pytest.mark.parametrize("form", ["ubj", "json"])
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"categories": True},
        {"booster": "dart", "rate_drop": 0.5},
        {"booster": "gblinear", "verbosity": 0},
        {"objective": "reg:quantileerror", "quantile_alpha": [0.1, 0.5, 0.9]},
        {"objective": "binary:logistic", "target": CLASSES % 2},
        {"objective": "multi:softprob", "num_class": 3, "target": CLASSES},
        {"tree_method": "exact", "gamma": 50.0},
        {"num_parallel_tree": 3, "subsample": 0.5},
    ],
    ids=str,
)
def test_an_xgboost_model_predicts_the_same_after_its_canonical_form(
    train_xgboost: Train, rows: np.ndarray, parameters: dict[str, object], form: str
) -> None:
    import xgboost

    content = train_xgboost(form=form, **parameters)
    model = xgboost_ubj.parse(content)
    answers = []
    for raw in (content, model.data):
        booster = xgboost.Booster({"nthread": 1})
        booster.load_model(bytearray(raw))
        answers.append(
            booster.predict(
                xgboost.DMatrix(
                    rows,
                    feature_names=model.feature_names,
                    feature_types=booster.feature_types,
                    enable_categorical=True,
                    nthread=1,
                )
            )
        )
    assert np.array_equal(*answers)
    assert xgboost_ubj.parse(model.data).data == model.data


def _change(text: bytes, field: str, change: Callable[[list[str]], list[str]]) -> bytes:
    """Change the first line `field=...` of a LightGBM model."""
    lines = text.decode().split("\n")
    at = next(i for i, line in enumerate(lines) if line.startswith(f"{field}="))
    words = change(lines[at].partition("=")[2].split(" "))
    lines[at] = f"{field}={' '.join(words)}"
    return "\n".join(lines).encode()


@pytest.mark.parametrize(
    ("field", "change", "message"),
    [
        ("left_child", lambda w: ["0", *w[1:]], "do not form a tree"),
        ("right_child", lambda w: ["77", *w[1:]], "do not form a tree"),
        ("right_child", lambda w: [*w[:-1], "-1"], "one parent"),
        ("split_feature", lambda w: ["4", *w[1:]], "split_feature is out of range"),
        ("split_feature", lambda w: ["-1", *w[1:]], "split_feature is out of range"),
        ("threshold", lambda w: ["nan", *w[1:]], "threshold is not a list of numbers"),
        ("threshold", lambda w: ["1e999", *w[1:]], "not finite"),
        ("leaf_value", lambda w: w[:-1], "leaf_value has 4 entries"),
        ("leaf_value", lambda w: w * 1000, "leaf_value has 5000 entries"),
        ("leaf_value", lambda w: [*w, ""], "leaf_value is not"),
        ("num_leaves", lambda _: ["6"], "entries"),
        ("num_cat", lambda _: ["1"], "categories"),
        ("decision_type", lambda w: ["12", *w[1:]], "decision_type"),
        ("decision_type", lambda w: ["1", *w[1:]], "categories"),
        ("tree_sizes", lambda w: w[:-1], "tree_sizes"),
        ("max_feature_idx", lambda _: ["99999999999"], "max_feature_idx"),
        ("max_feature_idx", lambda _: ["2"], "feature_names"),
        ("num_class", lambda _: ["3"], "num_tree_per_iteration"),
        ("objective", lambda _: ["multiclass num_class:9"], "objective"),
        ("feature_names", lambda w: [w[0], *w[:-1]], "different names"),
        ("version", lambda _: ["v2"], "version"),
    ],
)
def test_a_lightgbm_model_with_one_wrong_field_is_refused(
    train_lightgbm: Train, field: str, change: Callable[[list[str]], list[str]], message: str
) -> None:
    with pytest.raises(ArtifactError, match=message):
        lightgbm_text.parse(_change(train_lightgbm(), field, change))


def test_a_lightgbm_model_from_a_windows_checkout_is_mended(train_lightgbm: Train) -> None:
    text = train_lightgbm()
    assert lightgbm_text.parse(text.replace(b"\n", b"\r\n")).text == lightgbm_text.parse(text).text


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("learner_model_param/num_feature", "3"),
        ("learner_model_param/base_score", "nan"),
        ("learner_model_param/num_class", "99"),
        ("objective/name", "os.system"),
        ("gradient_booster/model/gbtree_model_param/num_trees", "99"),
        ("gradient_booster/model/tree_info/0", 7),
        ("gradient_booster/model/trees/0/left_children/0", 0),
        ("gradient_booster/model/trees/0/left_children/0", 99),
        ("gradient_booster/model/trees/0/split_indices/0", 4),
        ("gradient_booster/model/trees/0/split_indices/0", 2**31),
        ("gradient_booster/model/trees/0/split_conditions/0", 1e300),
        ("gradient_booster/model/trees/0/parents/1", 3),
        ("gradient_booster/model/trees/0/split_type/0", 1),
        ("gradient_booster/model/trees/0/tree_param/num_nodes", "3"),
        ("gradient_booster/model/trees/0/tree_param/num_deleted", "2"),
        ("gradient_booster/model/trees/0/tree_param/size_leaf_vector", "5"),
        ("gradient_booster/model/iteration_indptr/1", 9),
        ("gradient_booster/name", "gblinear"),
        ("feature_names", ["a", "a", "b", "c"]),
    ],
)
def test_an_xgboost_model_with_one_wrong_field_is_refused(
    train_xgboost: Train, path: str, value: object
) -> None:
    document = json.loads(train_xgboost(form="json"))
    *parents, last = path.split("/")
    place = document["learner"]
    for part in parents:
        place = place[int(part) if part.isdigit() else part]
    place[int(last) if last.isdigit() else last] = value
    with pytest.raises(ArtifactError, match="XGBoost model"):
        xgboost_ubj.parse(json.dumps(document).encode())


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"{L\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"{i\x01a[$d#L\x00\x00\x00\xff\xff\xff\xff\xff}",
        b"{i\x01a[#L\x00\x00\x00\xff\xff\xff\xff\xff}",
        b"{i\x01a" + b"[" * 5000,
        b"{i\x01aZi\x01aZ}",
        b"{i\x01aZ}tail",
        b"{i\xffaZ}",
    ],
)
def test_ubjson_that_promises_more_than_it_has_is_refused(data: bytes) -> None:
    with pytest.raises(ArtifactError):
        ubjson.decode(data)


@pytest.mark.parametrize("kind", ["lightgbm", "lightgbm-cat", "xgboost-ubj", "xgboost-json", "xgboost-cat"])
def test_damaged_models_never_crash_or_hang(train_lightgbm: Train, train_xgboost: Train, kind: str) -> None:
    content = {
        "lightgbm": train_lightgbm,
        "lightgbm-cat": lambda: train_lightgbm(categories=True),
        "xgboost-ubj": train_xgboost,
        "xgboost-json": lambda: train_xgboost(form="json"),
        "xgboost-cat": lambda: train_xgboost(categories=True),
    }[kind]()
    refused = tried = 0
    with Child() as child:
        for seed in range(80):
            try:
                model = boosters.parse(mutate(content, seed))
            except ArtifactError:
                refused += 1
                continue
            try:
                boosters.try_out(child, [model], timeout_s=30)
                tried += 1
            except ArtifactError:
                refused += 1
            assert child.is_alive, f"seed {seed} got through the validator and crashed the library"
    assert refused + tried == 80
    assert refused > 25, "the mutations do damage"
