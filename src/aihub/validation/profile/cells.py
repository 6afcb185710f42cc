"""Moments per hour of the week."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from aihub.types import FloatArray

CELLS = 168
"""Hours of a week; cell 0 is Monday 00:00-01:00 local time."""


@dataclass(frozen=True, eq=False)
class CellMoments:
    """Count, mean and sum of squared deviations per hour of the week, shape (168,) each; NaN mean in empty cells."""

    n: NDArray[np.int64]
    mean: FloatArray
    m2: FloatArray

    @classmethod
    def of(cls, cell: NDArray[np.intp], values: FloatArray) -> CellMoments:
        """Moments of the finite `values` by `cell` (0 to 167)."""
        raise NotImplementedError

    def merge(self, other: CellMoments) -> CellMoments:
        """Moments of both."""
        raise NotImplementedError


def hour_of_week(timestamps: NDArray[np.datetime64], time_zone: str = "UTC") -> NDArray[np.intp]:
    """Hour of the week in `time_zone` of UTC `timestamps`, 0 (Monday 00:00) to 167."""
    raise NotImplementedError
