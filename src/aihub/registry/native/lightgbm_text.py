"""LightGBM's text form, checked before the library sees it, and written again in one form.

The library trusts the file: half a file, a trailing space or a child that points to its parent ends in a crash or an
endless loop. Here every number has a grammar, every list its length, every node exactly one parent.
What a prediction does not need (importances, training parameters, which may name files) is left out of the result.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MAX_FEATURES = 100_000
MAX_CLASSES = 1_000
MAX_TREES = 1_000_000
MAX_LEAVES = 1 << 24

_INTEGER = re.compile(r"(?:-?[0-9]{1,10}(?: -?[0-9]{1,10})*)?", re.ASCII)
_FLOAT_1 = r"-?[0-9]{1,24}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,3})?"
_FLOAT = re.compile(rf"(?:{_FLOAT_1}(?: {_FLOAT_1})*)?", re.ASCII)
_NAME = re.compile(r"[^\s\x00-\x1f\x7f\",:\[\]{}]{1,256}")
_INFO = re.compile(rf"none|\[{_FLOAT_1}:{_FLOAT_1}\]|-?[0-9]{{1,10}}(?::-?[0-9]{{1,10}})*", re.ASCII)
_OBJECTIVE = re.compile(rf"([a-z_0-9]{{1,40}})((?: (?:[a-z_]{{1,40}}:{_FLOAT_1}|sqrt))*)", re.ASCII)

OBJECTIVES = frozenset(
    [
        "regression",
        "regression_l1",
        "huber",
        "fair",
        "poisson",
        "quantile",
        "mape",
        "gamma",
        "tweedie",
        "binary",
        "multiclass",
        "multiclassova",
        "cross_entropy",
        "cross_entropy_lambda",
        "lambdarank",
        "rank_xendcg",
        "custom",
        "none",
    ]
)
_HEADER = (
    "version",
    "num_class",
    "num_tree_per_iteration",
    "label_index",
    "max_feature_idx",
    "objective",
    "average_output",
    "feature_names",
    "monotone_constraints",
    "feature_infos",
    "tree_sizes",
)
_OPTIONAL_HEADER = {"objective", "average_output", "monotone_constraints"}
# Field of a tree -> (is it a list of integers, how many there are per tree: internal nodes, leaves, or one).
_TREE = {
    "num_leaves": (True, "one"),
    "num_cat": (True, "one"),
    "split_feature": (True, "nodes"),
    "split_gain": (False, "nodes"),
    "threshold": (False, "nodes"),
    "decision_type": (True, "nodes"),
    "left_child": (True, "nodes"),
    "right_child": (True, "nodes"),
    "leaf_value": (False, "leaves"),
    "leaf_weight": (False, "leaves"),
    "leaf_count": (True, "leaves"),
    "internal_value": (False, "nodes"),
    "internal_weight": (False, "nodes"),
    "internal_count": (True, "nodes"),
    "cat_boundaries": (True, "categories"),
    "cat_threshold": (True, "any"),
    "is_linear": (True, "one"),
    "leaf_const": (False, "leaves"),
    "num_features": (True, "leaves"),
    "leaf_features": (True, "any"),
    "leaf_coeff": (False, "any"),
    "shrinkage": (False, "one"),
}
_SLACK = 100
_NEEDED = set(list(_TREE)[:9]) | {"shrinkage"}
_NEEDED_BY_CATEGORIES = {"cat_boundaries", "cat_threshold"}
_NEEDED_BY_LINEAR = {"leaf_const", "num_features", "leaf_features", "leaf_coeff"}


@dataclass(frozen=True, kw_only=True)
class LightGbmModel:
    """A checked model.

    Attributes
    ----------
    text
        The canonical form: the only thing that is given to the library.
    outputs
        Numbers per row: 1, or the number of classes.
    categories
        Category values per pandas category column, in the order of the columns; None where there were none.
    """

    text: str
    feature_names: tuple[str, ...]
    outputs: int
    trees: int
    objective: str
    categories: tuple[tuple[Any, ...], ...] | None


def looks_like(content: bytes) -> bool:
    """Whether `content` begins as a LightGBM text model."""
    return content.startswith((b"tree\n", b"tree\r\n"))


def parse(content: bytes) -> LightGbmModel:
    """Check a LightGBM text model and return its canonical form.

    Raises
    ------
    ArtifactError
        Anything is not as the library itself would have written it; the message names the line or field.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ArtifactError(
            f"LightGBM model: byte {error.start} is not text; save the model again"
        ) from error
    if "\r" in text:
        # A checkout on Windows; the library would crash on it.
        text = text.replace("\r\n", "\n")
    if not text.startswith("tree\n") or "\r" in text or "\x00" in text:
        raise ArtifactError("LightGBM model: the file does not begin with 'tree' or holds control characters")
    body, mark, tail = text.partition("\nend of trees\n")
    if not mark:
        raise ArtifactError(
            "LightGBM model: 'end of trees' is missing, the file is cut off; save the model again"
        )
    head, *blocks = body.split("\nTree=")
    header = _header(head)
    names, outputs, objective = _features(header), _outputs(header), header.get("objective", "")
    _objective(objective, outputs)
    sizes = _numbers("tree_sizes", header["tree_sizes"], integer=True)
    if len(sizes) != len(blocks) or not 0 < len(blocks) <= MAX_TREES or len(blocks) % outputs:
        raise ArtifactError(f"LightGBM model: tree_sizes has {len(sizes)} entries for {len(blocks)} trees")
    trees = [_tree(index, block, len(names)) for index, block in enumerate(blocks)]
    header["tree_sizes"] = " ".join(str(len(tree.encode())) for tree in trees)
    categories = _pandas_categories(tail)
    return LightGbmModel(
        text=_text(header, trees, categories),
        feature_names=names,
        outputs=outputs,
        trees=len(trees),
        objective=objective,
        categories=categories,
    )


