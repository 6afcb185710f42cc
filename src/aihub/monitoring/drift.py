"""Drift of the features that a version was asked with, from windows: no row is read again.

As in the gate (``docs/explanation/drift.md``): where the usual course of a feature over year and week is known, what is
left after taking it off decides; a raw value against a whole year would cry wolf every winter. Else the counts on the
version's own bins decide. Missing values, ranges and new categories need no season.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.monitoring.chunks import HOURS_PER_DAY
from aihub.monitoring.grid import BELOW, BINS, INFINITE, MISSING, OTHER, CategoryBins, NumericBins
from aihub.monitoring.storage import DAY, HOUR, unpacked_bins, unpacked_moments
from aihub.store import observations as rows_of
from aihub.types import Drift
from aihub.validation.drift import DriftReport, DriftResult, DriftSettings, SeriesSettings
from aihub.validation.drift.profiles import category_results, distribution_result, share_result
from aihub.validation.drift.report import adjusted, weighted
from aihub.validation.drift.shares import outside_range, rows_for_share, share_shift
from aihub.validation.drift.verdict import undecided
from aihub.validation.profile import CategorySummary

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sqlalchemy.engine import Connection

    from aihub.monitoring.context import VersionContext
    from aihub.types import FloatArray

SEASONAL_HOURS = 28 * 24
"""The newest four weeks of a range are compared with the season: older ones say little of now, and cost time."""
MATERIAL_KS = 0.1
MATERIAL_LEVEL = 0.5
MATERIAL_SHARE = 0.05
MATERIAL_IMPORTANCE = 0.01
_SINGLE = 1.5
"""Up to so many rows an hour a mean of an hour is a value; beyond, its spread is smaller than the reference's."""


