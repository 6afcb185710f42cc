from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aihub.delivery.strategy import (
    Live,
    Promote,
    Rollout,
    Stay,
    StepUp,
    Stop,
    Strategy,
    advance,
)

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=2)


def rollout(position: int = 0, since: datetime = LONG_AGO, **strategy: Any) -> Rollout:
    rules = Strategy.model_validate({"kind": "canary", **strategy})
    return Rollout(strategy=rules, position=position, started_at=since, stepped_at=since)


def live(
    error: float | None = 1.0, *, requests: int = 1000, failures: int = 0, observations: int = 100
) -> Live:
    return Live(requests=requests, failures=failures, observations=observations, error=error)


def test_a_newcomer_that_is_as_good_goes_up_to_the_end() -> None:
    step = advance(rollout(), live(), live(1.02), NOW)
    assert isinstance(step, StepUp)
    assert (step.position, step.share) == (1, 0.25)
    assert step.evidence["error_ratio"] == pytest.approx(1.02)
    assert isinstance(advance(rollout(2), live(), live(), NOW), Promote)
    manual = advance(rollout(2, promote="manual"), live(), live(), NOW)
    assert isinstance(manual, Stay)
    assert "a person" in manual.reason


def test_a_worse_one_is_stopped_before_its_step_is_over() -> None:
    fresh = rollout(since=NOW)
    assert isinstance(advance(fresh, live(), live(1.3), NOW), Stop)
    assert isinstance(advance(fresh, live(), live(1.0, failures=30), NOW), Stop)
    assert isinstance(advance(fresh, live(), live(1.0, requests=3, failures=1), NOW), Stay)


@pytest.mark.parametrize(
    ("newcomer", "reason"),
    [
        (live(None), "cannot be compared"),
        (live(float("nan")), "cannot be compared"),
        (live(float("inf")), "cannot be compared"),
        (live(observations=3), "cannot be compared"),
        (live(requests=99), "99 of 100 requests"),
        (live(1.1), "it goes on at 1.05"),
        (Live(), "0 of 100 requests"),
    ],
)
def test_what_is_missing_is_no_reason_to_go_on_or_back_until_time_is_up(newcomer: Live, reason: str) -> None:
    step = advance(rollout(), live(), newcomer, NOW)
    assert isinstance(step, Stay)
    assert reason in step.reason
    late = advance(rollout(since=NOW - timedelta(days=15)), live(), newcomer, NOW)
    assert isinstance(late, Stop)
    assert "not decided within 336 h" in late.reason


def test_a_step_lasts_as_long_as_it_says() -> None:
    assert isinstance(advance(rollout(since=NOW - timedelta(minutes=59)), live(), live(), NOW), Stay)
    assert isinstance(advance(rollout(since=NOW - timedelta(minutes=60)), live(), live(), NOW), StepUp)


def test_a_shadow_answers_nobody_and_is_promoted_after_its_time() -> None:
    shadow = rollout(kind="shadow")
    assert shadow.share == 0
    assert isinstance(advance(shadow, live(), live(), NOW), Promote)


errors = st.none() | st.floats(allow_nan=True, allow_infinity=True)
lives = st.builds(
    Live,
    requests=st.integers(0, 5000),
    failures=st.integers(0, 50),
    observations=st.integers(0, 200),
    error=errors,
)


@given(lives, lives, st.integers(0, 2), st.integers(0, 20 * 24))
def test_going_on_needs_a_comparison_that_is_good(
    before: Live, after: Live, position: int, hours: int
) -> None:
    found = advance(rollout(position, NOW - timedelta(hours=hours)), before, after, NOW)
    if isinstance(found, StepUp | Promote):
        ratio = found.evidence["error_ratio"]
        assert ratio is not None
        assert 0 <= ratio <= 1.05
        assert hours >= 1
        assert after.requests >= 100
        assert after.failures <= after.requests * 0.01
