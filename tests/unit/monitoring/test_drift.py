from __future__ import annotations

import pytest

from aihub.monitoring.drift import is_material
from aihub.types import Drift
from aihub.validation.drift import DriftResult


@pytest.mark.parametrize(("change", "is_fault"), [(0.2, True), (0.01, False), (-0.2, False)])
def test_fewer_gaps_than_in_training_are_no_fault(change: float, *, is_fault: bool) -> None:
    result = DriftResult(
        column="temperature",
        test="missing",
        verdict=Drift.DRIFT,
        statistic=0.0,
        effect=change,
        effect_low=change,
        effect_high=change,
        effect_unit="share of rows",
        min_effect=0.02,
        p_value=0.0,
        p_adjusted=0.0,
        n_reference=1000,
        n_current=1000,
        n_needed=10,
    )
    assert is_material(result) is is_fault
