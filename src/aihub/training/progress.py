"""How long work says how far it is, and is asked to stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from aihub.errors import StoppedError

OnProgress: TypeAlias = Callable[[str, float], None]
"""Called with the name of the stage and the share of the whole job that is done (0 to 1)."""
ShouldStop: TypeAlias = Callable[[], bool]
"""Asked between boosting rounds; True ends the training with `StoppedError`."""


@dataclass(frozen=True)
class Watch:
    """A slice of a job's progress, and the way to end it.

    Parameters
    ----------
    on_progress, should_stop
        See `OnProgress` and `ShouldStop`; None: nobody listens, nobody stops.
    stage
        Name that is reported.
    low, high
        Share of the whole job at which this slice starts and ends.
    """

    on_progress: OnProgress | None = None
    should_stop: ShouldStop | None = None
    stage: str = "training"
    low: float = 0.0
    high: float = 1.0

    def __call__(self, done: float) -> None:
        """Report that `done` (0 to 1) of this slice is done.

        Raises
        ------
        StoppedError
            Somebody asked the work to stop.
        """
        if self.should_stop is not None and self.should_stop():
            raise StoppedError(
                f"{self.stage} was stopped on request; nothing was saved. Submit the job again to train."
            )
        if self.on_progress is not None:
            self.on_progress(self.stage, self.low + (self.high - self.low) * min(max(done, 0.0), 1.0))

    def part(self, stage: str, low: float, high: float) -> Watch:
        """Return the slice of this slice from `low` to `high` (each 0 to 1) under its own name."""
        width = self.high - self.low
        return Watch(
            self.on_progress, self.should_stop, stage, self.low + width * low, self.low + width * high
        )
