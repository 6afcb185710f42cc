"""The tail of history that an artefact carries, as JSON."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.training.forecast.conformal import RECENT_DAYS
from aihub.training.forecast.panel import Table

if TYPE_CHECKING:
    from aihub.training.forecast.layout import Layout
    from aihub.training.forecast.panel import IntArray

MAX_CELLS = 3_000_000
"""Numbers that an artefact carries at most; of more, each series keeps only what tomorrow needs."""


def tail(table: Table, split: int, layout: Layout, count: int) -> Table:
    """Keep what forecasts from `split` on look back to; where that is too much, what those after the end look back to.

    Parameters
    ----------
    table
        All rows.
    split
        First step of the holdout.
    layout
        Says how far back features look.
    count
        Number of series.
    """
    reach = tail_steps(layout)
    last = np.full(count, np.iinfo(np.int64).min // 4)
    np.maximum.at(last, table.series, table.step)
    keep = table.step >= np.minimum(split, last)[table.series] - reach
    if int(keep.sum()) * (1 + len(table.columns)) > MAX_CELLS:
        keep = table.step >= last[table.series] - reach
    return Table(table.series[keep], table.step[keep], {n: v[keep] for n, v in table.columns.items()})


def tail_steps(layout: Layout) -> int:
    """Return the steps before a row that its features, its block and the recent errors of its interval look back to."""
    return layout.reach + 2 * max(layout.horizon, layout.short) + RECENT_DAYS * layout.steps(24)


def history_to_json(table: Table) -> dict[str, Any]:
    """JSON-able columns; steps as runs of (first, length) per series, missing values as null."""
    runs = _runs(table.series, table.step)
    return {
        "runs": [[int(table.series[a]), int(table.step[a]), b - a] for a, b in runs],
        "columns": {
            name: [None if np.isnan(v) else v for v in values.tolist()]
            for name, values in table.columns.items()
        },
    }


def history_from_json(content: dict[str, Any]) -> Table:
    """Read `history_to_json` back."""
    runs = content["runs"]
    empty = [np.empty(0, dtype=np.int64)]
    series = np.concatenate([np.full(length, at, dtype=np.int64) for at, _, length in runs] or empty)
    step = np.concatenate([np.arange(first, first + n, dtype=np.int64) for _, first, n in runs] or empty)
    columns = {
        name: np.array([np.nan if v is None else v for v in values], dtype=np.float64)
        for name, values in content["columns"].items()
    }
    if any(len(values) != len(step) for values in columns.values()):
        raise ValueError("the columns of the history differ in length")
    return Table(series, step, columns)


def _runs(series: IntArray, step: IntArray) -> list[tuple[int, int]]:
    """Stretches of consecutive steps of one series."""
    if not len(step):
        return []
    breaks = np.flatnonzero((np.diff(series) != 0) | (np.diff(step) != 1)) + 1
    edges = [0, *breaks.tolist(), len(step)]
    return list(pairwise(edges))
