"""What a delivery tells while it runs; who shows it, and how, is the caller's business."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class StepStarted:
    """A step begins."""

    step: str


@dataclass(frozen=True, slots=True)
class StepAdvanced:
    """A step is `fraction` (0 to 1) done."""

    step: str
    fraction: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class StepFinished:
    """A step is over; `note` says in a few words what came of it."""

    step: str
    note: str
    duration_s: float


@dataclass(frozen=True, slots=True)
class Remark:
    """Something a person should know, such as a repair of the data."""

    text: str


Event: TypeAlias = StepStarted | StepAdvanced | StepFinished | Remark
Listener: TypeAlias = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Listen to nothing."""
    del event


class Step:
    """A step under way: advance it, and leave a note of what came of it."""

    def __init__(self, name: str, listener: Listener) -> None:
        self.name = name
        self.note = ""
        self._listener = listener

    def advance(self, fraction: float, note: str = "") -> None:
        """Report that `fraction` (0 to 1) is done."""
        self._listener(StepAdvanced(self.name, fraction, note))


@contextmanager
def step(name: str, listener: Listener) -> Iterator[Step]:
    """Report the start and, when it did not raise, the end of the step called `name`."""
    current = Step(name, listener)
    listener(StepStarted(name))
    started = perf_counter()
    yield current
    listener(StepFinished(name, current.note, perf_counter() - started))
