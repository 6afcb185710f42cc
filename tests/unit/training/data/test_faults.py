from __future__ import annotations

import numpy as np

from aihub.training.data.faults import clean_target

DAYS = 365
HOURS = np.arange(24 * DAYS)


def load(seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 10, len(HOURS))
    return 1000 + 200 * np.sin(HOURS * 2 * np.pi / 24) + 50 * np.sin(HOURS * 2 * np.pi / 168) + noise


def test_many_gross_spikes_in_one_year_are_all_found() -> None:
    values = load(1)
    at = np.random.default_rng(2).choice(len(values) // 24 - 2, 20, replace=False) * 24 + 30
    spoilt = values.copy()
    spoilt[at] *= 5
    cleaned, faults = clean_target(spoilt, 24)
    assert [fault.kind for fault in faults] == ["spike"] * 20
    assert np.isnan(cleaned[at]).all()
    kept = np.setdiff1d(HOURS, at)
    np.testing.assert_array_equal(cleaned[kept], values[kept])


def test_an_appliance_that_jumps_every_day_is_left_alone() -> None:
    values = load(3)
    values[np.arange(0, len(values), 24) + np.random.default_rng(4).integers(6, 18, DAYS)] += 800
    cleaned, faults = clean_target(values, 24)
    assert not faults
    np.testing.assert_array_equal(cleaned, values)
