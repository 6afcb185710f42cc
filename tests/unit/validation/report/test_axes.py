from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aihub.validation.report.axes import bounds, moments, tick_text, ticks, time_ticks

NUMBERS = st.floats(-1e12, 1e12, allow_subnormal=False)


@given(values=st.lists(NUMBERS | st.none() | st.just(float("nan")), max_size=5), zero=st.booleans())
def test_bounds_hold_every_value_and_are_never_empty(values: list[float | None], *, zero: bool) -> None:
    low, high = bounds(values, zero=zero)
    assert low < high
    assert all(low <= v <= high for v in values if v is not None and not math.isnan(v))
    assert not zero or low <= 0 <= high


@given(st.floats(-1e6, 1e6, allow_subnormal=False), st.floats(1e-3, 1e12))
def test_ticks_are_few_apart_and_inside(low: float, span: float) -> None:
    found = ticks(low, low + span)
    assert 1 <= len(found) <= 8
    assert all(low - span * 1e-6 <= t <= low + span * (1 + 1e-6) for t in found)
    assert found == sorted(set(found))


@given(st.integers(-8, 8), st.integers(1, 9))
def test_labels_of_neighbouring_ticks_differ(power: int, first: int) -> None:
    found = ticks(0.0, first * 10.0**power)
    labels = [tick_text(t, found[1] - found[0]) for t in found]
    assert len(set(labels)) == len(labels)


@given(st.integers(-(2**31), 2**33), st.integers(60, 40 * 365 * 86_400))
def test_time_ticks_are_inside_and_not_too_many(low: int, span: int) -> None:
    found = time_ticks(low, low + span)
    assert len(found) <= 9
    assert all(low <= at <= low + span for at, _ in found)
    assert all(a < b for (a, _), (b, _) in itertools.pairwise(found))


@pytest.mark.parametrize(
    ("days", "expected"),
    [(0.25, "01:00"), (5, "2 Jan"), (200, "Mar 2024"), (4000, "2026")],
)
def test_time_labels_fit_the_span(days: float, expected: str) -> None:
    start = 1704067200  # 2024-01-01
    assert expected in [label for _, label in time_ticks(start, start + days * 86_400)]


def test_only_times_are_times() -> None:
    assert moments(["2024-01-01T00:00Z", "2024-01-01"]) == [1704067200.0, 1704067200.0]
    assert moments(["a"]) is None
    assert moments([1.0]) is None
