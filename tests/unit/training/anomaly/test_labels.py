from __future__ import annotations

import numpy as np
import pytest

from aihub.errors import DataError
from aihub.training.anomaly.labels import MIN_POSITIVES, check_labels, is_labelled
from aihub.training.config import TrainingConfig


def _config(*, labels: bool | None = None) -> TrainingConfig:
    return TrainingConfig(model_type="anomaly", target="y", labels=labels)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ([0, 1, 1], True),
        ([0.0, np.nan, 1.0], True),
        ([0, 2], False),
        ([0.5], False),
        ([np.nan], False),
        ([], False),
    ],
)
def test_nothing_but_zeros_and_ones_is_a_label(target: list[float], expected: bool) -> None:  # noqa: FBT001
    assert is_labelled(_config(), np.array(target, dtype=np.float64)) is expected


def test_the_config_decides_where_it_says() -> None:
    assert is_labelled(_config(labels=False), np.array([0.0, 1.0])) is False
    assert is_labelled(_config(labels=True), np.array([0.0, 1.0])) is True


@pytest.mark.parametrize(("target", "found"), [([0.0, 7.0], "found 7"), ([np.nan], "no value at all")])
def test_a_label_that_is_none_is_refused(target: list[float], found: str) -> None:
    with pytest.raises(DataError, match=found):
        is_labelled(_config(labels=True), np.array(target))


def test_as_many_of_either_as_are_needed_are_enough_and_one_fewer_is_not() -> None:
    enough = np.array([1.0] * MIN_POSITIVES + [0.0] * MIN_POSITIVES)
    check_labels(_config(), enough)
    for fewer in (enough[1:], enough[:-1]):
        with pytest.raises(DataError, match=f"only {MIN_POSITIVES - 1} "):
            check_labels(_config(), fewer)
