from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aihub.validation import slices


def hours(n: int, start: str = "2026-01-01T00") -> np.ndarray:
    return np.datetime64(start, "us") + np.arange(n) * np.timedelta64(1, "h")


@given(
    st.integers(0, 2_000_000_000),
    st.sampled_from(["Europe/Berlin", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]),
)
@settings(max_examples=60, deadline=None)
def test_the_wall_clock_is_that_of_the_zone(second: int, zone: str) -> None:
    stamp = np.array([second * 1_000_000], dtype="datetime64[us]")
    there = datetime.fromtimestamp(second, tz=ZoneInfo(zone))
    axes = {a.name: a for a in slices.calendar_axes(stamp, zone)}
    assert axes["hour"].labels[axes["hour"].codes[0]] == f"{there.hour:02d}"
    assert axes["weekday"].labels[axes["weekday"].codes[0]] == there.strftime("%a")
    assert axes["season"].codes[0] == there.month % 12 // 3


def test_the_hour_of_the_change_of_the_clock() -> None:
    stamps = np.array(
        ["2026-03-29T00:30", "2026-03-29T01:30", "2026-10-25T00:30", "2026-10-25T01:30"],
        dtype="datetime64[us]",
    )
    (hour, *_) = slices.calendar_axes(stamps, "Europe/Berlin")
    assert [hour.labels[c] for c in hour.codes] == ["01", "03", "02", "02"]


def test_a_weak_hour_is_found_and_named() -> None:
    n = 24 * 90
    rng = np.random.default_rng(0)
    stamps = hours(n)
    loss, champion = np.abs(rng.normal(size=(2, n)))
    loss[np.arange(n) % 24 == 18] *= 1.6
    found = slices.weak_slices(
        slices.calendar_axes(stamps),
        loss,
        champion,
        rng.normal(size=n),
        slices.clusters_of(n, stamps),
        factor=1.05,
    )
    assert [s.name for s in found if s.p_value < 0.05] == ["hour=18"]


def test_equal_models_have_no_weak_slice() -> None:
    n, any_weak = 24 * 60, 0
    stamps = hours(n)
    axes, days = slices.calendar_axes(stamps), slices.clusters_of(n, stamps)
    for seed in range(60):
        loss, champion = np.abs(np.random.default_rng(seed).normal(size=(2, n)))
        found = slices.weak_slices(axes, loss, champion, loss, days)
        any_weak += any(s.p_value <= 0.05 for s in found)
    assert any_weak <= 8


def test_a_model_without_skill_in_one_series_is_found_without_a_champion() -> None:
    rng = np.random.default_rng(1)
    n = 24 * 40
    y = rng.normal(100, 10, n)
    series = np.array(["a", "b"], dtype=object)[np.arange(n) % 2]
    loss = np.where(series == "a", np.abs(rng.normal(0, 3, n)), np.abs(rng.normal(0, 20, n)))
    found = slices.weak_slices(
        [slices.category_axis("series", series)], loss, None, y, slices.clusters_of(n, hours(n))
    )
    assert [s.name for s in found if s.p_value < 0.05] == ["series=b"]


def test_small_slices_are_not_tested() -> None:
    axis = slices.Axis("x", np.array([0] * 10 + [1] * 400), ("small", "large"))
    loss = np.ones(410)
    found = slices.weak_slices([axis], loss, loss / 2, loss, slices.clusters_of(410, None))
    assert np.isnan(found[0].p_value)
    assert found[1].p_value < 1e-100


@given(st.lists(st.one_of(st.none(), st.floats(), st.text(max_size=3), st.integers()), max_size=60))
@settings(max_examples=60, deadline=None)
def test_any_values_can_be_categories(values: list[object]) -> None:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    axis = slices.category_axis("c", column)
    assert len(axis.codes) == len(values)
    assert len(axis.labels) <= 20
    assert (axis.codes < len(axis.labels)).all()


@given(st.lists(st.floats(), max_size=60))
@settings(max_examples=60, deadline=None)
def test_any_numbers_can_be_levels(values: list[float]) -> None:
    axis = slices.level_axis("load", np.array(values, dtype=np.float64))
    finite = np.isfinite(np.array(values, dtype=np.float64))
    assert ((axis.codes >= 0) == finite).all()
    assert (axis.codes < len(axis.labels)).all()


def test_missing_timestamps_belong_to_no_slice() -> None:
    stamps = hours(48)
    stamps[3] = np.datetime64("NaT")
    assert all(axis.codes[3] == -1 for axis in slices.calendar_axes(stamps, "Europe/Berlin"))


@pytest.mark.parametrize("n", [0, 1, 5])
def test_hardly_any_row(n: int) -> None:
    assert len(slices.clusters_of(n, None)) == n
    assert slices.weak_slices([], np.ones(n), None, np.ones(n), slices.clusters_of(n, None)) == []
