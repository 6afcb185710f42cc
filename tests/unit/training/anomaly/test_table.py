from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from aihub.errors import DataError
from aihub.training.anomaly.table import Columns, Rows, read_rows

COLUMNS = Columns(
    timestamp="t",
    series_id="meter",
    numeric=("x",),
    categorical={"kind": ("a", "b")},
    watched=None,
    stamp_zone="Europe/Berlin",
)
FRAME = pl.DataFrame(
    {
        "t": ["2024-01-01 01:00:00", "2024-07-01 02:00:00"],
        "meter": ["m", None],
        "x": [1.0, float("inf")],
        "kind": ["b", "new"],
    }
)


def test_stamps_without_offset_are_of_the_zone_and_what_is_unknown_is_missing() -> None:
    rows = read_rows(FRAME, COLUMNS)
    stamps = rows.times.astype("datetime64[us]").astype(str).tolist()
    assert stamps == ["2024-01-01T00:00:00.000000", "2024-07-01T00:00:00.000000"]
    assert rows.series.tolist() == ["m", ""]
    np.testing.assert_array_equal(rows.values["x"], [1.0, np.nan])
    np.testing.assert_array_equal(rows.values["kind"], [1.0, np.nan])


def test_history_may_lack_features_but_not_the_time() -> None:
    assert np.isnan(read_rows(FRAME.drop("x"), COLUMNS, is_history=True).values["x"]).all()
    with pytest.raises(DataError, match="'t'"):
        read_rows(FRAME.drop("t"), COLUMNS, is_history=True)


@pytest.mark.parametrize("stamp", ["noon", "2024-03-31 02:30:00"])
def test_a_time_that_is_none_is_named_with_its_row(stamp: str) -> None:
    with pytest.raises(DataError) as refused:
        read_rows(FRAME.with_columns(t=pl.Series(["2024-01-01 01:00:00", stamp])), COLUMNS)
    assert "row 2" in str(refused.value)


def test_rows_of_the_past_give_way_to_newer_ones_of_the_same_series_and_time() -> None:
    old = read_rows(FRAME, COLUMNS)
    new = read_rows(FRAME[:1].with_columns(x=pl.lit(9.0)), COLUMNS)
    assert old.before(new).values["x"].tolist()[1:] == [9.0]
    assert len(old.before(new)) == 2


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(DataError, match="is not a table"):
        read_rows([1, 2], COLUMNS)


def test_survive_json() -> None:
    rows = read_rows(FRAME, COLUMNS)
    again = Rows.from_state(json.loads(json.dumps(rows.to_state(), allow_nan=False)))
    np.testing.assert_array_equal(again.values["x"], rows.values["x"])
    assert again.times.tolist() == rows.times.tolist()
    assert Columns.from_state(json.loads(json.dumps(COLUMNS.to_state()))) == COLUMNS
