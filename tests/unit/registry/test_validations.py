from __future__ import annotations

from itertools import product

import pytest

from aihub.registry.records import Status
from aihub.registry.validations import Effect, effect_of

YES_NO = (True, False)


def effect(
    status: Status, *, passed: bool, report: bool, production: bool = False, lifts: bool = False
) -> Effect:
    return effect_of(
        passed=passed, status=status, has_report=report, was_in_production=production, lifts=lifts
    )


@pytest.mark.parametrize(("production", "lifts"), list(product(YES_NO, YES_NO)))
def test_a_first_report_decides(*, production: bool, lifts: bool) -> None:
    for passed, expected in ((True, Effect.ACCEPTED), (False, Effect.REJECTED)):
        found = effect(Status.CANDIDATE, passed=passed, report=False, production=production, lifts=lifts)
        assert found is expected


@pytest.mark.parametrize(("report", "production"), list(product(YES_NO, YES_NO)))
def test_a_rejection_is_lifted_only_where_that_was_asked_for_and_the_gate_passed(
    *, report: bool, production: bool
) -> None:
    given = {"report": report, "production": production}
    assert effect(Status.REJECTED, passed=True, **given, lifts=True) is Effect.LIFTED
    assert effect(Status.REJECTED, passed=True, **given) is Effect.NONE
    assert effect(Status.REJECTED, passed=False, **given, lifts=True) is Effect.NONE


def test_a_later_failure_rejects_what_production_has_not_had() -> None:
    assert effect(Status.CANDIDATE, passed=False, report=True) is Effect.REJECTED
    assert effect(Status.CANDIDATE, passed=False, report=True, production=True) is Effect.NONE
    assert effect(Status.CANDIDATE, passed=True, report=True) is Effect.NONE
