from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from aihub.training.forecast.panel import Table, carried, panel_of, smoothed, trailing_extreme, trailing_mean

VALUES = st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(float("nan"))), min_size=1, max_size=60).map(
    np.array
)
WINDOWS = st.integers(1, 40)


@given(VALUES, WINDOWS)
@settings(max_examples=60)
def test_trailing_figures_are_those_of_the_window(values: np.ndarray, window: int) -> None:
    mean, low, high = (
        trailing_mean(values, window),
        trailing_extreme(values, window, largest=False),
        trailing_extreme(values, window, largest=True),
    )
    for at in range(len(values)):
        seen = values[max(0, at - window + 1) : at + 1]
        known = seen[np.isfinite(seen)]
        if len(known) >= max(1, window // 2):
            np.testing.assert_allclose(mean[at], known.mean(), rtol=1e-6, atol=1e-3)
        else:
            assert np.isnan(mean[at])
        if len(known):
            assert low[at] == known.min()
            assert high[at] == known.max()
        else:
            assert np.isnan(low[at])
            assert np.isnan(high[at])


@given(VALUES, st.floats(0.5, 20), st.integers(0, 59))
@settings(max_examples=60)
def test_what_comes_later_reaches_no_trailing_figure(values: np.ndarray, half_life: float, cut: int) -> None:
    changed = values.copy()
    changed[cut:] = 1e9
    np.testing.assert_array_equal(smoothed(values, half_life)[:cut], smoothed(changed, half_life)[:cut])
    np.testing.assert_array_equal(trailing_mean(values, 7)[:cut], trailing_mean(changed, 7)[:cut])


def test_smoothing_weighs_by_age_and_forgets_what_is_missing() -> None:
    values = np.array([0.0, 0.0, 4.0, np.nan, np.nan])
    weights = 0.5 ** np.arange(3)
    expected = 4 * weights[0] / weights.sum()
    np.testing.assert_allclose(smoothed(values, 1.0)[2:], expected)
    assert np.isnan(smoothed(np.full(5, np.nan), 3.0)).all()


def test_a_later_table_wins_unless_it_knows_nothing() -> None:
    old = Table(np.array([0, 0, 1]), np.array([10, 11, 3]), {"y": np.array([1.0, 2.0, 3.0])})
    new = Table(np.array([0, 0]), np.array([11, 13]), {"y": np.array([np.nan, 9.0])})
    panel = panel_of([old, new], 3, ("y",))
    assert panel.length.tolist() == [4, 1, 0]
    np.testing.assert_array_equal(panel.columns["y"], [1.0, 2.0, np.nan, 9.0, 3.0])
    got = panel.gather(panel.columns["y"], np.array([0, 0, 1, 2]), np.array([9, 13, 3, 3]))
    np.testing.assert_array_equal(got, [np.nan, 9.0, 3.0, np.nan])


@given(VALUES, st.integers(1, 5), st.integers(1, 4))
@settings(max_examples=60)
def test_gaps_are_filled_from_older_values_only(values: np.ndarray, short: int, weeks: int) -> None:
    long = short * weeks
    filled = carried(values, short, long)
    known = np.isfinite(values)
    np.testing.assert_array_equal(filled[known], values[known])
    for at in np.flatnonzero(~known):
        days = [values[at - k * short] for k in range(1, weeks + 1) if at >= k * short]
        seen = [value for value in days if np.isfinite(value)][:1]
        if at >= long and np.isfinite(values[at - long]):
            seen.append(values[at - long])
        np.testing.assert_allclose(filled[at], np.mean(seen) if seen else np.nan)
    cut = len(values) // 2
    np.testing.assert_array_equal(carried(values[:cut], short, long), filled[:cut])
