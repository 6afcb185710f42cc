from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aihub.validation.report import plots

VALUES = hnp.arrays(np.float64, st.integers(1, 3000), elements=st.floats(-1e6, 1e6))


@given(VALUES)
def test_thinning_keeps_the_extremes_within_the_budget(values: np.ndarray) -> None:
    plot = plots.series(np.arange(len(values)), {"y": values})
    drawn = plot["lines"]["y"]
    assert len(drawn) <= plots.MAX_POINTS
    assert max(drawn) == pytest.approx(values.max(), rel=1e-5, abs=1e-300)
    assert min(drawn) == pytest.approx(values.min(), rel=1e-5, abs=1e-300)


def test_several_lines_and_a_band_share_one_axis() -> None:
    n = 50_000
    stamps = np.datetime64("2024-01-01T00:00", "us") + np.arange(n) * np.timedelta64(1, "h")
    y = np.sin(np.arange(n))
    plot = plots.series(stamps, {"a": y, "b": -y, "c": 2 * y}, band=("90 %", y - 1, y + 1))
    lengths = {len(plot["x"]), *(len(v) for v in plot["lines"].values()), len(plot["band"]["lower"])}
    assert len(lengths) == 1
    assert lengths.pop() <= plots.MAX_POINTS
    assert plot["x"][0] == "2024-01-01T00:00Z"
    assert plot["x"] == sorted(plot["x"])


def test_missing_and_infinite_become_gaps() -> None:
    plot = plots.series([1, 2, 3], {"y": [np.nan, np.inf, 1.0]})
    assert plot["lines"]["y"] == [None, None, 1.0]
    json.dumps(plot, allow_nan=False)


@given(
    hnp.arrays(np.float64, 21, elements=st.floats(allow_nan=False, allow_infinity=False)).map(np.sort),
    hnp.arrays(np.float64, 20, elements=st.floats(0, 1e3, allow_subnormal=False)),
)
def test_rebinning_keeps_the_total(edges: np.ndarray, counts: np.ndarray) -> None:
    plot = plots.histogram(edges, counts, counts)
    assert sum(plot["reference"]) == pytest.approx(1.0 if counts.sum() else 0.0, abs=1e-3)
    assert np.all(np.diff(plot["edges"]) >= 0)


def test_overflow_bins_fall_into_the_outer_bars() -> None:
    plot = plots.histogram([-np.inf, 0, 1, 2, np.inf], [1, 1, 1, 1], [4, 0, 0, 0])
    assert sum(plot["current"]) == pytest.approx(1.0)
    assert plot["current"][0] == pytest.approx(1.0)
    assert plot["reference"][0] == pytest.approx(plot["reference"][-1])


@pytest.mark.parametrize("sample", [[], [np.nan], [5.0], [5.0, 5.0, np.inf]])
def test_samples_without_spread_make_a_valid_histogram(sample: list[float]) -> None:
    plot = plots.histogram_of(sample, sample)
    assert len(plot["edges"]) == len(plot["reference"]) + 1
    json.dumps(plot, allow_nan=False)


def test_rare_categories_are_folded() -> None:
    plot = plots.categories(range(1000), np.ones(1000), np.ones(1000))
    assert len(plot["labels"]) == plots.MAX_CATEGORIES + 1
    assert plot["labels"][-1] == "(other)"
    assert sum(plot["current"]) == pytest.approx(1.0, abs=1e-4)


def test_scatter_keeps_at_most_its_budget_and_both_ends() -> None:
    plot = plots.scatter(np.arange(10_000.0), np.arange(10_000.0), diagonal=True)
    assert len(plot["x"]) == plots.MAX_SCATTER
    assert (plot["x"][0], plot["x"][-1]) == (0.0, 9999.0)
