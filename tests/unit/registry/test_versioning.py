from __future__ import annotations

from dataclasses import dataclass

import pytest

from aihub.errors import InputError, NotFoundError
from aihub.registry.versioning import (
    SemanticVersion,
    canonical_json,
    check_name,
    following,
    identity,
    resolve,
)

CONFIG = {
    "model_type": "forecast",
    "features": ["temperature"],
    "target": "load",
    "algorithm": "lgbm",
    "seed": 0,
}
V = SemanticVersion(1, 2, 3)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"target": "price"}, "v2.0.0"),
        ({"features": ["temperature", "humidity"]}, "v2.0.0"),
        ({"horizon": 48}, "v2.0.0"),
        ({"model_type": "anomaly"}, "v2.0.0"),
        ({"algorithm": "xgboost"}, "v1.3.0"),
        ({"hyperparameters": {"n_estimators": 5}}, "v1.3.0"),
        ({"seed": 1}, "v1.3.0"),
        ({"training_end": "2025-01-01"}, "v1.2.4"),
        ({"threads": 4}, "v1.2.4"),
        ({"calendar": None}, "v1.2.4"),
        ({}, "v1.2.4"),
    ],
)
def test_the_version_follows_from_what_changed(change: dict[str, object], expected: str) -> None:
    assert str(following(V, identity(CONFIG), identity({**CONFIG, **change}))) == expected


def test_the_first_version_is_1_0_0() -> None:
    assert str(following(None, None, identity(CONFIG))) == "v1.0.0"


@dataclass(frozen=True)
class Row:
    number: int
    semantic: SemanticVersion
    git_commit: str | None


VERSIONS = [
    Row(1, SemanticVersion(1, 0, 0), "a" * 40),
    Row(2, SemanticVersion(1, 0, 1), "1234567" + "b" * 33),
    Row(3, SemanticVersion(1, 1, 0), "a" * 40),
    Row(4, SemanticVersion(2, 0, 0), None),
]


@pytest.mark.parametrize(
    ("reference", "number"),
    [(1, 1), ("2", 2), ("v1.0.1", 2), ("1.1.0", 3), ("1234567", 2), ("1234567B", 2), (" 4 ", 4)],
)
def test_a_version_has_three_names(reference: str | int, number: int) -> None:
    assert resolve(reference, VERSIONS, model="m").number == number


def test_a_commit_of_two_versions_is_refused_with_both() -> None:
    with pytest.raises(InputError, match=r"2 versions.*v1\.0\.0, v1\.1\.0"):
        resolve("a" * 40, VERSIONS, model="m")


@pytest.mark.parametrize("reference", ["9", "v9.0.0", "fffffff", "7654321"])
def test_an_unknown_version_is_not_found(reference: str) -> None:
    with pytest.raises(NotFoundError):
        resolve(reference, VERSIONS, model="m")


@pytest.mark.parametrize("reference", ["", "latest", "abc", "v1", "-1", "1.2", "v1.2.3.4", "\u0661"])
def test_other_words_are_refused(reference: str) -> None:
    with pytest.raises(InputError):
        resolve(reference, VERSIONS, model="m")


@pytest.mark.parametrize("name", ["", "A", "a b", "-a", ".a", "a/b", "ä", "a" * 65, "a\n", "a\0"])
def test_names_are_narrow(name: str) -> None:
    with pytest.raises(InputError):
        check_name(name)


def test_a_name_in_capitals_gets_a_suggestion() -> None:
    with pytest.raises(InputError, match="did you mean 'forecast_lgbm'"):
        check_name("Forecast_LGBM")


def test_canonical_json_refuses_nan() -> None:
    with pytest.raises(InputError, match="JSON"):
        canonical_json({"x": float("nan")})
