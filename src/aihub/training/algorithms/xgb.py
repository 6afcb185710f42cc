"""XGBoost behind the hub's `Algorithm`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import numpy as np

from aihub.errors import ArtifactError
from aihub.training.algorithms.base import Algorithm, Hyperparameter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aihub.training.algorithms.base import Matrix, Objective, OnRound
    from aihub.types import FloatArray

HYPERPARAMETERS: Mapping[str, Hyperparameter] = {
    "n_estimators": Hyperparameter(1, 20_000, integer=True, doc="boosting rounds"),
    "learning_rate": Hyperparameter(1e-4, 1.0, doc="shrinkage per round"),
    "max_depth": Hyperparameter(-1, 64, integer=True, doc="deepest level of a tree; 0 or -1: no limit"),
    "num_leaves": Hyperparameter(2, 4096, integer=True, doc="leaves of a tree, grown best first"),
    "min_child_samples": Hyperparameter(1, 100_000, integer=True, doc="rows in a leaf at least"),
    "min_child_weight": Hyperparameter(0.0, 1e6, doc="sum of hessians in a leaf at least"),
    "subsample": Hyperparameter(0.01, 1.0, doc="share of rows per round"),
    "colsample_bytree": Hyperparameter(0.01, 1.0, doc="share of columns per tree"),
    "reg_alpha": Hyperparameter(0.0, 1e6, doc="L1 penalty on leaves"),
    "reg_lambda": Hyperparameter(0.0, 1e6, doc="L2 penalty on leaves"),
    "gamma": Hyperparameter(0.0, 1e12, doc="gain of a split at least"),
    "max_bin": Hyperparameter(3, 4096, integer=True, doc="histogram bins per column"),
}
ALIASES: Mapping[str, str] = {
    "num_boost_round": "n_estimators",
    "eta": "learning_rate",
    "max_leaves": "num_leaves",
    "alpha": "reg_alpha",
    "lambda": "reg_lambda",
    "min_split_loss": "gamma",
    "min_split_gain": "gamma",
}
OBJECTIVES: Mapping[Objective, str] = {
    "l1": "reg:absoluteerror",
    "l2": "reg:squarederror",
    "quantile": "reg:quantileerror",
    "binary": "binary:logistic",
}


@dataclass(frozen=True)
class XGBoostBooster:
    """An `xgboost.Booster`."""

    booster: Any

    @property
    def gain(self) -> dict[str, float]:
        """Total gain per feature that was used at least once."""
        gains = self.booster.get_score(importance_type="total_gain")
        return {unquote(name): float(gain) for name, gain in gains.items()}

    def predict(self, x: Matrix, *, threads: int = 1) -> FloatArray:
        """One number per row of `x`."""
        if not len(x):
            return np.empty(0)
        self.booster.set_param({"nthread": threads})
        answer = self.booster.inplace_predict(np.ascontiguousarray(x), validate_features=False)
        return np.asarray(answer, dtype=np.float64)

    def to_bytes(self) -> bytes:
        """XGBoost's UBJSON."""
        return bytes(self.booster.save_raw(raw_format="ubj"))


def fit(
    x: Matrix,
    y: FloatArray,
    *,
    names: tuple[str, ...],
    categorical: tuple[str, ...] = (),
    params: Mapping[str, Any],
    objective: Objective,
    quantile: float | None = None,
    weights: FloatArray | None = None,
    seed: int = 0,
    threads: int = 1,
    on_round: OnRound | None = None,
) -> XGBoostBooster:
    """Fit with `xgboost.train`; see `aihub.training.algorithms.base.Fit`."""
    import xgboost as xgb  # noqa: PLC0415 - only who trains or predicts pays for the library

    given = dict(params)
    rounds = given.pop("n_estimators", 100)
    settings = {
        **_complete(given),
        "objective": OBJECTIVES[objective],
        "tree_method": "hist",
        "seed": seed,
        "nthread": threads,
        "verbosity": 0,
    }
    if quantile is not None:
        settings["quantile_alpha"] = quantile
    data = xgb.QuantileDMatrix(
        x,
        y,
        weight=weights,
        # The library refuses some signs in a name, such as "Temperature [C]".
        feature_names=[quote(name, safe="") for name in names],
        feature_types=["c" if name in categorical else "q" for name in names],
        enable_categorical=True,
        max_bin=given.get("max_bin", 256),
        nthread=threads,
    )
    booster = xgb.train(settings, data, num_boost_round=rounds, callbacks=_callbacks(on_round, rounds))
    booster.reset()
    return XGBoostBooster(booster)


def load(content: bytes) -> XGBoostBooster:
    """Read XGBoost's UBJSON or JSON.

    Raises
    ------
    ArtifactError
        XGBoost refuses the file. It may abort the process on some corrupt files: read files of unknown origin
        through `aihub.registry.loading`, which checks them first.
    """
    import xgboost as xgb  # noqa: PLC0415 - as above

    booster = xgb.Booster()
    try:
        booster.load_model(bytearray(content))
    except (xgb.core.XGBoostError, ValueError) as error:
        raise ArtifactError(f"not an XGBoost model ({error}); train the model again") from error
    return XGBoostBooster(booster)


def _complete(given: dict[str, Any]) -> dict[str, Any]:
    """Translate the settings that both libraries share into XGBoost's."""
    if "max_depth" in given:
        given["max_depth"] = max(given["max_depth"], 0)
    if "num_leaves" in given:
        given["max_leaves"] = given.pop("num_leaves")
        given["grow_policy"] = "lossguide"
        given.setdefault("max_depth", 0)
    if "min_child_samples" in given:
        # The hessian of every loss used here is at most 1 a row, so that a weight stands for a number of rows.
        given.setdefault("min_child_weight", given.pop("min_child_samples"))
        given.pop("min_child_samples", None)
    return given


def _callbacks(on_round: OnRound | None, rounds: int) -> list[Any]:
    if on_round is None:
        return []
    import xgboost as xgb  # noqa: PLC0415 - as above

    report = on_round

    class Report(xgb.callback.TrainingCallback):  # type: ignore[misc]
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:  # noqa: ARG002
            report((epoch + 1) / rounds)
            return False

    return [Report()]


XGBOOST = Algorithm(
    name="xgboost", hyperparameters=HYPERPARAMETERS, fit=fit, load=load, suffix=".ubj", aliases=ALIASES
)
