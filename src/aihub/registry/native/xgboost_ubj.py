"""XGBoost's UBJSON and JSON forms, checked before the library sees them, and written again in one form."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.errors import ArtifactError
from aihub.registry.native import ubjson
from aihub.registry.native.fields import array_at, object_at, strings_at, texts_at, whole_at
from aihub.registry.native.xgboost_trees import MAX_FEATURES, checked_tree

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_GROUPS = 10_000
MAX_TREES = 1_000_000

_WHOLE = re.compile(r"[0-9]{1,10}", re.ASCII)
_NUMBER_1 = r"-?[0-9]{1,20}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,3})?"
_NUMBERS = re.compile(rf"{_NUMBER_1}|\[{_NUMBER_1}(?:,{_NUMBER_1})*\]", re.ASCII)
_PARAMETER = re.compile(r"[\w.+\-\[\], :]{0,4096}", re.ASCII)
_TYPES = {"float", "int", "i", "q", "c", "indicator"}
OBJECTIVES = frozenset(
    [
        "reg:squarederror",
        "reg:squaredlogerror",
        "reg:logistic",
        "reg:pseudohubererror",
        "reg:absoluteerror",
        "reg:quantileerror",
        "reg:gamma",
        "reg:tweedie",
        "reg:linear",
        "binary:logistic",
        "binary:logitraw",
        "binary:hinge",
        "count:poisson",
        "survival:cox",
        "survival:aft",
        "multi:softmax",
        "multi:softprob",
        "rank:ndcg",
        "rank:map",
        "rank:pairwise",
    ]
)


@dataclass(frozen=True, kw_only=True)
class XgboostModel:
    """A checked model.

    Attributes
    ----------
    data
        The canonical form, UBJSON: the only thing that is given to the library.
    outputs
        Trees per round: 1, or the number of classes or targets.
    best_iteration
        Last round to use where training was stopped early, else None.
    """

    data: bytes
    feature_names: tuple[str, ...]
    features: int
    outputs: int
    trees: int
    objective: str
    best_iteration: int | None


def looks_like(content: bytes) -> bool:
    """Whether `content` begins as an XGBoost model: UBJSON, or JSON with a learner in it."""
    return content.startswith((b"{L\x00\x00\x00\x00", b"{U", b"{i")) or (
        content[:64].lstrip().startswith(b"{") and b'"learner"' in content[:4096]
    )


def parse(content: bytes) -> XgboostModel:
    """Check an XGBoost model and return its canonical form.

    Raises
    ------
    ArtifactError
        Anything is not as the library itself would have written it; the message names the field.
    """
    return check(
        _from_json(content)
        if content[:64].lstrip()[1:2] in (b'"', b" ", b"\n", b"\r")
        else ubjson.decode(content)
    )


def _from_json(content: bytes) -> dict[str, Any]:
    def refuse(word: str) -> Any:
        raise ArtifactError(f"XGBoost model: {word} is not a finite number")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ArtifactError("XGBoost model: a field is there twice")
        return found

    try:
        document = json.loads(content, parse_constant=refuse, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"XGBoost model: the file is not JSON: {error}; save the model again") from error
    if not isinstance(document, dict):
        raise ArtifactError("XGBoost model: the file is not one JSON object")
    return document


def check(document: dict[str, Any]) -> XgboostModel:
    """Check a decoded model; see `parse`."""
    learner = object_at(document, "learner")
    attributes = texts_at(learner, "attributes")
    parameters = texts_at(learner, "learner_model_param")
    features = whole_at(parameters, "num_feature", 1, MAX_FEATURES)
    classes = whole_at(parameters, "num_class", 0, MAX_GROUPS)
    targets = whole_at(parameters, "num_target", 1, MAX_GROUPS) if "num_target" in parameters else 1
    groups = max(1, classes) * targets
    if groups > MAX_GROUPS:
        raise ArtifactError("XGBoost model: too many classes and targets")
    names = strings_at(learner, "feature_names")
    types = strings_at(learner, "feature_types")
    if len(names) not in (0, features) or len(set(names)) != len(names) or len(types) not in (0, features):
        raise ArtifactError(
            f"XGBoost model: feature_names or feature_types are not {features} different names"
        )
    if not set(types) <= _TYPES:
        raise ArtifactError("XGBoost model: feature_types has a type that is not known")
    objective = _objective(object_at(learner, "objective"), classes)
    booster, trees = _booster(object_at(learner, "gradient_booster"), features, groups)
    best = attributes.get("best_iteration")
    written = {
        "learner": {
            "attributes": attributes,
            "feature_names": names,
            "feature_types": types,
            "gradient_booster": booster,
            "learner_model_param": _checked_base_score(parameters, groups),
            "objective": objective,
        },
        "version": _version(document),
    }
    return XgboostModel(
        data=ubjson.encode(written),
        feature_names=tuple(names),
        features=features,
        outputs=groups,
        trees=trees,
        objective=str(objective["name"]),
        best_iteration=int(best) if best is not None and _WHOLE.fullmatch(best) else None,
    )


def _version(document: Mapping[str, Any]) -> list[int]:
    version: list[int] = array_at(document, "version", "i8").tolist()
    if len(version) != 3 or not 1 <= version[0] <= 3 or not all(0 <= part < 1000 for part in version):  # noqa: PLR2004
        raise ArtifactError(
            f"XGBoost model: version {str(version)[:40]} is not known; use a hub with a newer XGBoost"
        )
    return version


def _checked_base_score(parameters: dict[str, str], groups: int) -> dict[str, str]:
    text = parameters.get("base_score", "")
    if not _NUMBERS.fullmatch(text):
        raise ArtifactError("XGBoost model: base_score is not a number")
    values = [float(part) for part in text.strip("[]").split(",")]
    if len(values) not in (1, groups) or not np.all(np.isfinite(np.array(values, dtype=np.float32))):
        raise ArtifactError(f"XGBoost model: base_score is not one finite number, or {groups}")
    return parameters


def _objective(objective: dict[str, Any], classes: int) -> dict[str, Any]:
    name = objective.get("name")
    if name not in OBJECTIVES:
        raise ArtifactError(f"XGBoost model: objective {str(name)[:60]!r} is not known")
    written: dict[str, Any] = {"name": name}
    for key in sorted(set(objective) - {"name"}):
        texts = texts_at(objective, key)
        if not all(_PARAMETER.fullmatch(value) for value in texts.values()):
            raise ArtifactError(f"XGBoost model: {key[:60]!r} of the objective has an odd value")
        # A wrong count makes the library write beyond its own array.
        if int(whole_at(texts, "num_class", 0, MAX_GROUPS) if "num_class" in texts else classes) != classes:
            raise ArtifactError("XGBoost model: the objective has another number of classes")
        written[key] = texts
    if str(name).startswith("multi:") != (classes > 1):
        raise ArtifactError(f"XGBoost model: objective {name!r} does not fit {classes} classes")
    return written


def _booster(booster: dict[str, Any], features: int, groups: int) -> tuple[dict[str, Any], int]:
    name = booster.get("name")
    if name == "gbtree" and set(booster) == {"model", "name"}:
        model, trees = _forest(object_at(booster, "model"), features, groups)
        return {"model": model, "name": name}, trees
    if name == "dart" and set(booster) == {"gbtree", "name", "weight_drop"}:
        inner = object_at(booster, "gbtree")
        model, trees = _forest(object_at(inner, "model"), features, groups)
        dropped = array_at(booster, "weight_drop", "f4")
        if set(inner) - {"model", "name"} or len(dropped) != trees:
            raise ArtifactError("XGBoost model: weight_drop does not fit the trees")
        return {
            "gbtree": {"model": model, "name": "gbtree"},
            "name": name,
            "weight_drop": dropped.tolist(),
        }, trees
    if name == "gblinear" and set(booster) == {"model", "name"}:
        model = object_at(booster, "model")
        weights = array_at(model, "weights", "f4")
        rounds = model.get("boosted_rounds", 0)
        if set(model) - {"weights", "boosted_rounds"} or len(weights) != (features + 1) * groups:
            raise ArtifactError("XGBoost model: the linear model's weights do not fit its features")
        if type(rounds) is not int or not 0 <= rounds < MAX_TREES:
            raise ArtifactError("XGBoost model: boosted_rounds is not a count")
        return {"model": {"boosted_rounds": rounds, "weights": weights}, "name": name}, 0
    raise ArtifactError(
        f"XGBoost model: booster {str(name)[:40]!r} is not gbtree, dart or gblinear as they are written"
    )


def _forest(model: dict[str, Any], features: int, groups: int) -> tuple[dict[str, Any], int]:
    parameters = texts_at(model, "gbtree_model_param")
    count = whole_at(parameters, "num_trees", 1, MAX_TREES)
    whole_at(parameters, "num_parallel_tree", 0, MAX_TREES)
    trees, info = model.get("trees"), array_at(model, "tree_info", "i4")
    if not isinstance(trees, list) or len(trees) != count or len(info) != count:
        raise ArtifactError(f"XGBoost model: trees or tree_info are not {count}")
    if np.any((info < 0) | (info >= groups)):
        raise ArtifactError("XGBoost model: tree_info is out of range")
    written: dict[str, Any] = {}
    if "cats" in model:
        written["cats"] = _categories(object_at(model, "cats"), features)
    written["gbtree_model_param"] = parameters
    if "iteration_indptr" in model:
        bounds = array_at(model, "iteration_indptr", "i4")
        if len(bounds) < 2 or bounds[0] != 0 or bounds[-1] != count or np.any(np.diff(bounds) <= 0):  # noqa: PLR2004
            raise ArtifactError("XGBoost model: iteration_indptr does not fit the trees")
        written["iteration_indptr"] = bounds.tolist()
    written["tree_info"] = info.tolist()
    written["trees"] = [checked_tree(index, tree, features) for index, tree in enumerate(trees)]
    if set(model) - set(written):
        raise ArtifactError(f"XGBoost model: unknown fields {sorted(set(model) - set(written))[:5]}")
    return written, count


def _categories(cats: dict[str, Any], features: int) -> dict[str, Any]:
    """Check what pandas or Arrow categories stood for; column by column, with an order that sorts them."""
    columns, order = cats.get("enc"), array_at(cats, "sorted_idx", "i4")
    bounds = array_at(cats, "feature_segments", "i4")
    if set(cats) != {"enc", "feature_segments", "sorted_idx"} or not isinstance(columns, list):
        raise ArtifactError("XGBoost model: cats has unknown or missing fields")
    if not columns:
        if len(order) or bounds.any():
            raise ArtifactError("XGBoost model: cats does not fit its columns")
        return {"enc": [], "feature_segments": bounds, "sorted_idx": order}
    if len(columns) != features or len(bounds) != features + 1 or bounds[0] != 0 or bounds[-1] != len(order):
        raise ArtifactError("XGBoost model: cats does not fit its columns")
    written = []
    for column, start, stop in zip(columns, bounds, bounds[1:], strict=False):
        part = order[start:stop] if start <= stop else order[:0]
        if start > stop or not np.array_equal(np.sort(part), np.arange(stop - start)):
            raise ArtifactError("XGBoost model: sorted_idx is not an order of the categories")
        written.append(_category_column(column, int(stop - start)))
    return {"enc": written, "feature_segments": bounds, "sorted_idx": order}


def _category_column(column: Any, count: int) -> dict[str, Any]:
    if not isinstance(column, dict) or "values" not in column:
        raise ArtifactError("XGBoost model: a column of cats has no values")
    if set(column) == {"offsets", "values"}:
        offsets, raw = array_at(column, "offsets", "i4"), array_at(column, "values", "i1")
        is_empty = count == 0 and len(raw) == 0 and not offsets.any()
        if not is_empty and (
            len(offsets) != count + 1
            or offsets[0] != 0
            or offsets[-1] != len(raw)
            or np.any(np.diff(offsets) < 0)
        ):
            raise ArtifactError("XGBoost model: the names of categories do not fit their offsets")
        return {"offsets": offsets, "values": raw}
    kind, values = column.get("type"), column["values"]
    if set(column) != {"type", "values"} or type(kind) is not int or len(values) != count:
        raise ArtifactError("XGBoost model: the values of categories do not fit their count")
    if isinstance(values, list):
        values = array_at(column, "values", "i8")
    if not isinstance(values, np.ndarray) or not np.all(np.isfinite(values)):
        raise ArtifactError("XGBoost model: the values of categories are not numbers")
    return {"type": kind, "values": values}
