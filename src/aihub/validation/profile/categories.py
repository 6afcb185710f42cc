"""Summary of a column of categories: exact counts, and heavy hitters with a bounded error beyond a cap."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_EXACT = 1000
"""Distinct categories counted exactly; beyond, the most frequent of them are kept."""

MAX_LABEL = 100
"""Characters kept of a category's name; a longer one ends in a digest, so that two of them stay two."""


@dataclass(frozen=True, eq=False)
class CategorySummary:
    """What is known of a column of categories.

    Beyond `MAX_EXACT` categories this is the mergeable summary of Agarwal et al., "Mergeable Summaries" (ACM TODS 38(4),
    2013), for Misra-Gries counters: the next largest count is taken off every counter, and `error` grows by it. So
    ``error <= n / (MAX_EXACT + 1)`` in whatever order parts are merged, and every category above that share is listed.

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
    counts: Mapping[str, int] = field(default_factory=dict)
    error: int = 0

    @classmethod
    def of(cls, values: Any) -> CategorySummary:
        """Summarise a list or array of any hashable or unhashable values; None and NaN are missing.

        Examples
        --------
        >>> s = CategorySummary.of(["a", "b", "a", None])
        >>> dict(s.counts), s.missing, s.is_exact
        ({'a': 2, 'b': 1}, 1, True)
        """
        counts: dict[str, int] = {}
        missing = 0
        for value in values:
            if value is None or value != value:  # noqa: PLR0124 - NaN
                missing += 1
            else:
                name = label(value)
                counts[name] = counts.get(name, 0) + 1
        return cls.from_counts(counts, missing)

    @classmethod
    def from_counts(cls, counts: Mapping[str, int], missing: int, error: int = 0) -> CategorySummary:
        """Summary of a column whose counts per category (without the missing ones) are known."""
        rows = sum(counts.values()) + missing
        kept, dropped = _capped(counts)
        return cls(rows, missing, kept, error + dropped)

    @classmethod
    def absent(cls, rows: int) -> CategorySummary:
        """Summary of a column that a table of `rows` rows does not have."""
        return cls(rows, rows)

    def merge(self, other: CategorySummary) -> CategorySummary:
        """Summary of both columns; exact while at most `MAX_EXACT` categories have been seen."""
        counts = dict(self.counts)
        for name, count in other.counts.items():
            counts[name] = counts.get(name, 0) + count
        kept, dropped = _capped(counts)
        return CategorySummary(
            self.rows + other.rows, self.missing + other.missing, kept, self.error + other.error + dropped
        )

    @property
    def n(self) -> int:
        """Values that are not missing."""
        return self.rows - self.missing

    @property
    def is_exact(self) -> bool:
        """Whether every category is listed with its exact count."""
        return self.error == 0


def label(value: Any) -> str:
    """Name of a category: its text, shortened where it is long."""
    text = value if isinstance(value, str) else str(value)
    if len(text) <= MAX_LABEL:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{text[: MAX_LABEL - 14]}…#{digest}"


def _capped(counts: Mapping[str, int]) -> tuple[dict[str, int], int]:
    """Take the next largest count off the `MAX_EXACT` largest; return both, ordered by count, then name."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    dropped = ordered[MAX_EXACT][1] if len(ordered) > MAX_EXACT else 0
    return {name: count - dropped for name, count in ordered[:MAX_EXACT] if count > dropped}, dropped
