"""The algorithms that a config may name: built-ins, and what other packages register."""

from __future__ import annotations

from aihub.plugins import PluginSet
from aihub.training.algorithms.base import Algorithm, Booster, Hyperparameter, Objective
from aihub.training.algorithms.lgbm import LGBM
from aihub.training.algorithms.xgb import XGBOOST

ALGORITHMS: PluginSet[Algorithm] = PluginSet("algorithm", "aihub.algorithms", (LGBM, XGBOOST))
"""Built-in and third-party algorithms by name (entry-point group ``aihub.algorithms``)."""

__all__ = ["ALGORITHMS", "Algorithm", "Booster", "Hyperparameter", "Objective"]
