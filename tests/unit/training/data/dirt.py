"""Puts faults of measurement into a clean hourly table, and remembers where."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl


@dataclass
class Dirty:
    """A table in wall clock without offset, the truth it was made of, and the faults by kind (rows of the truth)."""

    frame: pl.DataFrame
    truth: pl.DataFrame
    rows: dict[str, np.ndarray] = field(default_factory=dict)


def make_dirty(clean: pl.DataFrame, zone: str, *, seed: int) -> Dirty:
    """`clean` has ``ts`` (UTC, hourly, no gap), ``load`` and ``temp``; faults never touch each other."""
    rng = np.random.default_rng(seed)
    n = clean.height
    load, temp = clean["load"].to_numpy().copy(), clean["temp"].to_numpy().copy()
    taken = np.zeros(n, dtype=bool)
    rows: dict[str, np.ndarray] = {}

    def place(kind: str, length: int) -> np.ndarray:
        while True:
            first = int(rng.integers(30 * 24, n - 30 * 24 - length))
            span = slice(first - 30, first + length + 30)
            if not taken[span].any():
                taken[span] = True
                block = np.arange(first, first + length)
                rows[kind] = np.concatenate([rows.get(kind, np.array([], dtype=int)), block])
                return block

    for factor in (10.0, 4.0, 2.0, 0.4, 0.1):
        load[place("spike", 1)] *= factor
    load[place("negative_load", int(rng.integers(1, 6)))] *= -1
    load[place("zero_load", int(rng.integers(2, 12)))] = 0
    stuck = place("stuck_meter", int(rng.integers(18, 60)))
    load[stuck] = load[stuck[0]]
    load[place("unit_change", int(rng.integers(12, 200)))] *= 1000 if seed % 2 else 0.001
    late = place("clock_shift", int(rng.integers(5, 15)) * 24)
    load[late] = load[late - 1]
    heat = place("temperature_unit", int(rng.integers(12, 120)))
    temp[heat] = temp[heat] * 1.8 + 32
    temp[place("missing", 30)] = np.nan
    level = int(n * 0.9)
    load[level:] *= 1.25
    truth = clean["load"].to_numpy().copy()
    truth[level:] *= 1.25
    gone = np.concatenate([place("gap", 1), place("gap", 6), place("gap", 72)])
    words = place("text", 5)
    local = pl.col("ts").dt.convert_time_zone(zone).dt.strftime("%Y-%m-%d %H:%M")
    table = clean.with_columns(
        local,
        pl.Series("load", load).round(3).cast(pl.String),
        pl.Series("temp", temp).fill_nan(None).round(3).cast(pl.String),
    )
    cells = table["load"].to_list()
    for row, word in zip(words, ("n/a", "", "-", "broken", " NaN"), strict=True):
        cells[row] = word
    table = table.with_columns(pl.Series("load", cells)).with_row_index("i")
    again = place("duplicate", 4)
    back = place("unsorted", 48)
    order = list(range(n))
    order[back[0] : back[-1] + 1] = order[back[0] : back[-1] + 1][::-1]
    order = [i for row in order if row not in set(gone) for i in ([row, row] if row in set(again) else [row])]
    table = table[order].drop("i")
    far = table.tail(1).with_columns(pl.lit("2039-02-03 10:00").alias("ts"))
    return Dirty(pl.concat([table, far]), clean.with_columns(pl.Series("load", truth)), rows)
