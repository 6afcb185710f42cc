from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aihub.training.anomaly.past import Grid, Pace
from aihub.training.anomaly.table import Rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from aihub.types import FloatArray

HOUR_US = 3_600_000_000


def _rows(hours: list[int], series: list[str] | None = None, values: list[float] | None = None) -> Rows:
    return Rows(
        times=np.array(hours, dtype=np.int64) * HOUR_US,
        series=np.array(series or [""] * len(hours), dtype=np.str_),
        values={"v": np.array(values if values is not None else hours, dtype=np.float64)},
    )


HOURLY = Pace(step_us=HOUR_US)


def test_a_lag_is_time_even_where_rows_are_missing_and_out_of_order() -> None:
    rows = _rows([5, 0, 1, 3])
    grid = Grid.of(rows, HOURLY)
    assert grid.ago(grid.spread(rows.values["v"]), 2).tolist() == pytest.approx(
        [3, np.nan, np.nan, 1], nan_ok=True
    )


def test_no_window_reaches_from_one_series_into_the_next() -> None:
    rows = _rows([0, 1, 2, 0, 1, 2], ["a"] * 3 + ["b"] * 3, [1, 1, 1, 9, 9, 9])
    grid = Grid.of(rows, HOURLY)
    mean = grid.mean(grid.spread(rows.values["v"]), 24, until=1)
    assert mean[3:].tolist() == pytest.approx([np.nan, 9, 9], nan_ok=True)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 400), min_size=5, max_size=60, unique=True), st.data())
def test_the_past_of_a_row_does_not_depend_on_its_future(hours: list[int], data: st.DataObject) -> None:
    hours = sorted(hours)
    cut = data.draw(st.integers(1, len(hours)))
    full, part = _rows(hours), _rows(hours[:cut])
    grids = [(Grid.of(rows, HOURLY), rows.values["v"]) for rows in (full, part)]
    looks: list[Callable[[Grid, FloatArray], FloatArray]] = [
        lambda grid, dense: grid.median(dense, 24),
        lambda grid, dense: grid.mean(dense, 24),
        lambda grid, dense: grid.same_time(dense, HOURLY),
        lambda grid, dense: grid.same_weekday(dense, HOURLY),
    ]
    for look in looks:
        long, short = (look(grid, grid.spread(v)) for grid, v in grids)
        np.testing.assert_array_equal(long[:cut], short)


def test_usual_at_this_time_survives_two_disturbed_days() -> None:
    hours = list(range(24 * 9))
    values = [float(h % 24) for h in hours]
    values[24 * 6 : 24 * 8] = [100.0] * 48
    rows = _rows(hours, None, values)
    grid = Grid.of(rows, HOURLY)
    usual = grid.same_time(grid.spread(rows.values["v"]), HOURLY)
    assert usual[24 * 8 :].tolist() == [float(h) for h in range(24)]


def test_run_length_counts_rows_that_stand_still() -> None:
    rows = _rows(list(range(6)), None, [1, 2, 2, 2, np.nan, np.nan])
    grid = Grid.of(rows, HOURLY)
    assert grid.run_length(grid.spread(rows.values["v"])).tolist() == [1, 1, 2, 3, 1, 1]


def test_one_huge_value_does_not_blur_later_means() -> None:
    values = [1e17] + [0.1] * 20
    rows = _rows(list(range(21)), None, values)
    grid = Grid.of(rows, HOURLY)
    assert grid.mean(grid.spread(rows.values["v"]), 3)[10:].tolist() == pytest.approx([0.1] * 11, rel=1e-12)


def test_a_long_gap_costs_no_memory() -> None:
    grid = Grid.of(_rows([0, 10_000_000]), HOURLY)
    assert grid.size < 3 * HOURLY.lookback


def test_pace_tells_rows_on_a_grid_from_rows_that_come_when_they_come() -> None:
    rng = np.random.default_rng(0)
    regular, irregular = np.arange(200), np.cumsum(rng.integers(1, 100, 200))
    assert Pace.of(_rows(regular.tolist()), HOUR_US).is_regular
    assert not Pace.of(_rows(irregular.tolist()), HOUR_US).is_regular


@pytest.mark.parametrize("step_s", [1, 60, 300, 1800, 3600, 86_400, 7 * 86_400])
def test_every_pace_has_a_season_and_a_bounded_lookback(step_s: int) -> None:
    pace = Pace(step_us=step_s * 1_000_000)
    assert 1 <= pace.hour <= pace.season <= pace.lookback <= 25_000


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 400)), min_size=5, max_size=60),
    st.sets(st.integers(0, 59), min_size=1, max_size=25),
)
def test_some_rows_see_what_they_see_among_all(places: list[tuple[str, int]], chosen: set[int]) -> None:
    rows = _rows([hour for _, hour in places], [name for name, _ in places], [h % 7 for _, h in places])
    asked = np.array(sorted({at % len(places) for at in chosen}), dtype=np.int64)
    grid = Grid.of(rows, HOURLY)
    some, dense = grid.asking(asked), grid.spread(rows.values["v"])
    looks: list[Callable[[Grid], FloatArray]] = [
        lambda grid: grid.ago(dense, 3),
        lambda grid: grid.median(dense, 24),
        lambda grid: grid.median(dense, 24, until=0),
        lambda grid: grid.mean(dense, 24),
        lambda grid: grid.mean(dense, 3, until=5),
        lambda grid: grid.same_time(dense, HOURLY),
        lambda grid: grid.same_weekday(dense, HOURLY),
        lambda grid: grid.run_length(dense),
        lambda grid: grid.of_asked(rows.values["v"]),
    ]
    for look in looks:
        np.testing.assert_allclose(look(some), look(grid)[asked], rtol=1e-12)
    near = grid.within(asked, 6)
    ends = {(places[at][0], places[at][1]) for at in asked.tolist()}
    wanted = [at for at, (name, hour) in enumerate(places) if any((name, hour + k) in ends for k in range(6))]
    assert near.tolist() == wanted
