# ruff: noqa: PLC0415 - the model libraries take seconds to import, which tests left out should not cost
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


def _data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    rows = rng.normal(size=(300, 4))
    rows[:, 3] = rng.integers(0, 12, 300)
    rows[::7, 1] = np.nan
    return rows, np.nan_to_num(rows) @ np.array([1.0, 2.0, 0.0, 0.3]) + rng.normal(size=300)


@pytest.fixture(scope="session")
def rows() -> np.ndarray:
    return _data()[0]


@pytest.fixture(scope="session")
def train_lightgbm() -> Callable[..., bytes]:
    """Text of a small LightGBM model with the parameters given."""
    import lightgbm

    def train(
        rounds: int = 3, *, target: np.ndarray | None = None, categories: bool = False, **parameters: object
    ) -> bytes:
        rows, y = _data()
        if parameters.get("linear_tree"):
            rows = np.nan_to_num(rows)
        given = {"num_leaves": 5, "verbose": -1, "num_threads": 1, "min_data_in_leaf": 5, **parameters}
        table = lightgbm.Dataset(
            rows,
            y if target is None else target,
            feature_name=["a", "b", "c", "d"],
            categorical_feature=["d"] if categories else "auto",
        )
        return lightgbm.train(given, table, rounds).model_to_string().encode()

    return train


@pytest.fixture(scope="session")
def train_xgboost() -> Callable[..., bytes]:
    """A small XGBoost model with the parameters given, as UBJSON or JSON."""
    import xgboost

    def train(
        rounds: int = 3,
        *,
        form: str = "ubj",
        target: np.ndarray | None = None,
        categories: bool = False,
        **parameters: object,
    ) -> bytes:
        rows, y = _data()
        table = xgboost.DMatrix(
            rows,
            y if target is None else target,
            feature_names=["a", "b", "c", "d"],
            feature_types=["q", "q", "q", "c"] if categories else None,
            enable_categorical=categories,
            nthread=1,
        )
        given = {"max_depth": 3, "nthread": 1, **parameters}
        return bytes(xgboost.train(given, table, rounds).save_raw(form))

    return train
