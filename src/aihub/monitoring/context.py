"""What monitoring has to know of a version: what it was trained on, what validation promised, how to watch it."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Protocol

from aihub.monitoring.grid import FeatureGrid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aihub.monitoring.timegrid import TimeGrid
    from aihub.validation.drift import SeriesReference

ALL = ""
"""Name of the group of series that are in no group of the policy."""


@dataclass(frozen=True, kw_only=True, eq=False)
class VersionContext:
    """One version, as far as its predictions are watched.

    Attributes
    ----------
    classes
        An anomaly model: predictions and actuals are 0 and 1.
    level
        Nominal coverage of its intervals.
    target, series_column, timestamp_column
        Names of the predicted column, of the series ids and of the time stamps in the training table; an upload of
        actuals may use them.
    stamp_zone
        IANA zone in which training read stamps without an offset; predictions and actuals are read alike.
    grid
        Bins of its features; empty where nothing is known of the training rows.
    times
        Times that its rows lie on; None where they lie on no grid.
    references
        Usual course of each numeric feature over the year and the week.
    importance
        Share of the model's gain per feature.
    promised
        Metrics of the gate's holdout.
    groups
        Patterns of series ids per group, the first that fits counts.
    watch
        Watch rules of the specification (``policy.watch``), as they are written there.
    spec
        The whole specification; empty where the version was made without one.
    missing
        Why something of it is not known now; empty where all is.
    """

    classes: bool = False
    level: float = 0.9
    target: str = "actual"
    series_column: str = "series"
    timestamp_column: str = "timestamp"
    stamp_zone: str = "UTC"
    grid: FeatureGrid = field(default_factory=FeatureGrid)
    times: TimeGrid | None = None
    references: Mapping[str, SeriesReference] = field(default_factory=dict)
    importance: Mapping[str, float] = field(default_factory=dict)
    promised: Mapping[str, float] = field(default_factory=dict)
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    watch: Mapping[str, Any] = field(default_factory=dict)
    spec: Mapping[str, Any] = field(default_factory=dict)
    missing: str = ""

    def group_of(self, series: str) -> str:
        """Name the group of a series."""
        for name, patterns in self.groups.items():
            if any(fnmatchcase(series, pattern) for pattern in patterns):
                return name
        return ALL


class Contexts(Protocol):
    """Where the contexts come from: the registry, or a test."""

    def of(self, tenant: str, model: str, version: int) -> VersionContext:
        """Return what is known of a version; one that does not exist any more has a context of defaults."""
        ...

    def latest(self, tenant: str, model: str) -> VersionContext:
        """Return what is known of the version that serves, or of the newest."""
        ...

    def answering(self, tenant: str, model: str) -> frozenset[int]:
        """Versions whose answers were sent in production, also as a canary; empty where that is not known."""
        ...


@dataclass(frozen=True)
class FixedContexts:
    """One context for everything: replays and tests."""

    context: VersionContext = field(default_factory=VersionContext)
    by_version: Mapping[int, VersionContext] = field(default_factory=dict)
    served: frozenset[int] = frozenset()

    def of(self, tenant: str, model: str, version: int) -> VersionContext:  # noqa: ARG002 - as the protocol says
        """Return the context of a version."""
        return self.by_version.get(version, self.context)

    def latest(self, tenant: str, model: str) -> VersionContext:  # noqa: ARG002 - as above
        """Return the context."""
        return self.context

    def answering(self, tenant: str, model: str) -> frozenset[int]:  # noqa: ARG002 - as above
        """Return the versions that are said to have been served; of none every version counts."""
        return self.served
