from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from aihub.errors import ConfigError, DataError
from app.services.model_validator import ModelValidator, ValidationError

if TYPE_CHECKING:
    from pathlib import Path


class Linear:
    """A model in memory: load is 800 plus 10 per degree."""

    feature_names = ("temperature",)

    def predict(self, data: Any) -> Any:
        return 800 + 10 * np.asarray(data["temperature"], dtype=float)


def frame(n: int = 500) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    temperature = rng.normal(20, 5, n)
    return pd.DataFrame({"temperature": temperature, "load": 800 + 10 * temperature + rng.normal(0, 10, n)})


@pytest.mark.parametrize(
    "stats",
    [{"mean": float("nan"), "std": 1.0}, {"mean": 1.0, "std": float("inf")}, {"mean": "a"}, {"std": -1}],
)
def test_training_statistics_that_are_no_numbers_never_pass(stats: dict[str, Any]) -> None:
    results = ModelValidator("forecast").validate_model(
        Linear(), frame(), "load", training_data_stats={"temperature": stats}
    )
    assert not results["passed"]
    assert "cannot be judged" in results["failures"][0]


@pytest.mark.parametrize("given", [[1], {"temperature": None}, {"temperature": 20}])
def test_training_statistics_of_another_form_are_refused(given: Any) -> None:
    with pytest.raises(DataError, match="mean and std per column"):
        ModelValidator("forecast").validate_model(Linear(), frame(), "load", training_data_stats=given)


@pytest.mark.parametrize("given", [[1], {"mae": None}, {"mae": "x"}, {"mae": {"a": 1}}, {"mae": 10**400}])
def test_a_baseline_that_is_no_number_is_refused(given: Any) -> None:
    with pytest.raises(DataError, match="baseline"):
        ModelValidator("forecast").validate_model(Linear(), frame(), "load", baseline_metrics=given)


def test_a_limit_beyond_every_float_is_refused() -> None:
    with pytest.raises(ConfigError, match="finite"):
        ModelValidator("forecast", thresholds={"mae": {"max": 10**400}})


def test_a_metric_that_is_infinite_is_not_better() -> None:
    found = ModelValidator("forecast").check_baseline_comparison({"mae": -math.inf}, {"mae": 1.0})
    assert not found["passed"]


def test_labels_other_than_zero_and_one_are_refused() -> None:
    data = frame()
    data["odd"] = np.where(np.arange(len(data)) % 7 == 0, -1, 1)
    with pytest.raises(DataError, match="give 1 for an anomaly"):
        ModelValidator("anomaly").validate_model(Linear(), data, "odd")


def test_a_model_that_ends_the_process_cannot_predict() -> None:
    class Quitter(Linear):
        def predict(self, data: Any) -> Any:
            raise SystemExit(len(data) * 0)

    with pytest.raises(ValidationError, match="Failed to generate predictions"):
        ModelValidator("forecast").validate_model(Quitter(), frame(), "load")


def test_what_is_no_plain_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "wide.csv").write_text(",".join(f"c{i}" for i in range(300_000)))
    validator = ModelValidator("forecast")
    with pytest.raises(DataError, match=r"pipe\.csv.*no regular one"):
        validator.validate_model(Linear(), tmp_path / "pipe.csv", "load")
    with pytest.raises(DataError, match="no line end"):
        validator.validate_model(Linear(), tmp_path / "wide.csv", "load")
    with pytest.raises(DataError, match="no regular one"):
        validator.validate_model(Linear(), frame(), "load", training_profile=tmp_path / "pipe.csv")
    with pytest.raises(DataError, match="as text"):
        validator.validate_model(Linear(), frame(), 3)  # type: ignore[arg-type]
