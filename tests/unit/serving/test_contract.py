from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from aihub.errors import DataError
from aihub.serving.contract import Column, Contract, Role, Unseen

CONTRACT = Contract(
    (
        Column("at", Role.TIME),
        Column("meter", Role.SERIES),
        Column("t", Role.NUMBER),
        Column("sky", Role.CATEGORY, ("clear", "rain")),
    )
)
GOOD: dict[str, Any] = {"at": "2026-01-01T00:00:00Z", "meter": "m1", "t": 1.5, "sky": "rain"}
BAD: list[tuple[dict[str, Any], str]] = [
    ({"t": "1.5"}, "column 't', row 2: is text where the model takes a number"),
    ({"t": True}, "column 't', row 2: is true or false"),
    ({"t": [1]}, "column 't', row 2: is a list"),
    ({"t": float("inf")}, "column 't', row 2: is not a finite number"),
    ({"t": float("nan")}, "column 't', row 2: is not a finite number"),
    ({"sky": 3}, "column 'sky', row 2: is a number where the model takes a category"),
    ({"at": 1_700_000_000}, "column 'at', row 2: is a number where the model takes a time stamp"),
    ({"at": None}, "column 'at', row 2: is empty"),
    ({"meter": None}, "column 'meter', row 2: is empty"),
    ({"extra": 1}, "column 'extra', row 2: is not in the model's schema"),
]


@pytest.mark.parametrize(("change", "message"), BAD, ids=lambda value: str(value)[:40])
def test_a_row_that_does_not_fit_is_refused_by_column_and_row(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        CONTRACT.records([GOOD, {**GOOD, **change}])
    assert message in str(caught.value)
    if "extra" not in change:
        with pytest.raises(DataError) as caught:
            CONTRACT.by_column({name: [GOOD[name], {**GOOD, **change}[name]] for name in GOOD})
        assert message in str(caught.value)


def test_a_missing_column_is_named_with_what_may_have_been_meant() -> None:
    row = {**GOOD, "temp": 1.0}
    del row["t"]
    with pytest.raises(DataError, match="column 't', row 1: is missing"):
        CONTRACT.records([row])
    with pytest.raises(DataError, match="column 't': is missing"):
        CONTRACT.by_column({name: [value] for name, value in row.items()})


@pytest.mark.parametrize("records", [[1], [None], [[1, 2, 3, 4]], ["text"]])
def test_what_is_no_object_is_no_row(records: list[Any]) -> None:
    with pytest.raises(DataError, match="row 1"):
        CONTRACT.records(records)


def test_null_is_a_missing_number_and_a_missing_category() -> None:
    rows = CONTRACT.records([{**GOOD, "t": None, "sky": None}, GOOD])
    assert np.isnan(rows.numbers(2)).tolist() == [True, False]
    assert rows.column(3) == [None, "rain"]
    numeric = Contract((Column("a", Role.NUMBER), Column("b", Role.NUMBER)))
    found = numeric.records([{"a": None, "b": 1}, {"b": 4, "a": 3}]).matrix(2)
    assert np.array_equal(found, [[np.nan, 1], [3, 4]], equal_nan=True)


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(DataError, match="column 't': has 2 values where 'at' has 1"):
        CONTRACT.by_column({**{name: [value] for name, value in GOOD.items()}, "t": [1, 2]})
    with pytest.raises(DataError, match="column 't': is not a list"):
        CONTRACT.by_column({**{name: [value] for name, value in GOOD.items()}, "t": 1})


def test_an_unseen_category_follows_the_policy() -> None:
    rows = [{**GOOD, "sky": "clear"}, {**GOOD, "sky": "snow"}]
    assert CONTRACT.records(rows).column(3) == ["clear", "snow"]
    strict = Contract(CONTRACT.columns, Unseen.REFUSE)
    with pytest.raises(
        DataError, match="column 'sky', row 2: 'snow' is a category that the model has not seen"
    ):
        strict.records(rows)


def test_huge_numbers_whose_sum_overflows_are_still_numbers() -> None:
    numeric = Contract((Column("a", Role.NUMBER), Column("b", Role.NUMBER)))
    assert numeric.records([{"a": 1e308, "b": 1e308}]).matrix(2).tolist() == [[1e308, 1e308]]


def test_a_single_column_is_a_row_too() -> None:
    assert Contract((Column("a", Role.NUMBER),)).records([{"a": 1}]).by_row == [(1,)]


def test_a_row_of_many_other_names_is_refused_in_no_time() -> None:
    contract = Contract(tuple(Column(f"feature {n}", Role.NUMBER) for n in range(10_000)))
    began = time.process_time()
    with pytest.raises(DataError, match="is missing"):
        contract.records([{f"other {n}": 1.0 for n in range(10_000)}], may_hold_flags=False)
    assert time.process_time() - began < 0.3
