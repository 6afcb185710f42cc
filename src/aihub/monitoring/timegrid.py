"""The times that a model's rows lie on, and stamps that are a little beside them.

A meter that is polled stamps 10:00:03 or 09:59:59.9 what is about 10:00, and predictions and actuals are matched to the
microsecond. So both are put on the grid that the model was trained on, where they lie within a hundredth of its step;
what lies farther off is another time and is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from aihub.training.model import MODEL_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

SHARE = 0.01
"""Part of the step that a stamp may lie beside it."""
_QUARTER_S = 900
"""Offsets of all time zones are multiples of it."""
_SECOND_US = 1_000_000


@dataclass(frozen=True)
class TimeGrid:
    """Times ``k * spacing_us + offset_us`` after 1970, and how far from one a stamp may lie."""

    spacing_us: int
    offset_us: int
    tolerance_us: int

    @classmethod
    def of(cls, step_s: int, offset_s: int, *, is_local: bool = False) -> TimeGrid:
        """Make the grid of a model; days that begin at midnight of a zone (`is_local`) lie on quarters of an hour."""
        spacing_s = min(step_s, _QUARTER_S) if is_local else step_s
        tolerance_us = min(round(step_s * SHARE * _SECOND_US), spacing_s * _SECOND_US // 10)
        return cls(spacing_s * _SECOND_US, offset_s % spacing_s * _SECOND_US, tolerance_us)

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> TimeGrid | None:
        """Read it from an artefact's files; None where the model's rows lie on no grid, or nothing is known of it."""
        try:
            content: Any = orjson.loads(files[MODEL_FILE])
            step_s, offset_s = int(content["layout"]["step_s"]), int(content["offset_s"])
            return cls.of(step_s, offset_s, is_local=content.get("clock", "UTC") != "UTC")
        except (KeyError, TypeError, ValueError):
            return None

    def settled(self, times_us: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Put times on the grid where they lie near enough; tell which were moved.

        >>> hours = TimeGrid.of(3600, 0)
        >>> moved, which = hours.settled(np.array([3_603_000_000, 3_599_900_000, 3_700_000_000]))
        >>> moved.tolist(), which.tolist()
        ([3600000000, 3600000000, 3700000000], [True, True, False])
        """
        half = self.spacing_us // 2
        beside = (times_us - self.offset_us + half) % self.spacing_us - half
        is_near = (beside != 0) & (np.abs(beside) <= self.tolerance_us)
        return np.where(is_near, times_us - beside, times_us), is_near
