from __future__ import annotations

import numpy as np

from aihub.validation.paired import bootstrap_ratio, per_timestamp


def test_losses_are_summed_per_timestamp() -> None:
    stamps = np.array(["2026-01-02", "2026-01-01", "2026-01-02"], dtype="datetime64[us]")
    one, two = per_timestamp(np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0, 30.0]), stamps)
    assert one.tolist() == [2.0, 4.0]
    assert two.tolist() == [20.0, 40.0]


def test_the_bootstrap_is_seeded_and_holds_the_ratio() -> None:
    rng = np.random.default_rng(3)
    one, two = rng.random(500), 1.1 * rng.random(500)
    found = bootstrap_ratio(one, two, block=8, level=0.9, resamples=400, seed=1)
    assert found == bootstrap_ratio(one, two, block=8, level=0.9, resamples=400, seed=1)
    assert found[0] < two.mean() / one.mean() < found[1]
