from __future__ import annotations

import pytest

from aihub.training.algorithms import ALGORITHMS
from aihub.training.forecast import recipe


@pytest.mark.parametrize("name", ["lgbm", "xgboost"])
@pytest.mark.parametrize("rows", [100, 50_000])
def test_the_algorithm_takes_what_the_recipe_sets(name: str, rows: int) -> None:
    algorithm = ALGORITHMS.get(name)
    for settings in (
        recipe.point_settings(algorithm, {}, rows),
        recipe.quantile_settings(algorithm, {}, rows),
    ):
        assert algorithm.check(settings) == settings


def test_small_tables_get_small_trees() -> None:
    lgbm = ALGORITHMS.get("lgbm")
    small, large = (recipe.point_settings(lgbm, {}, rows) for rows in (500, 5_000))
    for name in ("n_estimators", "num_leaves", "min_child_samples"):
        assert small[name] < large[name]


def test_what_the_user_gives_goes_over_the_recipe() -> None:
    lgbm = ALGORITHMS.get("lgbm")
    plain = recipe.point_settings(lgbm, {}, 5_000)
    given = recipe.point_settings(lgbm, {"num_leaves": 7, "max_depth": 3}, 5_000)
    assert given == {**plain, "num_leaves": 7, "max_depth": 3}


def test_quantiles_take_fewer_rounds_of_larger_steps_and_never_more_than_asked_for() -> None:
    lgbm = ALGORITHMS.get("lgbm")
    point, quantile = (f(lgbm, {}, 5_000) for f in (recipe.point_settings, recipe.quantile_settings))
    assert quantile["n_estimators"] < point["n_estimators"]
    assert quantile["learning_rate"] > point["learning_rate"]
    few = {"n_estimators": 20, "learning_rate": 0.3, "num_leaves": 4}
    assert recipe.quantile_settings(lgbm, few, 5_000).items() >= few.items()
    many = recipe.quantile_settings(lgbm, {"n_estimators": 2_000, "learning_rate": 0.15}, 5_000)
    assert many["learning_rate"] <= 0.2
