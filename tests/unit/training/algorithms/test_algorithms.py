from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from aihub.errors import ArtifactError, ConfigError, NotFoundError
from aihub.training.algorithms import ALGORITHMS
from aihub.training.algorithms.base import Booster

if TYPE_CHECKING:
    from aihub.training.algorithms import Algorithm, Objective

NAMES = ("one", "two", "group")


def _data(n: int = 600) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=n), rng.normal(size=n), rng.integers(0, 4, n)]).astype(np.float32)
    x[::50, 1] = np.nan
    return x, 3 * x[:, 0] + 5 * (x[:, 2] == 2) + rng.normal(size=n) * 0.1


@pytest.fixture(params=["lgbm", "xgboost"])
def algorithm(request: pytest.FixtureRequest) -> Algorithm:
    return ALGORITHMS.get(request.param)


def _fit(algorithm: Algorithm, **fields: Any) -> Booster:
    x, y = _data()
    given = {
        "params": algorithm.check({"n_estimators": 60, "learning_rate": 0.2}),
        "objective": "l2",
        **fields,
    }
    return algorithm.fit(x, y, names=NAMES, categorical=("group",), **given)


@pytest.mark.parametrize("objective", ["l1", "l2"])
def test_it_learns_and_says_from_what(algorithm: Algorithm, objective: Objective) -> None:
    x, y = _data()
    booster = _fit(algorithm, objective=objective)
    assert isinstance(booster, Booster)
    assert np.abs(booster.predict(x) - y).mean() < 0.3 * np.abs(y - y.mean()).mean()
    assert booster.gain["one"] > booster.gain.get("two", 0.0)
    assert booster.predict(x[:0]).shape == (0,)


def test_bytes_give_the_same_booster_back(algorithm: Algorithm) -> None:
    x, _ = _data()
    booster = _fit(algorithm)
    again = algorithm.load(booster.to_bytes())
    np.testing.assert_array_equal(again.predict(x), booster.predict(x))
    assert again.to_bytes() == booster.to_bytes() or algorithm.name == "lgbm"
    assert _fit(algorithm).to_bytes() == booster.to_bytes()


def test_quantiles_are_on_both_sides(algorithm: Algorithm) -> None:
    x, y = _data()
    low, high = (_fit(algorithm, objective="quantile", quantile=q).predict(x) for q in (0.05, 0.95))
    assert 0.7 < ((low <= y) & (y <= high)).mean() <= 1.0
    assert (high - low).mean() > 0


def test_labels_give_probabilities(algorithm: Algorithm) -> None:
    x, y = _data()
    booster = algorithm.fit(
        x,
        (y > 1).astype(float),
        names=NAMES,
        params=algorithm.check({"n_estimators": 20}),
        objective="binary",
    )
    p = booster.predict(x)
    assert ((p > 0) & (p < 1)).all()
    assert p[y > 2].mean() > p[y < 0].mean()


def test_rounds_are_reported_and_an_exception_ends_the_fit(algorithm: Algorithm) -> None:
    seen: list[float] = []
    _fit(algorithm, on_round=seen.append)
    assert len(seen) == 60
    assert seen[-1] == 1.0

    def stop(done: float) -> None:
        if done > 0.1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _fit(algorithm, on_round=stop)


def test_the_settings_of_the_guide_are_taken(algorithm: Algorithm) -> None:
    given = {"n_estimators": 100, "learning_rate": 0.1, "max_depth": 7}
    assert algorithm.check(given) == given
    x, y = _data()
    booster = _fit(algorithm, params=given)
    assert np.abs(booster.predict(x) - y).mean() < 1


def test_aliases_and_trees_by_leaves(algorithm: Algorithm) -> None:
    assert algorithm.check({"eta": 0.3})["learning_rate"] == 0.3
    x, _ = _data()
    small = _fit(
        algorithm, params=algorithm.check({"n_estimators": 1, "num_leaves": 2, "learning_rate": 1.0})
    )
    assert len(np.unique(small.predict(x))) == 2


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("n_estimators", float("nan"), "finite number"),
        ("n_estimators", 1.5, "whole number"),
        ("n_estimators", 0, "from 1 to"),
        ("n_estimators", True, "finite number"),
        ("n_estimators", "100", "finite number"),
        ("learning_rate", float("inf"), "finite number"),
        ("learning_rate", 0, "from 0.0001 to 1"),
        ("forcedsplits_filename", "/etc/passwd", "not one that"),
        ("machines", "10.0.0.1:80", "not one that"),
        ("n_estimatrs", 100, "Did you mean 'n_estimators'"),
    ],
)
def test_settings_that_are_refused(algorithm: Algorithm, name: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        algorithm.check({name: value})
    assert caught.value.field == f"hyperparameters.{name}"


def test_one_setting_under_two_names_is_refused(algorithm: Algorithm) -> None:
    with pytest.raises(ConfigError, match="given twice"):
        algorithm.check({"eta": 0.1, "learning_rate": 0.1})


def test_what_is_no_model_is_refused(algorithm: Algorithm) -> None:
    with pytest.raises(ArtifactError, match="train the model again"):
        algorithm.load(b"no model at all")


def test_an_unknown_algorithm_is_answered_with_the_nearest() -> None:
    with pytest.raises(NotFoundError, match="Did you mean 'lgbm'"):
        ALGORITHMS.get("lgb")


@pytest.mark.parametrize(
    "algorithm", [ALGORITHMS.get("lgbm"), ALGORITHMS.get("xgboost")], ids=["lgbm", "xgboost"]
)
def test_any_name_of_a_column_is_only_a_name(algorithm: Algorithm) -> None:
    rng = np.random.default_rng(0)
    names = ('a"b,{c}:[1] <é>', "a b", "100 %")
    x = rng.normal(size=(300, 3)).astype(np.float32)
    booster = algorithm.fit(
        x, x.sum(axis=1).astype(np.float64), names=names, params={"n_estimators": 5}, objective="l2"
    )
    assert set(booster.gain) == set(names)
    again = algorithm.load(booster.to_bytes())
    assert set(again.gain) == set(names)
    np.testing.assert_allclose(again.predict(x), booster.predict(x))
