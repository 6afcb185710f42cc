"""What an error says of what strangers sent, and how long that takes: they are said where all others wait."""

from __future__ import annotations

import json
import random
import time

from aihub.api.problems import MAX_DETAIL, of_error
from aihub.errors import DataError, did_you_mean

LETTERS = "abcdefghij"


def test_a_hint_among_many_long_names_takes_no_time() -> None:
    randomly = random.Random(1)  # noqa: S311 - no secret
    names = ["".join(randomly.sample(LETTERS * 9, 90)) for _ in range(10_000)]
    began = time.process_time()
    did_you_mean("".join(randomly.sample(LETTERS * 9, 90)), names)
    did_you_mean("a" * 1_000_000, ["b" * 1_000_000, "a" * 999_999])
    assert time.process_time() - began < 1
    assert did_you_mean("temprature", [*names, "temperature"]) == " Did you mean 'temperature'?"
    assert len(did_you_mean("a", ["b" * 1_000_000])) < 200


def test_a_refusal_of_a_long_name_is_short_and_takes_no_time() -> None:
    began = time.process_time()
    answer = of_error(DataError(f"column {' (got ' * 100_000!r} is not there (got 'x')."))
    assert time.process_time() - began < 0.3
    assert len(json.loads(bytes(answer.body))["detail"]) <= MAX_DETAIL
    short = of_error(DataError("is no number (got 'secret')."))
    assert json.loads(bytes(short.body))["detail"] == "is no number."
