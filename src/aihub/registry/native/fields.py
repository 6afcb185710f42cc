"""Fields of a decoded XGBoost model, each read as one type or refused."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_WHOLE = re.compile(r"[0-9]{1,10}", re.ASCII)


def object_at(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return an object."""
    value = document.get(name)
    if not isinstance(value, dict):
        raise ArtifactError(f"XGBoost model: {name} is missing or not an object")
    return value


def texts_at(document: Mapping[str, Any], name: str) -> dict[str, str]:
    """Return an object whose values are texts."""
    value = object_at(document, name)
    if not all(isinstance(item, str) and "\x00" not in item for item in value.values()):
        raise ArtifactError(f"XGBoost model: {name} has values that are not text")
    return value


def strings_at(document: Mapping[str, Any], name: str) -> list[str]:
    """Return a list of texts; empty where it is missing."""
    value = document.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, str) and "\x00" not in item for item in value):
        raise ArtifactError(f"XGBoost model: {name} is not a list of texts")
    return value


def whole_at(texts: Mapping[str, str], name: str, low: int, high: int) -> int:
    """Return a whole number that is written as text."""
    text = texts.get(name, "")
    if not _WHOLE.fullmatch(text) or not low <= int(text) <= high:
        raise ArtifactError(f"XGBoost model: {name} {text[:20]!r} is not a whole number from {low} to {high}")
    return int(text)


def array_at(document: Mapping[str, Any], name: str, dtype: str, where: str = "") -> NDArray[Any]:
    """Return a list of numbers as one type; whatever does not fit the type, or is not finite, is refused."""
    value = document.get(name)
    if not isinstance(value, np.ndarray):
        if not isinstance(value, list) or not all(type(item) in (int, float, bool) for item in value):
            raise ArtifactError(f"XGBoost model: {where}{name} is not a list of numbers")
        value = np.array(value, dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        numbers = value.astype(dtype)
    if np.dtype(dtype).kind != "f" and not np.array_equal(numbers, value):
        raise ArtifactError(f"XGBoost model: {where}{name} has a number that is out of range")
    if not np.all(np.isfinite(numbers)):
        raise ArtifactError(f"XGBoost model: {where}{name} has a number that is not finite")
    return numbers
