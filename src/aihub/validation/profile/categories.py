"""Summary of a column of categories: exact counts, and heavy hitters with a bounded error beyond a cap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

MAX_EXACT = 1000
"""Distinct categories counted exactly."""


@dataclass(frozen=True, eq=False)
class CategorySummary:
    """What is known of a column of categories.

    Attributes
    ----------
    rows, missing
        Rows seen, and how many of them are null.
    counts
        Lower bound of the count per category, most frequent first; exact where `error` is 0.
    error
        What a true count may exceed `counts` by, also for categories that are not listed; 0 means exact and complete.
    """

    rows: int
    missing: int
    counts: Mapping[str, int]
    error: int = 0

    @classmethod
    def of(cls, values: NDArray[Any]) -> CategorySummary:
        """Summarise an object or string array of shape (n,); None and NaN are missing."""
        raise NotImplementedError

    def merge(self, other: CategorySummary) -> CategorySummary:
        """Summary of both columns."""
        raise NotImplementedError

    @property
    def n(self) -> int:
        """Values that are not missing."""
        return self.rows - self.missing

    @property
    def is_exact(self) -> bool:
        """Whether every category is listed with its exact count."""
        return self.error == 0
