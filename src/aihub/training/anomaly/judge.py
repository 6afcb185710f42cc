"""What decides in a detector: a classifier that learned labels, or an expectation that can be surprised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aihub.training.algorithms.base import Booster
    from aihub.training.anomaly.past import Pace
    from aihub.training.anomaly.table import Columns, Rows
    from aihub.types import FloatArray


class Judge(Protocol):
    """Scores rows; knows how to write itself down."""

    @property
    def columns(self) -> Columns:
        """What it reads."""
        ...

    @property
    def pace(self) -> Pace:
        """Step between rows."""
        ...

    @property
    def threshold(self) -> float:
        """Score from which a row is an alarm."""
        ...

    @property
    def boosters(self) -> Mapping[str, Booster]:
        """Fitted ensembles by file stem."""
        ...

    def score(self, rows: Rows, *, threads: int = 1, last: int | None = None) -> FloatArray:
        """Calibrated score in [0, 1] per row, shape (n,); the rows are each other's past.

        With `last` only of the last so many rows, shape (last,): the same numbers for less work.
        """
        ...

    def importances(self) -> dict[str, float]:
        """Share of the total gain per feature, largest first."""
        ...

    def to_state(self) -> dict[str, Any]:
        """Return everything but the boosters, JSON-able."""
        ...


def shares(gain: Mapping[str, float], names: tuple[str, ...]) -> dict[str, float]:
    """Translate gains per safe name into shares per readable name, largest first."""
    total = sum(gain.values())
    if total <= 0:
        return {}
    named = {names[int(safe[1:])]: value / total for safe, value in gain.items()}
    return dict(sorted(named.items(), key=lambda item: (-item[1], item[0])))
