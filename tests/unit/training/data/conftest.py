"""A table with known faults of measurement, and a way to write and load a small file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from aihub.training.config import TrainingConfig
from aihub.training.data import PreparedTable, load
from aihub.training.synthetic import generate_forecast_data

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass
class Dirty:
    """A table in wall clock without offset, the truth it was made of, and the faults by kind (rows of the truth)."""

    frame: pl.DataFrame
    truth: pl.DataFrame
    rows: dict[str, np.ndarray] = field(default_factory=dict)


def _make_dirty(clean: pl.DataFrame, zone: str, *, seed: int) -> Dirty:
    """Put faults into `clean`, which has ``ts`` (UTC, hourly, no gap), ``load`` and ``temp``; and remember where; they never touch."""
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


@pytest.fixture(scope="session")
def clean_table() -> pl.DataFrame:
    """Three years of made-up hourly load and temperature in UTC."""
    made = generate_forecast_data(26_304, seed=3)
    return made.select(
        pl.col("timestamp").dt.replace_time_zone("UTC").alias("ts"),
        "load",
        pl.col("temperature").alias("temp"),
    )


@pytest.fixture
def make_dirty() -> Callable[..., Dirty]:
    return _make_dirty


@pytest.fixture
def loaded(tmp_path: Path) -> Callable[..., PreparedTable]:
    """Write text or bytes to a file of this name and load it with a configuration of these fields."""

    def write_and_load(content: str | bytes, name: str = "table.csv", **fields: Any) -> PreparedTable:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return load(path, TrainingConfig(**{"target": "load", **fields}))

    return write_and_load


@pytest.fixture
def hourly() -> Callable[..., str]:
    """CSV text of `n` hourly rows; `change(i, stamp, value)` may give another line or None."""

    def text(
        n: int = 72, change: Callable[[int, str, str], str | None] | None = None, separator: str = ","
    ) -> str:
        frame = generate_forecast_data(n, seed=1)
        lines = [separator.join(("timestamp", "load"))]
        for i, (stamp, value) in enumerate(frame.select("timestamp", "load").iter_rows()):
            cells = f"{stamp:%Y-%m-%d %H:%M:%S}", f"{value:.2f}"
            line = separator.join(cells) if change is None else change(i, *cells)
            lines += [] if line is None else [line]
        return "\n".join(lines) + "\n"

    return text
