"""LightGBM behind the hub's `Algorithm`."""

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
    "max_depth": Hyperparameter(-1, 64, integer=True, doc="deepest level of a tree; -1: no limit"),
    "num_leaves": Hyperparameter(2, 4096, integer=True, doc="leaves of a tree"),
    "min_child_samples": Hyperparameter(1, 100_000, integer=True, doc="rows in a leaf at least"),
    "min_child_weight": Hyperparameter(0.0, 1e6, doc="sum of hessians in a leaf at least"),
    "subsample": Hyperparameter(0.01, 1.0, doc="share of rows per round"),
    "subsample_freq": Hyperparameter(0, 1000, integer=True, doc="rounds between draws of rows; 0: never"),
    "colsample_bytree": Hyperparameter(0.01, 1.0, doc="share of columns per tree"),
    "reg_alpha": Hyperparameter(0.0, 1e6, doc="L1 penalty on leaves"),
    "reg_lambda": Hyperparameter(0.0, 1e6, doc="L2 penalty on leaves"),
    "min_split_gain": Hyperparameter(0.0, 1e12, doc="gain of a split at least"),
    "max_bin": Hyperparameter(3, 4096, integer=True, doc="histogram bins per column"),
    "extra_trees": Hyperparameter(choices=(False, True), doc="one random threshold per column"),
}
ALIASES: Mapping[str, str] = {
    "num_iterations": "n_estimators",
    "num_boost_round": "n_estimators",
    "eta": "learning_rate",
    "min_data_in_leaf": "min_child_samples",
    "bagging_fraction": "subsample",
    "bagging_freq": "subsample_freq",
    "feature_fraction": "colsample_bytree",
    "lambda_l1": "reg_alpha",
    "lambda_l2": "reg_lambda",
    "min_gain_to_split": "min_split_gain",
}
OBJECTIVES: Mapping[Objective, str] = {
    "l1": "regression_l1",
    "l2": "regression",
    "quantile": "quantile",
    "binary": "binary",
}


@dataclass(frozen=True)
class LightGBMBooster:
    """A `lightgbm.Booster`."""

    booster: Any

    @property
    def gain(self) -> dict[str, float]:
        """Total gain per feature that was used at least once."""
        gains = self.booster.feature_importance("gain")
        names = [unquote(name) for name in self.booster.feature_name()]
        return {n: float(g) for n, g in zip(names, gains, strict=True) if g > 0}

    def predict(self, x: Matrix, *, threads: int = 1) -> FloatArray:
        """One number per row of `x`."""
        if not len(x):
            return np.empty(0)
        return np.asarray(self.booster.predict(x, num_threads=threads), dtype=np.float64)

    def to_bytes(self) -> bytes:
        """LightGBM's text format, all rounds."""
        return str(self.booster.model_to_string(num_iteration=-1)).encode()


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
) -> LightGBMBooster:
    """Fit with `lightgbm.train`; see `aihub.training.algorithms.base.Fit`."""
    import lightgbm as lgb  # noqa: PLC0415 - only who trains or predicts pays for the library

    given = dict(params)
    rounds = given.pop("n_estimators", 100)
    settings = {
        **_complete(given),
        "objective": OBJECTIVES[objective],
        "seed": seed,
        "num_threads": threads,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    if quantile is not None:
        settings["alpha"] = quantile
    # The library refuses some signs in a name ("Temperature [C]") and makes underscores of blanks.
    written = {name: quote(name, safe="") for name in names}
    data = lgb.Dataset(
        x,
        y,
        weight=weights,
        feature_name=list(written.values()),
        categorical_feature=[written[name] for name in categorical],
        params=settings,
    )
    return LightGBMBooster(lgb.train(settings, data, num_boost_round=rounds, callbacks=_callbacks(on_round)))


def load(content: bytes) -> LightGBMBooster:
    """Read LightGBM's text format.

    Raises
    ------
    ArtifactError
        LightGBM refuses the text. It may abort the process on some corrupt files: read files of unknown origin
        through `aihub.registry.loading`, which checks them first.
    """
    import lightgbm as lgb  # noqa: PLC0415 - as above

    try:
        return LightGBMBooster(lgb.Booster(model_str=content.decode()))
    except (lgb.basic.LightGBMError, UnicodeDecodeError) as error:
        raise ArtifactError(f"not a LightGBM model ({error}); train the model again") from error


def _complete(given: dict[str, Any]) -> dict[str, Any]:
    """Let a depth without a number of leaves mean what it says in other libraries."""
    depth = given.get("max_depth", -1)
    if depth > 0 and "num_leaves" not in given:
        given["num_leaves"] = min(2**depth, 127)
    if given.get("subsample", 1.0) < 1.0 and "subsample_freq" not in given:
        given["subsample_freq"] = 1
    return given


def _callbacks(on_round: OnRound | None) -> list[Any]:
    if on_round is None:
        return []

    def report(env: Any) -> None:
        on_round((env.iteration + 1) / env.end_iteration)

    return [report]


LGBM = Algorithm(
    name="lgbm", hyperparameters=HYPERPARAMETERS, fit=fit, load=load, suffix=".txt", aliases=ALIASES
)
