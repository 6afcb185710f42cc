"""The kinds of jobs that a worker knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aihub.delivery.lease import Lease
    from aihub.delivery.runs import Run

Pipeline: TypeAlias = "Callable[[Run], None]"
Quick: TypeAlias = "Callable[[Sequence[Lease]], None]"


@dataclass(frozen=True)
class Kind:
    """A kind of job: exactly one of the two functions.

    Attributes
    ----------
    run
        Works in a thread of its own, step by step, and ends the job in its last transaction.
    quick
        Works on many jobs at once in the worker's own loop: neither blocks nor fails nor writes. The worker completes the
        jobs in one transaction.
    """

    name: str
    run: Pipeline | None = None
    quick: Quick | None = None


def _nothing(_leases: Sequence[Lease]) -> None:
    """Do nothing: what the engine itself costs is measured with it."""


def _train(run: Run) -> None:
    from aihub.delivery.pipeline import train

    train(run)


def _validate(run: Run) -> None:
    from aihub.delivery.validating import validate

    validate(run)


KINDS = (Kind("train", run=_train), Kind("validate", run=_validate), Kind("noop", quick=_nothing))
