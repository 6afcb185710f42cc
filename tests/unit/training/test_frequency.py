from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aihub.training.frequency import format_frequency, parse_frequency, steps_per_day


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("1h", 60),
        ("H", 60),
        ("30min", 30),
        ("15m", 15),
        ("15T", 15),
        ("1d", 1440),
        ("PT30M", 30),
        ("P1D", 1440),
        ("2 hours", 120),
    ],
)
def test_common_spellings_are_read(text: str, minutes: int) -> None:
    assert parse_frequency(text) == timedelta(minutes=minutes)


@pytest.mark.parametrize("text", ["", "0h", "fast", "1x", "-1h", "1.5h", "h1", "9999999h", "500d", "PT", "P"])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="'1h', '30min' or '1d'"):
        parse_frequency(text)


@given(st.integers(1, 366 * 86400))
def test_what_is_written_is_read_back(seconds: int) -> None:
    step = timedelta(seconds=seconds)
    text = format_frequency(step)
    assert len(text) > 10 or parse_frequency(text) == step


def test_steps_per_day_is_never_zero() -> None:
    assert steps_per_day(timedelta(minutes=15)) == 96
    assert steps_per_day(timedelta(days=7)) == 1
