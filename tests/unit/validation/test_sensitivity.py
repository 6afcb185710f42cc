from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from aihub.types import ModelType
from aihub.validation import sensitivity
from aihub.validation.checks.base import Subject


class Model:
    feature_names = ("x",)

    def predict(self, data: Any) -> np.ndarray:
        return np.asarray(data["x"], dtype=np.float64)


X = np.random.default_rng(0).normal(size=300)


def test_a_smooth_model_barely_moves_and_a_jumpy_one_does() -> None:
    smooth = sensitivity.noise_response(lambda t: np.asarray(t["x"]), {"x": X})
    jumpy = sensitivity.noise_response(lambda t: np.sin(1e4 * np.asarray(t["x"])), {"x": X})
    assert smooth.ratio == pytest.approx(0.01, rel=0.3)
    assert jumpy.ratio > 0.5
    assert jumpy.worst_share > 0.3


def test_codes_and_texts_get_no_noise() -> None:
    seen: list[Any] = []

    def predict(table: Any) -> np.ndarray:
        seen.append((table["hour"].to_list(), table["kind"].to_list()))
        return np.asarray(table["x"])

    columns = {"x": X, "hour": np.arange(300.0) % 24, "kind": np.array(["a", None] * 150, dtype=object)}
    sensitivity.noise_response(predict, columns)
    assert seen[0] == seen[1]


def test_the_noise_is_seeded() -> None:
    first, second = (
        sensitivity.noise_response(lambda t: np.asarray(t["x"]), {"x": X}, seed=4) for _ in range(2)
    )
    assert first == second


def test_answers_lost_to_noise_are_counted() -> None:
    found = sensitivity.noise_response(
        lambda t: np.where(np.isin(np.asarray(t["x"]), X), 1.0, np.nan), {"x": X}
    )
    assert found.unanswered == 300
    assert found.rows == 0
    assert np.isnan(found.ratio)


def test_what_the_model_needs_must_be_there() -> None:
    with pytest.raises(sensitivity.UnusableError, match="'x'"):
        sensitivity.first_rows(
            Subject(model_type=ModelType.FORECAST, features={"y": X}, y_pred=X, predictor=Model()), 5
        )
    with pytest.raises(sensitivity.UnusableError, match="not at hand"):
        sensitivity.first_rows(Subject(model_type=ModelType.FORECAST, features={"x": X}, y_pred=X), 5)
    table = sensitivity.first_rows(
        Subject(model_type=ModelType.FORECAST, features={"x": X}, y_pred=X, predictor=Model()), 5
    )
    assert Model().predict(table).tolist() == X[:5].tolist()