def _text(
    header: dict[str, str], trees: Sequence[str], categories: tuple[tuple[Any, ...], ...] | None
) -> str:
    lines = [
        name if name == "average_output" else f"{name}={header[name]}" for name in _HEADER if name in header
    ]
    written = "null" if categories is None else json.dumps(categories)
    return (
        "tree\n"
        + "\n".join(lines)
        + "\n\n"
        + "".join(trees)
        + f"end of trees\n\nfeature_importances:\n\nparameters:\nend of parameters\n\npandas_categorical:{written}\n"
    )


def _header(head: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, line in enumerate(head.rstrip("\n").split("\n")[1:], start=2):
        name, equals, value = line.partition("=")
        if name not in _HEADER or name in found or bool(equals) == (name == "average_output"):
            raise ArtifactError(f"LightGBM model: line {number} {line[:60]!r} is unknown or there twice")
        found[name] = value
    missing = set(_HEADER) - _OPTIONAL_HEADER - set(found)
    if missing:
        raise ArtifactError(f"LightGBM model: {', '.join(sorted(missing))} missing in the header")
    if found["version"] not in ("v3", "v4"):
        message = f"version {found['version'][:20]!r} is not v3 or v4; save the model with a current LightGBM"
        raise ArtifactError(f"LightGBM model: {message}")
    if found["label_index"] != "0":
        raise ArtifactError("LightGBM model: label_index is not 0")
    return found


def _features(header: dict[str, str]) -> tuple[str, ...]:
    count = _integer("max_feature_idx", header["max_feature_idx"], 0, MAX_FEATURES - 1) + 1
    names = tuple(header["feature_names"].split(" "))
    infos = header["feature_infos"].split(" ")
    if len(names) != count or len(set(names)) != count or not all(_NAME.fullmatch(name) for name in names):
        raise ArtifactError(f"LightGBM model: feature_names are not {count} different names")
    if len(infos) != count or not all(_INFO.fullmatch(info) for info in infos):
        raise ArtifactError(f"LightGBM model: feature_infos are not {count} ranges")
    monotone = header.get("monotone_constraints")
    if monotone is not None:
        signs = _numbers("monotone_constraints", monotone, integer=True)
        if len(signs) != count or np.any(np.abs(signs) > 1):
            raise ArtifactError(f"LightGBM model: monotone_constraints are not {count} signs")
    return names


def _outputs(header: dict[str, str]) -> int:
    classes = _integer("num_class", header["num_class"], 1, MAX_CLASSES)
    if _integer("num_tree_per_iteration", header["num_tree_per_iteration"], 1, MAX_CLASSES) != classes:
        raise ArtifactError("LightGBM model: num_tree_per_iteration is not num_class")
    return classes


def _objective(text: str, outputs: int) -> None:
    if not text:
        return
    match = _OBJECTIVE.fullmatch(text)
    if not match or match[1] not in OBJECTIVES:
        raise ArtifactError(f"LightGBM model: objective {text[:80]!r} is not known")
    settings = dict(part.split(":") for part in match[2].split() if ":" in part)
    is_multiclass = match[1] in ("multiclass", "multiclassova")
    # A wrong count makes the library write beyond its own array.
    if is_multiclass != ("num_class" in settings) or (
        is_multiclass and settings["num_class"] != str(outputs)
    ):
        raise ArtifactError(f"LightGBM model: objective {text[:80]!r} does not fit {outputs} classes")
    if not is_multiclass and outputs != 1 and match[1] not in ("custom", "none"):
        raise ArtifactError(f"LightGBM model: objective {text[:80]!r} does not fit {outputs} classes")
    if not all(np.isfinite(float(value)) for value in settings.values()):
        raise ArtifactError(f"LightGBM model: objective {text[:80]!r} has a number that is not finite")


def _tree(index: int, block: str, features: int) -> str:
    label, _, rest = block.partition("\n")
    if label != str(index):
        raise ArtifactError(f"LightGBM model: tree {label[:20]!r} where tree {index} was expected")
    lines = rest.rstrip("\n").split("\n")
    fields = dict(line.partition("=")[::2] for line in lines)
    unknown = [name for name in fields if name not in _TREE]
    if unknown or len(fields) != len(lines) or not set(fields) >= _NEEDED:
        raise ArtifactError(f"LightGBM model: tree {index} has unknown, missing or repeated fields")
    leaves = _integer("num_leaves", fields["num_leaves"], 1, MAX_LEAVES)
    categories = _integer("num_cat", fields["num_cat"], 0, MAX_LEAVES)
    counts = {"one": 1, "nodes": leaves - 1, "leaves": leaves, "categories": categories + 1}
    where = f"tree {index}: "
    values: dict[str, NDArray[Any]] = {}
    for name, text in fields.items():
        integer, per = _TREE[name]
        # Counted before the words are taken apart: ten megabytes of them are two gigabytes of objects.
        entries = text.count(" ") + 1
        if per != "any" and entries > 2 * counts[per] + _SLACK:
            raise ArtifactError(f"LightGBM model: {where}{name} has {entries} entries, not {counts[per]}")
        if per == "any":
            # The library writes two spaces around leaves without features.
            fields[name] = " ".join(text.split())
        if name == "threshold":
            # A split of known against missing values stands as inf in the library's own text.
            values[name] = numbers = _thresholds(where + name, fields[name])
        else:
            values[name] = numbers = _numbers(where + name, fields[name], integer=integer)
        # A tree of one leaf leaves its weight and count empty.
        is_bare = leaves == 1 and name not in _NEEDED and not len(numbers)
        if per != "any" and len(numbers) != counts[per] and not is_bare:
            raise ArtifactError(
                f"LightGBM model: {where}{name} has {len(numbers)} entries, not {counts[per]}"
            )
    _check_nodes(where, values, leaves, features)
    _check_categories(where, values, categories)
    _check_linear(where, values, features)
    written = "".join(f"{name}={_as_written(name, fields, values)}\n" for name in _TREE if name in fields)
    return f"Tree={index}\n{written}\n\n"


def _as_written(name: str, fields: dict[str, str], values: dict[str, NDArray[Any]]) -> str:
    """Value of a field; the lists of a linear model have the library's own odd spaces, which it needs."""
    if name not in ("leaf_features", "leaf_coeff"):
        return fields[name]
    parts, start, words = [], 0, fields[name].split()
    for count in values["num_features"].tolist():
        if count:
            parts.append(" ".join(words[start : start + count]) + " ")
        start += count
        parts.append(" ")
    return "".join(parts)


def _check_nodes(where: str, values: dict[str, NDArray[Any]], leaves: int, features: int) -> None:
    nodes = leaves - 1
    split, kind = values["split_feature"], values["decision_type"]
    if np.any((split < 0) | (split >= features)):
        raise ArtifactError(f"LightGBM model: {where}split_feature is out of range")
    # Bit 0 category, bit 1 default left, bits 2 and 3 the kind of missing value: 0, 1 or 2.
    if np.any((kind < 0) | (kind > 11)):  # noqa: PLR2004 - see above
        raise ArtifactError(f"LightGBM model: {where}decision_type is out of range")
    children = np.concatenate([values["left_child"], values["right_child"]])
    parents = np.tile(np.arange(nodes), 2)
    inner = children >= 0
    # The library numbers a node after its parent: with that and one parent each there can be no circle.
    if np.any(children[inner] <= parents[inner]) or not _is_range(children[inner], 1, nodes):
        raise ArtifactError(f"LightGBM model: {where}the nodes do not form a tree")
    if nodes and not _is_range(-1 - children[~inner], 0, leaves):
        raise ArtifactError(f"LightGBM model: {where}the leaves do not each have one parent")


def _is_range(values: NDArray[Any], start: int, stop: int) -> bool:
    return bool(np.array_equal(np.sort(values), np.arange(start, stop)))


def _check_categories(where: str, values: dict[str, NDArray[Any]], categories: int) -> None:
    is_category = (values["decision_type"] & 1) == 1
    used = values["threshold"][is_category]
    if not categories:
        if used.size or _NEEDED_BY_CATEGORIES & set(values):
            raise ArtifactError(f"LightGBM model: {where}category splits without categories")
        return
    if not set(values) >= _NEEDED_BY_CATEGORIES:
        raise ArtifactError(f"LightGBM model: {where}the lists of categories are missing")
    bounds, bits = values["cat_boundaries"], values["cat_threshold"]
    if bounds[0] != 0 or bounds[-1] != len(bits) or np.any(np.diff(bounds) <= 0):
        raise ArtifactError(f"LightGBM model: {where}cat_boundaries do not fit cat_threshold")
    if np.any((bits < 0) | (bits >= 1 << 32)):
        raise ArtifactError(f"LightGBM model: {where}cat_threshold is out of range")
    if np.any(used != np.floor(used)) or np.any((used < 0) | (used >= categories)):
        raise ArtifactError(f"LightGBM model: {where}a category split names a list that does not exist")


def _check_linear(where: str, values: dict[str, NDArray[Any]], features: int) -> None:
    is_linear = values.get("is_linear", np.zeros(1))[0]
    has = _NEEDED_BY_LINEAR & set(values)
    if is_linear not in (0, 1) or has != (_NEEDED_BY_LINEAR if is_linear else set()):
        raise ArtifactError(f"LightGBM model: {where}is_linear does not fit the fields")
    if not is_linear:
        return
    counts, used, weights = values["num_features"], values["leaf_features"], values["leaf_coeff"]
    if np.any(counts < 0) or counts.sum() != len(used) or len(used) != len(weights):
        raise ArtifactError(f"LightGBM model: {where}leaf_features do not fit num_features")
    if np.any((used < 0) | (used >= features)):
        raise ArtifactError(f"LightGBM model: {where}leaf_features is out of range")


def _pandas_categories(tail: str) -> tuple[tuple[Any, ...], ...] | None:
    lines = tail.rstrip("\n").rsplit("\n", 1)[-1:]
    if not lines[0].startswith("pandas_categorical:"):
        return None
    try:
        value = json.loads(lines[0].removeprefix("pandas_categorical:"))
    except (ValueError, RecursionError) as error:
        raise ArtifactError("LightGBM model: pandas_categorical is not JSON") from error
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(column, list) for column in value):
        raise ArtifactError("LightGBM model: pandas_categorical is not a list of lists")
    if not all(isinstance(item, str | int | float | bool) for column in value for item in column):
        raise ArtifactError("LightGBM model: pandas_categorical has values that are not plain")
    return tuple(tuple(column) for column in value) or None


def _numbers(name: str, text: str, *, integer: bool) -> NDArray[Any]:
    pattern = _INTEGER if integer else _FLOAT
    if not pattern.fullmatch(text):
        raise ArtifactError(f"LightGBM model: {name} is not a list of {'whole ' if integer else ''}numbers")
    values = np.array(text.split(), dtype=np.int64 if integer else np.float64)
    if not np.all(np.isfinite(values)):
        raise ArtifactError(f"LightGBM model: {name} has a number that is not finite")
    if integer and np.any(np.abs(values) >= 1 << 32):
        raise ArtifactError(f"LightGBM model: {name} is out of range")
    return values


def _thresholds(name: str, text: str) -> NDArray[Any]:
    words = text.split(" ")
    numbers = _numbers(name, " ".join("0" if word == "inf" else word for word in words), integer=False)
    return np.where([word == "inf" for word in words], np.inf, numbers) if "inf" in words else numbers


def _integer(name: str, text: str, low: int, high: int) -> int:
    values = _numbers(name, text, integer=True)
    if len(values) != 1 or not low <= values[0] <= high:
        raise ArtifactError(
            f"LightGBM model: {name} {text[:20]!r} is not a whole number from {low} to {high}"
        )
    return int(values[0])
