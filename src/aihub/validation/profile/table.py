"""The profile of a table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aihub.validation.profile.categories import CategorySummary
from aihub.validation.profile.numeric import NumericSummary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aihub.validation.metrics import ClassificationSums, RegressionSums
    from aihub.validation.profile.cells import CellMoments

ColumnSummary = NumericSummary | CategorySummary


@dataclass(frozen=True, kw_only=True)
class ProfileSpec:
    """What to make of the columns.

    Attributes
    ----------
    target, prediction, score, timestamp
        Columns by role. Target and prediction together give the metric sums; a timestamp gives time-of-week cells.
    classes
        Target and prediction are 0/1 labels instead of numbers.
    time_zone
        IANA zone in which the time of week is read.
    columns
        Columns to summarise; None means all.
    """

    target: str | None = None
    prediction: str | None = None
    score: str | None = None
    timestamp: str | None = None
    classes: bool = False
    time_zone: str = "UTC"
    columns: tuple[str, ...] | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Profile:
    """Mergeable summary of a table; holds no rows.

    Attributes
    ----------
    rows
        Rows seen.
    columns
        Summary per column, in the table's order.
    cells
        Moments per hour of the week (168 cells, Monday 00:00 first) of the numeric columns; empty without a timestamp.
    start, end
        First and last timestamp, microseconds since 1970 in UTC; None without a timestamp.
    regression, classification
        Sums from which every metric is computed; None without target and prediction.
    """

    rows: int
    columns: Mapping[str, ColumnSummary]
    spec: ProfileSpec = field(default_factory=ProfileSpec)
    cells: Mapping[str, CellMoments] = field(default_factory=dict)
    start: int | None = None
    end: int | None = None
    regression: RegressionSums | None = None
    classification: ClassificationSums | None = None

    @classmethod
    def of(cls, table: Any, spec: ProfileSpec | None = None, *, like: Profile | None = None) -> Profile:
        """Summarise `table` in one pass.

        Parameters
        ----------
        table
            pandas, polars, Arrow, a mapping of arrays, or the path of a Parquet or CSV file (streamed).
        spec
            Roles of columns; None takes the spec of `like`, else none.
        like
            Profile of similar data: makes the pass faster, never different in meaning.

        Raises
        ------
        DataError
            The table cannot be read, or a column that the spec names is missing.
        """
        raise NotImplementedError

    def merge(self, other: Profile) -> Profile:
        """Profile of both tables; a column that one of them lacks counts as missing in its rows."""
        raise NotImplementedError

    def to_bytes(self) -> bytes:
        """Versioned, compressed, digest-checked form; equal profiles give equal bytes."""
        raise NotImplementedError

    @classmethod
    def from_bytes(cls, data: bytes) -> Profile:
        """Read what `to_bytes` wrote.

        Raises
        ------
        ArtifactError
            Not a profile, of another version, changed or cut off.
        """
        raise NotImplementedError

    def stats(self) -> dict[str, dict[str, float]]:
        """Give the guide's ``{"column": {"mean": .., "std": ..}}`` for the numeric columns."""
        raise NotImplementedError
