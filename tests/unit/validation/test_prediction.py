from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from aihub.errors import ValidationError
from aihub.validation.prediction import answers, config_of, load, needed_columns

TABLE = pd.DataFrame({"x": [1.0, 2.0, 3.0], "z": [0.0, 1.0, 0.0], "y": [2.0, 4.0, 6.0]})


def test_an_estimator_of_scikit_learn_names_its_columns_itself() -> None:
    model = LinearRegression().fit(TABLE[["x", "z"]], TABLE["y"])
    assert needed_columns(model, TABLE, "y") == ("x", "z")
    found = answers(load(model), TABLE, target="y", is_anomaly=False)
    assert found.y_pred.tolist() == pytest.approx([2.0, 4.0, 6.0])
    assert found.score is None
    assert found.interval is None


def test_predictions_that_are_not_labels_are_scores() -> None:
    class Probability:
        feature_names = ("x",)

        def predict(self, data: Any) -> Any:
            return np.asarray(data["x"]) / 4

    class Labels(Probability):
        def predict(self, data: Any) -> Any:
            return np.asarray(data["x"]) > 1

    found = answers(Probability(), TABLE, target="y", is_anomaly=True)
    assert found.score is not None
    assert found.score.tolist() == found.y_pred.tolist()
    assert answers(Labels(), TABLE, target="y", is_anomaly=True).score is None


def test_the_installed_loader_is_asked_for_a_path(tmp_path: Any) -> None:
    with pytest.raises(ValidationError, match=r"^Failed to load model: .*nothing\.aihub"):
        load(tmp_path / "nothing.aihub")
    (tmp_path / "broken.pkl").write_bytes(b"\x80\x04 this is no model")
    with pytest.raises(ValidationError, match=r"^Failed to load model: "):
        load(tmp_path / "broken.pkl")


def test_what_is_neither_a_path_nor_a_model() -> None:
    with pytest.raises(ValidationError, match=r"^Failed to load model: TypeError"):
        load(5)


def test_the_configuration_of_a_model_is_found_in_it_or_in_what_it_wraps() -> None:
    class Holder:
        def __init__(self, **attributes: Any) -> None:
            self.__dict__.update(attributes)

    assert config_of(Holder(config={"horizon": 3})) == {"horizon": 3}
    assert config_of(Holder(model=Holder(config={"horizon": 4}))) == {"horizon": 4}
    assert config_of(Holder()) == {}
