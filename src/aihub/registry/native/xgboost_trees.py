"""The trees of an XGBoost model: every index in range, every node reached once, what was deleted left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.errors import ArtifactError
from aihub.registry.native.fields import array_at, texts_at, whole_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_FEATURES = 1_000_000
MAX_CATEGORY = 1 << 20
"""The library allocates a bit per category up to the largest one that a split names."""
ROOT_PARENT = 2**31 - 1
# Field of a tree -> type of its numbers.
_NODE_FIELDS = {
    "base_weights": "f4",
    "default_left": "u1",
    "left_children": "i4",
    "loss_changes": "f4",
    "parents": "i4",
    "right_children": "i4",
    "split_conditions": "f4",
    "split_indices": "i4",
    "split_type": "u1",
    "sum_hessian": "f4",
}
_CATEGORY_FIELDS = {
    "categories": "i4",
    "categories_nodes": "i4",
    "categories_segments": "i8",
    "categories_sizes": "i8",
}


def checked_tree(index: int, tree: Any, features: int) -> dict[str, Any]:
    """Give a tree as it is written again, its fields in order and without deleted nodes.

    Raises
    ------
    ArtifactError
        An unknown field, a number out of range, or nodes that do not form a tree; the message names the tree.
    """
    where = f"tree {index}: "
    known = {*_NODE_FIELDS, *_CATEGORY_FIELDS, "id", "tree_param"}
    if not isinstance(tree, dict) or not set(tree) <= known:
        raise ArtifactError(f"XGBoost model: {where}unknown fields")
    parameters = texts_at(tree, "tree_param")
    nodes = whole_at(parameters, "num_nodes", 1, 1 << 26)
    deleted = whole_at(parameters, "num_deleted", 0, nodes - 1) if "num_deleted" in parameters else 0
    if whole_at(parameters, "num_feature", 1, MAX_FEATURES) != features:
        raise ArtifactError(f"XGBoost model: {where}num_feature is not {features}")
    whole_at(parameters, "size_leaf_vector", 0, 1)
    values = {name: array_at(tree, name, dtype, where) for name, dtype in _NODE_FIELDS.items()}
    if any(len(numbers) != nodes for numbers in values.values()):
        raise ArtifactError(f"XGBoost model: {where}a list does not have {nodes} entries")
    sets = {name: array_at(tree, name, dtype, where) for name, dtype in _CATEGORY_FIELDS.items()}
    if deleted:
        values, sets = _without_deleted(where, values, sets, deleted)
        nodes -= deleted
        parameters = {**parameters, "num_deleted": "0", "num_nodes": str(nodes)}
    _check_nodes(where, values, nodes, features)
    _check_sets(where, values, sets)
    written: dict[str, Any] = {**values, **sets, "id": index, "tree_param": parameters}
    return {name: written[name] for name in sorted(written)}


def _without_deleted(
    where: str, values: dict[str, NDArray[Any]], sets: dict[str, NDArray[Any]], deleted: int
) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """Keep and renumber what hangs on the root, parents first: pruning leaves other nodes behind in the file."""
    left, right = values["left_children"], values["right_children"]
    place = np.full(len(left), -1, dtype=np.int32)
    level, count = np.zeros(1, dtype=np.int32), 0
    order: list[NDArray[Any]] = []
    while len(level):
        if np.any(place[level] != -1) or len(np.unique(level)) < len(level):
            raise ArtifactError(f"XGBoost model: {where}the nodes do not form a tree")
        place[level] = count + np.arange(len(level), dtype=np.int32)
        order.append(level)
        count += len(level)
        inner = level[left[level] != -1]
        level = np.concatenate([left[inner], right[inner]])
        if np.any((level <= 0) | (level >= len(left))):
            raise ArtifactError(f"XGBoost model: {where}a child is out of range")
    kept = np.concatenate(order)
    if len(kept) + deleted != len(left):
        raise ArtifactError(f"XGBoost model: {where}num_deleted does not fit the nodes")
    moved = {name: numbers[kept] for name, numbers in values.items()}
    for name in ("left_children", "right_children", "parents"):
        old = moved[name]
        inside = (old >= 0) & (old < len(place))
        moved[name] = np.where(inside, place[np.where(inside, old, 0)], old).astype(np.int32)
    nodes = sets["categories_nodes"]
    if np.any((nodes < 0) | (nodes >= len(place))) or any(
        len(sets[name]) != len(nodes) for name in ("categories_segments", "categories_sizes")
    ):
        raise ArtifactError(f"XGBoost model: {where}the category splits do not fit their nodes")
    by_place = np.argsort(place[nodes])
    by_place = by_place[place[nodes][by_place] != -1]
    chosen = {name: sets[name][by_place] for name in ("categories_segments", "categories_sizes")}
    return moved, {**sets, **chosen, "categories_nodes": place[nodes][by_place]}


def _check_nodes(where: str, values: dict[str, NDArray[Any]], nodes: int, features: int) -> None:
    left, right, parents = values["left_children"], values["right_children"], values["parents"]
    if np.any(values["default_left"] > 1) or np.any(values["split_type"] > 1):
        raise ArtifactError(f"XGBoost model: {where}default_left or split_type is not 0 or 1")
    if np.any((values["split_indices"] < 0) | (values["split_indices"] >= features)):
        raise ArtifactError(f"XGBoost model: {where}split_indices is out of range")
    inner = left != -1
    if np.any((right != -1) != inner):
        raise ArtifactError(f"XGBoost model: {where}a node has one child only")
    children = np.concatenate([left[inner], right[inner]])
    above = np.tile(np.flatnonzero(inner), 2)
    # A node after its parent and with one parent: no circle, and everything hangs on the root.
    if not np.array_equal(np.sort(children), np.arange(1, nodes)) or np.any(children <= above):
        raise ArtifactError(f"XGBoost model: {where}the nodes do not form a tree")
    expected = np.full(nodes, ROOT_PARENT, dtype=np.int64)
    expected[children] = above
    if not np.array_equal(parents[1:], expected[1:]) or parents[0] not in (ROOT_PARENT, -1):
        raise ArtifactError(f"XGBoost model: {where}parents do not fit the children")


def _check_sets(where: str, values: dict[str, NDArray[Any]], sets: dict[str, NDArray[Any]]) -> None:
    nodes, starts, sizes = sets["categories_nodes"], sets["categories_segments"], sets["categories_sizes"]
    used = np.flatnonzero((values["split_type"] == 1) & (values["left_children"] != -1))
    if not np.array_equal(nodes, used) or len(starts) != len(nodes) or len(sizes) != len(nodes):
        raise ArtifactError(f"XGBoost model: {where}the category splits do not fit their nodes")
    total = len(sets["categories"])
    if np.any(sizes < 0) or np.any(starts < 0) or np.any(sizes > total) or np.any(starts > total - sizes):
        raise ArtifactError(f"XGBoost model: {where}a list of categories is out of range")
    if np.any((sets["categories"] < 0) | (sets["categories"] >= MAX_CATEGORY)):
        raise ArtifactError(f"XGBoost model: {where}a category is out of range")
