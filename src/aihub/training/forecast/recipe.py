"""The one default configuration: what is used where the user says nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aihub.training.algorithms.base import Algorithm

MAX_ROWS = 100_000
"""Rows that one booster is fitted to at most; of more, whole origins are left out evenly."""
_SMALL_ROWS = 2_000
_ROUNDS, _SMALL_ROUNDS, _QUANTILE_ROUNDS = 300, 150, 150


def defaults(algorithm: Algorithm, rows: int) -> dict[str, Any]:
    """Return settings for a table of so many rows; only those that the algorithm has."""
    small = rows < _SMALL_ROWS
    wanted: dict[str, Any] = {
        "n_estimators": _SMALL_ROUNDS if small else _ROUNDS,
        "learning_rate": 0.06,
        "num_leaves": 15 if small else 31,
        "min_child_samples": 10 if small else 20,
        "subsample": 0.8,
        "subsample_freq": 1,
        "colsample_bytree": 0.5,
    }
    return {name: value for name, value in wanted.items() if name in algorithm.hyperparameters}


def point_settings(algorithm: Algorithm, given: Mapping[str, Any], rows: int) -> dict[str, Any]:
    """Return settings of the models of the prediction: what the user gave goes over the recipe."""
    return {**defaults(algorithm, rows), **given}


def quantile_settings(algorithm: Algorithm, given: Mapping[str, Any], rows: int) -> dict[str, Any]:
    """Return settings of the interval's models: they give the shape, the calibration the size, so that fewer rounds do."""
    settings = point_settings(algorithm, given, rows)
    rounds = int(settings.get("n_estimators", _ROUNDS))
    if rounds > _QUANTILE_ROUNDS:
        settings["n_estimators"] = _QUANTILE_ROUNDS
        settings["learning_rate"] = min(0.2, settings["learning_rate"] * min(rounds / _QUANTILE_ROUNDS, 2.0))
    settings["num_leaves"] = min(int(settings.get("num_leaves", 15)), 15)
    return settings
