"""Faults of measurement are found by kind; clean and merely odd series are left alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from aihub.training.config import TrainingConfig
from aihub.training.data import load
from aihub.training.data.clocks import clean_clock
from aihub.training.data.expectation import expected, runs, spread
from aihub.training.data.faults import clean_target, sentinels
from aihub.training.data.temperatures import clean_temperature

ZONE = "Europe/Berlin"


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_a_dirty_file_comes_out_as_it_was(
    tmp_path: Path, clean_table: pl.DataFrame, make_dirty: Callable[..., Any], seed: int
) -> None:
    dirty = make_dirty(clean_table, ZONE, seed=seed)
    dirty.frame.write_csv(tmp_path / "d.csv")
    table = load(
        tmp_path / "d.csv", TrainingConfig(timestamp="ts", target="load", features=["temp"], time_zone=ZONE)
    )
    both = dirty.truth.rename({"load": "true", "temp": "real"}).join(table.frame, on="ts", how="left")
    wrong = ((both["load"] - both["true"]).abs() > both["true"] * 0.01).fill_null(value=False)
    assert table.frame.height == dirty.truth.height
    assert wrong.sum() <= 5, "the edges of a shifted clock may be off by an hour or two"
    lost = both["load"].is_null().sum()
    meant = sum(
        len(dirty.rows[kind])
        for kind in ("spike", "negative_load", "zero_load", "stuck_meter", "gap", "text")
    )
    assert lost <= meant + 3
    assert ((both["temp"] - both["real"]).abs() > 0.1).sum() == 0
    codes = {note.code for note in table.notes}
    assert codes >= {
        "spike",
        "negative_load",
        "zero_load",
        "stuck_meter",
        "unit_change",
        "clock_shift",
        "temperature_unit",
    }
    # The lasting level shift is drift and stays.
    tail = both.tail(2000)
    assert abs((tail["load"] / tail["true"]).drop_nulls().median() - 1) < 1e-9


def test_switched_off_it_only_reports(
    tmp_path: Path, clean_table: pl.DataFrame, make_dirty: Callable[..., Any]
) -> None:
    make_dirty(clean_table, ZONE, seed=5).frame.write_csv(tmp_path / "d.csv")
    table = load(
        tmp_path / "d.csv", TrainingConfig(timestamp="ts", target="load", time_zone=ZONE, repair="off")
    )
    assert table.frame["load"].min() < 0
    note = next(note for note in table.notes if note.code == "negative_load")
    assert note.repaired is False
    assert "left alone" in note.message


def _noise(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, n)


ODD = {
    "heat wave": lambda y: np.where(
        (np.arange(len(y)) // 24 > 40) & (np.arange(len(y)) // 24 < 47), y * 1.6, y
    ),
    "level shift": lambda y: np.where(np.arange(len(y)) > 1500, y * 1.25, y),
    "on and off": lambda y: np.where(np.arange(len(y)) % 37 < 3, 100.0, 0.0),
    "random appliance": lambda y: (
        50 + np.where(_noise(len(y)) > 1.8, 400 * np.abs(_noise(len(y), 1)), 10 * _noise(len(y), 2))
    ),
    "solar": lambda y: (
        np.maximum(0, np.sin(2 * np.pi * np.arange(len(y)) / 24))
        * np.abs(1 + 0.4 * _noise(len(y) // 24 + 1).repeat(24)[: len(y)])
    ),
    "net of solar": lambda y: y - 1200 * np.maximum(0, np.sin(2 * np.pi * np.arange(len(y)) / 24)),
    "wind": lambda y: np.abs(np.cumsum(_noise(len(y)))) % 60,
    "rounded": lambda y: np.round(y, -1),
    "temperature": lambda y: (
        8
        + 10 * np.sin(2 * np.pi * np.arange(len(y)) / 8760)
        + 5 * np.sin(2 * np.pi * np.arange(len(y)) / 24)
        + _noise(len(y))
    ),
    "constant nights": lambda y: np.where(np.arange(len(y)) % 24 < 6, 300.0, y),
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_behaviour_is_no_fault(clean_table: pl.DataFrame, odd: Callable[[np.ndarray], np.ndarray]) -> None:
    values = np.asarray(odd(clean_table["load"].to_numpy()[:4000]), dtype=np.float64)
    cleaned, faults = clean_target(values, 24)
    assert faults == []
    assert np.array_equal(cleaned, values)
    assert clean_clock(values, np.arange(len(values)), 24, 1)[1] == []
    assert clean_temperature(values)[1] == []


def test_short_or_empty_series_are_left_alone() -> None:
    for values in (np.array([]), np.full(500, np.nan), np.array([1.0, 1000.0, 1.0])):
        assert clean_target(values, 24)[1] == []
        assert clean_temperature(values)[1] == []


def test_a_word_for_missing_counts_only_outside_the_range() -> None:
    weather = 15 + _noise(1000)
    weather[[3, 4, 700]] = -999
    assert [(f.start, f.stop) for f in sentinels(weather)] == [(3, 5), (700, 701)]
    assert np.isnan(weather[[3, 4, 700]]).all()
    money = np.linspace(900, 1100, 500)
    money[7] = 999.0
    assert sentinels(money) == []


def test_expectation_is_the_median_around() -> None:
    days = np.tile(np.arange(24.0), 60)
    assert np.array_equal(expected(days, 24), days)
    days[24 * 30 + 5] = 1e6
    assert expected(days, 24)[24 * 30 + 5] == 5
    assert np.isnan(expected(np.array([1.0]), 24)).all()


def test_runs_and_spread() -> None:
    assert runs(np.array([True, False, True, True])) == [(0, 1), (2, 4)]
    assert runs(np.array([], dtype=bool)) == []
    assert spread(np.array([np.nan])) == 0
