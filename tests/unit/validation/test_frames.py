from __future__ import annotations

import datetime as dt
import decimal
import math
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from aihub.errors import DataError
from aihub.validation.frames import (
    codes,
    column_names,
    columns,
    floats,
    n_rows,
    numeric_names,
    select,
    timestamps_utc,
)

DATA = {
    "x": [1, 2, None],
    "text": ["a", None, "b"],
    "flag": [True, False, None],
    "at": [dt.datetime(2024, 1, 1), None, dt.datetime(2024, 1, 2)],  # noqa: DTZ001
}
TABLES = {
    "pandas": pd.DataFrame(DATA),
    "polars": pl.DataFrame(DATA),
    "arrow": pa.table(DATA),
    "mapping": DATA,
    "lazy": pl.LazyFrame(DATA),
}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_library_gives_the_same_columns(table: Any) -> None:
    found = columns(table)
    assert list(found) == list(DATA)
    assert found["x"].dtype == np.float64
    assert found["x"].tolist()[:2] == [1.0, 2.0]
    assert math.isnan(found["x"][2])
    assert found["text"].tolist() == ["a", None, "b"]
    assert found["flag"].astype(float).tolist()[:2] == [1.0, 0.0]
    assert timestamps_utc(found["at"]).astype(str).tolist() == [
        "2024-01-01T00:00:00.000000",
        "NaT",
        "2024-01-02T00:00:00.000000",
    ]
    assert n_rows(table) == 3


def test_float64_without_nulls_is_not_copied() -> None:
    values = np.arange(5.0)
    assert np.shares_memory(columns({"x": values})["x"], values)
    frame = pl.DataFrame({"x": values})
    assert (
        columns(frame)["x"].__array_interface__["data"] == frame["x"].to_numpy().__array_interface__["data"]
    )


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow", "mapping"])
def test_select_keeps_the_library_and_the_order(kind: Any) -> None:
    found = select(TABLES[kind], ["text", "x"])
    assert type(found) is type(TABLES[kind])
    assert column_names(found) == ("text", "x")
    with pytest.raises(DataError, match=r"column 'txet'.*Did you mean 'text'"):
        select(TABLES[kind], ["txet"])


def test_only_names_that_exist() -> None:
    assert list(columns(DATA, only=["x"])) == ["x"]
    with pytest.raises(DataError, match="no such column"):
        columns(DATA, only=["y"])
    with pytest.raises(KeyError):
        columns(DATA)["y"]


@pytest.mark.parametrize("table", [3, "text", [1, 2], np.ones(3), None])
def test_what_is_no_table_is_refused(table: Any) -> None:
    with pytest.raises(DataError, match="no table"):
        columns(table)


def test_tables_that_contradict_themselves_are_refused() -> None:
    with pytest.raises(DataError, match="different lengths"):
        columns({"a": [1], "b": [1, 2]})
    with pytest.raises(DataError):
        columns(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(DataError, match="no text"):
        columns({1: [1]})


@pytest.mark.parametrize(
    "values",
    [
        [1, 2.5, None],
        (1, 2.5, float("nan")),
        pd.Series([1, 2.5, None]),
        pl.Series([1.0, 2.5, None]),
        pd.array([1, 2.5, None]),
    ],
    ids=["list", "tuple", "pandas", "polars", "extension"],
)
def test_floats_of_anything(values: Any) -> None:
    found = floats(values)
    assert found[:2].tolist() == [1.0, 2.5]
    assert math.isnan(found[2])


def test_floats_of_odd_shapes_and_types() -> None:
    assert floats(np.ones((4, 1))).shape == (4,)
    assert floats(pd.DataFrame({"p": [1, 2]})).tolist() == [1.0, 2.0]
    assert floats([decimal.Decimal("1.5"), None])[0] == 1.5
    assert floats(np.array([1, 2], dtype=np.int8)).dtype == np.float64
    with pytest.raises(DataError, match="one number per row"):
        floats(np.ones((2, 2)))
    with pytest.raises(DataError, match=r"row 2.*'b' is no number"):
        floats([1, "b"])
    with pytest.raises(DataError, match="no numbers"):
        floats(np.array(["2024-01-01"], dtype="datetime64[D]"))


@pytest.mark.parametrize("kind", [list, pd.Series, pl.Series, np.array, lambda v: pl.Series(v).cast(pl.Categorical), lambda v: pd.Series(v, dtype="category"), lambda v: pa.chunked_array([v]), lambda v: pa.chunked_array([pa.array(v).dictionary_encode()])])  # fmt: skip
def test_codes_name_each_row(kind: Any) -> None:
    values = ["b", "a", None, "b"]
    found, names = codes(kind(values))
    assert [None if c < 0 else names[c] for c in found] == values


def test_codes_of_nothing() -> None:
    found, names = codes(pl.Series([], dtype=pl.Categorical))
    assert (found.tolist(), names) == ([], [])
    found, names = codes(pl.Series([None, None], dtype=pl.String))
    assert (found.tolist(), names) == ([-1, -1], [])


def test_numeric_names_are_found_without_converting() -> None:
    assert numeric_names(columns(TABLES["polars"])) == ("x", "flag")
    assert numeric_names({"a": np.ones(2), "b": np.array(["x", "y"], dtype=object)}) == ("a",)


def test_time_stamps_of_any_zone_and_form() -> None:
    aware = pd.Series(pd.to_datetime(["2024-01-01T02:00+02:00"]))
    expected = ["2024-01-01T00:00:00.000000"]
    for values in (aware, pl.Series(["2024-01-01T00:00"]), ["2024-01-01T02:00+02:00"], [dt.datetime(2024, 1, 1, tzinfo=dt.UTC)], np.array(["2024-01-01"], dtype="datetime64[D]")):  # fmt: skip
        assert timestamps_utc(values).astype(str).tolist() == expected
    with pytest.raises(DataError, match=r"column 'when'.*ISO 8601"):
        timestamps_utc(["yesterday"], "when")
    with pytest.raises(DataError, match="not a time stamp"):
        timestamps_utc([3.5])


def test_what_is_masked_is_missing() -> None:
    masked = np.ma.MaskedArray([1.0, 2.0, 3.0], mask=[False, True, False])
    assert np.isnan(floats(masked)).tolist() == [False, True, False]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_whole_number_beyond_every_float_is_infinite(sign: int) -> None:
    huge = sign * 10**400
    assert floats([1, huge])[1] == sign * math.inf
    assert floats(pd.Series([decimal.Decimal(1), huge], dtype=object))[1] == sign * math.inf


@pytest.mark.parametrize("scalar", [5, None, 1.5])
def test_a_single_value_is_no_column(scalar: float | None) -> None:
    with pytest.raises(DataError, match="is no column"):
        floats(scalar, "y_true")
    with pytest.raises(DataError, match=r"'x'.*is no column"):
        columns({"x": scalar})