@dataclass(frozen=True, kw_only=True)
class FeatureDrift:
    """Drift of the features of one version.

    Attributes
    ----------
    report
        All results; None where nothing can be compared.
    reason
        Why not.
    detected
        Whether a feature that matters to the model drifted by more than nothing and materially; None where undecided.
    """

    report: DriftReport | None
    detected: bool | None
    reason: str = ""

    @property
    def material(self) -> tuple[DriftResult, ...]:
        """Results that are drift and matter, the largest share of importance first."""
        found = [r for r in self.report.results if is_material(r)] if self.report else []
        return tuple(sorted(found, key=lambda r: -(r.importance or 0.0)))

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form: the features that drifted with their effects."""
        features = [
            {
                "feature": r.column,
                "test": r.test,
                "effect": _finite(r.effect),
                "unit": r.effect_unit,
                "p_adjusted": _finite(r.p_adjusted),
                "importance": r.importance,
                "note": r.note,
            }
            for r in self.material
        ]
        verdict = None if self.report is None else self.report.verdict.value
        return {"verdict": verdict, "features": features, "reason": self.reason}


def is_material(result: DriftResult) -> bool:
    """Whether a result is drift that stops a gate: large enough, on a column that carries at least 1 % of the gain."""
    if result.verdict is not Drift.DRIFT or (
        result.importance is not None and result.importance < MATERIAL_IMPORTANCE
    ):
        return False
    size = abs(result.effect)
    match result.test:
        case "missing":
            # Fewer gaps than in training is no fault.
            return result.effect >= MATERIAL_SHARE
        case "distribution" | "categories":
            return size >= MATERIAL_KS
        case "season-adjusted":
            return size >= MATERIAL_LEVEL
        case "range" | "new categories" | "vanished categories":
            return size >= MATERIAL_SHARE
        case _:
            return True


def feature_drift(
    connection: Connection,
    tenant: str,
    model: str,
    version: int,
    *,
    hours: tuple[int, int],
    context: VersionContext,
) -> FeatureDrift:
    """Compare the features of a version between two hours with what it was trained on."""
    columns = context.grid.columns
    if not columns:
        return FeatureDrift(
            report=None, detected=None, reason="the version keeps no profile of its training data"
        )
    counts = _counts(connection, tenant, model, version, hours=hours, columns=len(columns))
    if not counts.sum():
        return FeatureDrift(report=None, detected=None, reason="no features were logged in this range")
    stamps, moments = np.empty(0, "datetime64[us]"), np.zeros((0, len(columns), 3))
    if context.references:
        stamps, moments = _hourly(connection, tenant, model, version, hours=hours, columns=len(columns))
    settings = DriftSettings()
    hypotheses = 3 * len(columns)
    found: list[DriftResult] = []
    for at, bins in enumerate(columns):
        if isinstance(bins, CategoryBins):
            found += category_results(
                bins.name, bins.summary, _as_summary(bins, counts[at]), settings, hypotheses
            )
            continue
        found += _shares(bins, counts[at], settings, hypotheses)
        found.append(_level(bins, counts[at], (stamps, moments[:, at]), context, settings))
    report = DriftReport(results=adjusted(weighted(found, context.importance), settings), settings=settings)
    result = FeatureDrift(report=report, detected=None)
    if result.material:
        return replace(result, detected=True)
    if report.verdict is Drift.NOT_ENOUGH_DATA:
        needed = report.n_needed
        reason = "not enough predictions to tell" + (f": {needed:,} would do" if needed else "")
        return replace(result, reason=reason)
    return replace(result, detected=False)


def _counts(
    connection: Connection, tenant: str, model: str, version: int, *, hours: tuple[int, int], columns: int
) -> NDArray[np.int64]:
    """Add up the counts per bin of a range: whole days, and the hours at its ends; shape (columns, `BINS`)."""
    whole = np.zeros((columns, BINS), np.int64)
    for span, first, last in spans(*hours):
        for row in rows_of.feature_rows(
            connection, tenant=tenant, model=model, version=version, span=span, first=first, last=last
        ):
            whole += unpacked_bins(row.bins, columns)
    return whole


def _hourly(
    connection: Connection, tenant: str, model: str, version: int, *, hours: tuple[int, int], columns: int
) -> tuple[NDArray[np.datetime64], FloatArray]:
    """Moments of each of the newest hours, shape (hours, columns, 3), and their times."""
    first, last = hours
    rows = rows_of.feature_rows(
        connection, tenant=tenant, model=model, version=version, span=HOUR, first=first, last=last, bins=False,
        newest=SEASONAL_HOURS,
    )  # fmt: skip
    stamps = np.array([row.hour for row in rows], "datetime64[h]").astype("datetime64[us]")
    return stamps, np.stack([unpacked_moments(row.moments) for row in rows]) if rows else np.zeros(
        (0, columns, 3)
    )


def spans(first: int, last: int) -> list[tuple[str, int, int]]:
    """Cut hours `first` up to and without `last` into whole days and the hours at the ends."""
    start = -(-first // HOURS_PER_DAY) * HOURS_PER_DAY
    end = last // HOURS_PER_DAY * HOURS_PER_DAY
    if start >= end:
        return [(HOUR, first, last)]
    cut = [(HOUR, first, start), (DAY, start, end), (HOUR, end, last)]
    return [part for part in cut if part[1] < part[2]]


def _level(
    bins: NumericBins,
    counts: NDArray[np.int64],
    course: tuple[NDArray[np.datetime64], FloatArray],
    context: VersionContext,
    settings: DriftSettings,
) -> DriftResult:
    """Judge the values themselves: by what the season leaves where it is known, else by their distribution."""
    reference = context.references.get(bins.name)
    stamps, moments = course
    n = moments[:, 0]
    if reference is None or not (n > 0).any():
        return _distribution(bins, counts, settings, len(context.grid.columns))
    result = reference.test(
        stamps[n > 0], moments[n > 0, 1], settings=SeriesSettings(alpha=settings.alpha, power=settings.power)
    )
    if n.sum() / max(1, int((n > 0).sum())) > _SINGLE and "p_level" in result.explain:
        # Means of many rows spread less than rows do: only the level can be compared.
        p = min(1.0, result.explain["p_level"])
        is_large = abs(result.effect) > result.min_effect
        result = replace(result, p_value=p if is_large else 1.0, p_adjusted=p if is_large else 1.0)
    return result


def _distribution(
    bins: NumericBins, counts: NDArray[np.int64], settings: DriftSettings, columns: int
) -> DriftResult:
    inner = slice(BELOW, BINS)
    reference, current = bins.reference[inner], counts[inner]
    if not current.sum():
        return undecided(
            bins.name, "distribution", n_reference=int(reference.sum()), n_current=0, note="no usable value"
        )
    return distribution_result(bins.name, reference, current, settings=settings, hypotheses=3 * columns)


def _shares(
    bins: NumericBins, counts: NDArray[np.int64], settings: DriftSettings, hypotheses: int
) -> list[DriftResult]:
    rows, before = int(counts.sum()), bins.summary
    missing = share_shift(
        before.missing, before.rows, int(counts[MISSING]), rows, min_effect=settings.missing
    )
    beyond = int(counts[BELOW] + counts[BINS - 1] + (counts[INFINITE] if not before.non_finite else 0))
    usable = rows - int(counts[MISSING])
    outside = outside_range(beyond, usable, before.n, limit=settings.outside)
    note = f"{outside.current:.1%} outside the training range {before.minimum:g} to {before.maximum:g}"
    said = f"{missing.current:.1%} missing, {missing.reference:.1%} in training"
    return [
        share_result(
            bins.name,
            test,
            shift,
            unit="share of rows",
            min_effect=effect,
            rows=(before.rows, rows),
            needed=rows_for_share(
                target=settings.missing_target,
                min_effect=effect,
                alpha=settings.alpha,
                hypotheses=hypotheses,
                power=settings.power,
            ),
            note=text,
        )
        for test, shift, effect, text in (
            ("missing", missing, settings.missing, said),
            ("range", outside, settings.outside, note),
        )
    ]


def _as_summary(bins: CategoryBins, counts: NDArray[np.int64]) -> CategorySummary:
    known = {name: int(counts[at]) for name, at in bins.names.items() if counts[at]}
    if counts[OTHER]:
        known["(not in training)" if bins.reference[OTHER] == 0 else "(other)"] = int(counts[OTHER])
    return CategorySummary.from_counts(known, int(counts[MISSING]))


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
