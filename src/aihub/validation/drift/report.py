"""All drift results of one comparison, and the settings they were made with."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from aihub.types import Drift
from aihub.validation.drift.multiplicity import benjamini_hochberg
from aihub.validation.drift.verdict import DriftResult, worst_drift

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftSettings:
    """What counts as nothing, what must be found, and how sure to be.

    Attributes
    ----------
    alpha
        False discovery rate over all hypotheses of one comparison.
    power
        With which `target` effects must be found before "ok" is said.
    ks, ks_target
        Minimum and target gap of distribution functions; 0.05 and 0.2 are shifts of 0.125 and 0.5 sd of a normal.
    categories, categories_target
        Minimum and target Cohen's w.
    missing, missing_target
        Minimum and target change of the share of missing values.
    outside
        Share of rows outside the reference range, or in new categories, that counts as nothing.
    vanished
        Smallest reference share of a category whose vanishing matters.
    """

    alpha: float = 0.05
    power: float = 0.8
    ks: float = 0.05
    ks_target: float = 0.2
    categories: float = 0.1
    categories_target: float = 0.4
    missing: float = 0.02
    missing_target: float = 0.15
    outside: float = 0.01
    vanished: float = 0.05


@dataclass(frozen=True, kw_only=True)
class DriftReport:
    """Every result of one comparison.

    Attributes
    ----------
    results
        One per hypothesis, those of one column together.
    extra_columns
        Columns of the current table that the reference lacks.
    skipped
        Columns not compared, with the reason (time stamps, for example).
    """

    results: tuple[DriftResult, ...]
    settings: DriftSettings = field(default_factory=DriftSettings)
    extra_columns: tuple[str, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)

    @property
    def verdict(self) -> Drift:
        """Worst verdict of all; a report without results is not enough data."""
        return worst_drift(result.verdict for result in self.results)

    def column(self, name: str) -> tuple[DriftResult, ...]:
        """Return the results of one column; empty where it was not compared."""
        return tuple(result for result in self.results if result.column == name)

    @property
    def verdicts(self) -> dict[str, Drift]:
        """Worst verdict per column."""
        by_column: dict[str, list[Drift]] = {}
        for result in self.results:
            by_column.setdefault(result.column, []).append(result.verdict)
        return {name: worst_drift(verdicts) for name, verdicts in by_column.items()}

    @property
    def drifted(self) -> tuple[str, ...]:
        """Columns with the verdict drift, the most important to the model first."""
        names = {r.column: r.importance or 0.0 for r in self.results if r.verdict is Drift.DRIFT}
        return tuple(sorted(names, key=lambda name: -names[name]))

    @property
    def drifted_importance(self) -> float | None:
        """Share of the model's importance that lies on drifted columns, 0 to 1; None where importances are unknown."""
        known = {r.column: r.importance for r in self.results if r.importance is not None}
        if not known:
            return None
        drifted = set(self.drifted)
        return float(sum(share for name, share in known.items() if name in drifted))

    @property
    def n_needed(self) -> int | None:
        """Current rows that would settle every open result; None where none would, or nothing is open."""
        needed = [r.n_needed for r in self.results if r.verdict is Drift.NOT_ENOUGH_DATA]
        known = [n for n in needed if n is not None]
        return max(known) if known and len(known) == len(needed) else None


def adjusted(results: Sequence[DriftResult], settings: DriftSettings) -> tuple[DriftResult, ...]:
    """Adjust the p-values of one comparison together and give each its verdict.

    Drift where the adjusted p-value is at most alpha; else not enough data where a change of the target size would be
    missed too often; else ok. Results without a p-value, and those that are drift by definition, stay as they are.
    """
    tested = [
        i for i, r in enumerate(results) if r.p_value == r.p_value and r.test not in ("schema", "constant")
    ]
    decided = list(results)
    for i, p in zip(tested, benjamini_hochberg([results[i].p_value for i in tested]), strict=True):
        result = results[i]
        too_few = result.n_needed is None or result.n_current < result.n_needed
        verdict = Drift.DRIFT if p <= settings.alpha else Drift.NOT_ENOUGH_DATA if too_few else Drift.OK
        decided[i] = replace(result, p_adjusted=float(p), verdict=verdict)
    return tuple(decided)


def weighted(
    results: Sequence[DriftResult], importance: Mapping[str, float] | None
) -> tuple[DriftResult, ...]:
    """Give every result its column's share of the model's importance (0 where the model does not name the column)."""
    if not importance:
        return tuple(results)
    total = sum(value for value in importance.values() if value > 0)
    if not total > 0:
        return tuple(results)
    return tuple(replace(r, importance=max(0.0, importance.get(r.column, 0.0)) / total) for r in results)
