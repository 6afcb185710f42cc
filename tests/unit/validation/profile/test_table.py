from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aihub.errors import DataError
from aihub.validation.metrics import classification_metrics, regression_metrics
from aihub.validation.profile import CategorySummary, NumericSummary, Profile, ProfileSpec

if TYPE_CHECKING:
    from pathlib import Path

START = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


def rows(n: int, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    load = rng.normal(1000, 100, n)
    return pl.DataFrame(
        {
            "timestamp": [START + dt.timedelta(hours=i) for i in range(n)],
            "load": load,
            "prediction": load + rng.normal(0, 10, n),
            "count": rng.integers(0, 9, n),
            "open": rng.random(n) < 0.5,
            "site": rng.choice(["a", "b", "c"], n),
        }
    )


SPEC = ProfileSpec(target="load", prediction="prediction", timestamp="timestamp")


def test_every_library_gives_the_same_profile() -> None:
    table = rows(300)
    expected = Profile.of(table, SPEC).to_bytes()
    categorical = table.with_columns(pl.col("site").cast(pl.Categorical))
    arrays = {name: table[name].to_numpy() for name in table.columns}
    arrays["timestamp"] = table["timestamp"].dt.replace_time_zone(None).to_numpy()
    for other in (
        table.to_pandas(),
        table.to_arrow(),
        categorical,
        categorical.to_pandas(),
        categorical.to_arrow(),
        arrays,
    ):
        assert Profile.of(other, SPEC).to_bytes() == expected


def test_kinds_of_columns() -> None:
    found = Profile.of(rows(50)).columns
    assert {name: summary.kind for name, summary in found.items() if isinstance(summary, NumericSummary)} == {
        "timestamp": "time",
        "load": "number",
        "prediction": "number",
        "count": "number",
        "open": "number",
    }
    assert isinstance(found["site"], CategorySummary)


@settings(max_examples=25)
@given(st.integers(0, 40), st.integers(0, 40))
def test_merging_parts_equals_the_whole(cut: Any, other: Any) -> None:
    table = rows(90)
    first, last = sorted((cut, other))
    parts = [Profile.of(t, SPEC) for t in (table[:first], table[first:last], table[last:])]
    whole = Profile.of(table, SPEC)
    for merged in (parts[0].merge(parts[1]).merge(parts[2]), parts[2].merge(parts[0].merge(parts[1]))):
        assert merged.rows == 90
        assert (merged.start, merged.end) == (whole.start, whole.end)
        assert dict(merged.columns["site"].counts) == dict(whole.columns["site"].counts)
        assert merged.columns["load"].std == pytest.approx(whole.columns["load"].std)
        assert (
            merged.columns["load"].histogram.counts.tolist()
            == whole.columns["load"].histogram.counts.tolist()
        )
        assert merged.cells["load"].n.tolist() == whole.cells["load"].n.tolist()
        assert merged.metrics() == pytest.approx(whole.metrics())


def test_metrics_of_a_profile_are_the_metrics_of_the_rows() -> None:
    table = rows(500)
    found = Profile.of(table, SPEC).metrics()
    assert found == pytest.approx(
        regression_metrics(table["load"].to_numpy(), table["prediction"].to_numpy())
    )
    rng = np.random.default_rng(1)
    label = (rng.random(400) < 0.3).astype(float)
    score = np.round(np.clip(label * 0.3 + rng.random(400), 0, 1), 3)
    flags = (score > 0.6).astype(float)
    labels = {"label": label, "flag": flags, "score": score}
    spec = ProfileSpec(target="label", prediction="flag", score="score", classes=True)
    assert Profile.of(labels, spec).metrics() == pytest.approx(classification_metrics(label, flags, score))


def test_cells_follow_the_hour_of_the_week() -> None:
    table = {"timestamp": [START + dt.timedelta(hours=i) for i in range(336)], "x": np.arange(336.0)}
    cells = Profile.of(table, ProfileSpec(timestamp="timestamp")).cells["x"]
    assert cells.n.tolist() == [2] * 168
    assert cells.mean[3] == (3 + 171) / 2


def test_parquet_is_read_by_row_groups(tmp_path: Path) -> None:
    table = rows(1000)
    pq.write_table(table.to_arrow(), tmp_path / "t.parquet", row_group_size=128)
    found = Profile.of(tmp_path / "t.parquet", SPEC)
    whole = Profile.of(table, SPEC)
    assert found.rows == 1000
    assert found.columns["load"].mean == pytest.approx(whole.columns["load"].mean)
    assert found.columns["load"].histogram.counts.sum() == 1000
    assert dict(found.columns["site"].counts) == dict(whole.columns["site"].counts)
    assert found.metrics() == pytest.approx(whole.metrics())


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_csv_is_read_in_parts(tmp_path: Path, name: str) -> None:
    rows(200).select("load", "site").to_pandas().to_csv(tmp_path / name, index=False)
    found = Profile.of(tmp_path / name)
    assert found.rows == 200
    assert found.columns["load"].mean == pytest.approx(rows(200)["load"].mean())


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 this is not one")
    with pytest.raises(DataError, match=r"broken\.parquet"):
        Profile.of(tmp_path / "broken.parquet")
    with pytest.raises(DataError, match="nowhere"):
        Profile.of(tmp_path / "nowhere.csv")


BAD = {
    "no rows": {"x": np.array([]), "s": np.array([], dtype=object)},
    "one row": {"x": [1.0], "s": ["a"]},
    "all missing": {"x": [math.nan, math.nan], "s": [None, None]},
    "constant": {"x": [5.0, 5.0], "s": ["a", "a"]},
    "infinite": {"x": [math.inf, -math.inf], "s": ["a", "b"]},
    "mixed": {"x": [1.0, 2.0], "s": np.array([1, "one"], dtype=object)},
    "names": {"🌞 <b>load</b>": [1.0, 2.0], "": ["x", "y"]},
}


@pytest.mark.parametrize("table", BAD.values(), ids=BAD)
def test_bad_input_is_summarised_and_kept(table: Any) -> None:
    profile = Profile.of(table)
    again = Profile.from_bytes(profile.to_bytes())
    assert list(again.columns) == list(table)
    assert again.rows == len(next(iter(table.values())))
    assert again.merge(profile).rows == 2 * profile.rows


def test_pandas_objects_of_mixed_type() -> None:
    profile = Profile.of(pd.DataFrame({"x": [1, "a", None, 2.5], "y": [True, None, False, True]}))
    assert isinstance(profile.columns["x"], CategorySummary)
    assert profile.columns["x"].missing == 1
    assert isinstance(profile.columns["y"], NumericSummary)


def test_ten_thousand_columns() -> None:
    table = {f"c{i}": np.array([float(i), 1.0, math.nan]) for i in range(10_000)}
    profile = Profile.of(table)
    assert len(profile.columns) == 10_000
    assert profile.columns["c9999"].maximum == 9999
    assert Profile.from_bytes(profile.to_bytes()).columns["c5"].missing == 1


def test_a_column_that_one_part_lacks_is_missing_there() -> None:
    found = Profile.of({"a": [1.0], "s": ["x"]}).merge(Profile.of({"b": [2.0, 3.0]}))
    assert (found.columns["a"].missing, found.columns["b"].missing, found.columns["s"].missing) == (2, 1, 2)


def test_a_part_without_values_takes_the_type_of_the_other() -> None:
    numbers, texts = Profile.of({"x": [math.nan]}), Profile.of({"x": ["a"]})
    for merged in (numbers.merge(texts), texts.merge(numbers)):
        assert merged.columns["x"].missing == 1
        assert dict(merged.columns["x"].counts) == {"a": 1}
    with pytest.raises(DataError, match="numbers in one part"):
        Profile.of({"x": [1.0]}).merge(texts)
    with pytest.raises(DataError, match="different roles"):
        Profile.of({"x": [1.0]}).merge(Profile.of({"x": [1.0]}, ProfileSpec(target="x")))


def test_a_named_column_that_is_not_there_is_an_error_with_the_nearest_name() -> None:
    with pytest.raises(DataError, match="Did you mean 'load'"):
        Profile.of({"load": [1.0]}, ProfileSpec(target="loud", prediction="load"))


def test_like_gives_the_spec_as_far_as_the_table_has_it() -> None:
    reference = Profile.of(rows(50), SPEC)
    current = Profile.of(rows(20).select("load", "site"), like=reference)
    assert current.spec.target == "load"
    assert current.spec.timestamp is None
    assert list(current.columns) == ["load", "site"]


def test_stats_are_the_guides() -> None:
    assert Profile.of({"x": [1.0, 3.0], "s": ["a", "b"]}).stats() == {"x": {"mean": 2.0, "std": math.sqrt(2)}}


def test_arrow_dates_and_durations() -> None:
    table = pa.table({"day": [dt.date(2024, 1, 1), None], "took": [dt.timedelta(seconds=3), None]})
    found = Profile.of(table).columns
    assert found["day"].maximum == START.timestamp()
    assert found["took"].maximum == 3.0
    assert found["day"].missing == found["took"].missing == 1
