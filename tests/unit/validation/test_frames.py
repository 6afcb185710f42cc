from __future__ import annotations

import datetime as dt
import math
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from aihub.errors import DataError
from aihub.validation.frames import column_names, columns, n_rows, numeric_names, select
from aihub.validation.vectors import floats, timestamps_utc

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


def test_numeric_names_are_found_without_converting() -> None:
    assert numeric_names(columns(TABLES["polars"])) == ("x", "flag")
    assert numeric_names({"a": np.ones(2), "b": np.array(["x", "y"], dtype=object)}) == ("a",)


@pytest.mark.parametrize("scalar", [5, None, 1.5])
def test_a_single_value_is_no_column(scalar: float | None) -> None:
    with pytest.raises(DataError, match="is no column"):
        floats(scalar, "y_true")
    with pytest.raises(DataError, match=r"'x'.*is no column"):
        columns({"x": scalar})
