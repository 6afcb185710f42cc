from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aihub import limits
from aihub.errors import TooManyError
from aihub.limits import RateLimiter


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def _taken(limiter: RateLimiter, name: str, times: int) -> int:
    for count in range(times):
        try:
            limiter.take(name)
        except TooManyError:
            return count
    return times


def test_a_burst_then_the_rate() -> None:
    clock = Clock()
    limiter = RateLimiter(10, 5, clock=clock)
    assert _taken(limiter, "ann", 100) == 5
    with pytest.raises(TooManyError, match="10 requests a second") as caught:
        limiter.take("ann")
    assert caught.value.retry_after_s == pytest.approx(0.1)
    assert _taken(limiter, "ben", 100) == 5
    clock.now += 0.1
    assert _taken(limiter, "ann", 100) == 1
    clock.now += 3600
    assert _taken(limiter, "ann", 100) == 5


def test_no_rate_is_no_limit() -> None:
    assert _taken(RateLimiter(0, 1), "ann", 1000) == 1000


@given(
    st.floats(0.1, 1000),
    st.integers(1, 50),
    st.lists(st.floats(0, 2), min_size=1, max_size=100),
)
def test_never_more_than_rate_and_burst_allow(rate: float, burst: int, pauses: list[float]) -> None:
    clock = Clock()
    start, limiter, taken = clock.now, RateLimiter(rate, burst, clock=clock), 0
    for pause in pauses:
        clock.now += pause
        taken += _taken(limiter, "x", 3)
    assert taken <= burst + (clock.now - start) * rate + 1e-6


def test_the_buckets_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_BUCKETS", 10)
    clock = Clock()
    limiter = RateLimiter(1, 3, clock=clock)
    assert _taken(limiter, "greedy", 10) == 3
    for number in range(50):
        limiter.take(number)
    assert len(limiter._full_at) <= 10
    # Whoever has used the most is remembered the longest.
    assert _taken(limiter, "greedy", 1) == 0
