"""A model that was trained elsewhere, and tables to judge it on: the load follows temperature and humidity, with noise of 1."""

from __future__ import annotations

import lightgbm
import numpy as np

FEATURES = ("temperature", "humidity")
SECTION = {"thresholds": {"mae": {"max": 5.0}, "rmse": {"max": 8.0}}}
"""What a good model of it keeps."""


def rows(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features and load."""
    random = np.random.default_rng(seed)
    features = np.column_stack([random.normal(10, 5, count), random.normal(60, 10, count)])
    return features, 100 + 3 * features[:, 0] + 0.5 * features[:, 1] + random.normal(0, 1, count)


def booster(seed: int = 0, rounds: int = 60) -> bytes:
    """A LightGBM model as its library writes it; few rounds make a poor one."""
    features, load = rows(2000, seed)
    data = lightgbm.Dataset(features, load, feature_name=list(FEATURES))
    params = {"verbose": -1, "num_threads": 1, "deterministic": True}
    return str(lightgbm.train(params, data, num_boost_round=rounds).model_to_string()).encode()


def table(seed: int = 9, *, factor: float = 1.0, count: int = 720, missing: int = 0) -> bytes:
    """Rows that no model has seen, as CSV; of the first `missing` nobody knows the load."""
    features, load = rows(count, seed)
    stamps = np.datetime64("2025-01-01T00", "h") + np.arange(count)
    known = ["" if row < missing else f"{value * factor:.4f}" for row, value in enumerate(load)]
    lines = [f"{at},{t:.4f},{h:.4f},{y}" for at, (t, h), y in zip(stamps, features, known, strict=True)]
    return "\n".join(["timestamp,temperature,humidity,load", *lines]).encode()
