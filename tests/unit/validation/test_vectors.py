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
from aihub.validation.vectors import codes, floats, timestamps_utc


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
