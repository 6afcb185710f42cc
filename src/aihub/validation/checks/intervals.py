"""Coverage of the prediction intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.types import Outcome, Severity
from aihub.validation import intervals, longrun
from aihub.validation.checks.answers import (
    concluded,
    inconclusive,
    labelled,
    number,
    quiet,
    skipped,
    time_order,
    within,
)
from aihub.validation.checks.base import Check
from aihub.validation.report import plots
from aihub.validation.results import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from aihub.validation.checks.base import Subject
    from aihub.validation.results import CheckResult

NAME = "interval_coverage"
_REASON = "Whoever plans reserves by an interval needs it to hold as often as it says."


@quiet
def interval_coverage(subject: Subject, parameters: Mapping[str, Any], severity: Severity) -> CheckResult:
    """Observed against nominal coverage, with an interval that allows for autocorrelation.

    Failed where the whole 95 % interval of the coverage is more than `tolerance` away from the nominal level, on either
    side; inconclusive where that interval is wider than the tolerance.
    """
    if subject.interval is None:
        return skipped(NAME, severity, "the model gives no prediction intervals")
    known = labelled(subject)
    if known is None:
        return skipped(NAME, severity, "the rows have no target")
    lower, upper, level = subject.interval
    if len(lower) != subject.n or len(upper) != subject.n or not 0 < level < 1:
        return inconclusive(
            NAME,
            severity,
            "interval",
            f"interval: {len(lower)} and {len(upper)} bounds at level {level} for {subject.n} rows",
            "give one lower and one upper bound per row, and a level in (0, 1)",
        )
    y = known[0]
    rows = np.isfinite(y)
    stamps = time_order(subject, slice(None))
    if stamps is not None:
        rows &= ~np.isnat(stamps)
    order = _in_order(subject, rows)
    found = intervals.coverage(
        y[order],
        lower[order],
        upper[order],
        level,
        timestamps=None if stamps is None else stamps[order],
        breaks=_breaks(subject, order),
    )
    unbounded = int((~np.isfinite(lower[order]) | ~np.isfinite(upper[order])).sum())
    crossed = int((lower[order] > upper[order]).sum())
    findings = [_coverage_finding(found, float(parameters["tolerance"]))]
    for count, what in ((unbounded, "bounds are not finite"), (crossed, "lower bounds are above the upper")):
        if count:
            findings.append(
                Finding(
                    subject="bounds",
                    outcome=Outcome.FAILED,
                    observed=count,
                    limit=0,
                    message=f"bounds: in {count} rows {what}",
                    next_step="fix the interval model",
                )
            )
    details = {
        name: number(getattr(found, name))
        for name in (
            "observed",
            "lower",
            "upper",
            "below",
            "above",
            "winkler",
            "width",
            "kupiec_p",
            "christoffersen_p",
        )
    }
    details |= {"level": level, "rows": found.n}
    row = {"label": "coverage", "estimate": found.observed, "lower": found.lower, "upper": found.upper}
    drawn = {"coverage": plots.intervals([row], reference=level, title="Coverage")} if found.n else {}
    return concluded(NAME, severity, _REASON, findings, details=details, plots=drawn)


def _in_order(subject: Subject, rows: NDArray[np.bool_]) -> NDArray[np.intp] | slice:
    """Rows by series and time; as they come where there is no timestamp, without a copy where all are in order."""
    stamps = time_order(subject, slice(None))
    whole = bool(rows.all())
    has_series = subject.series is not None and len(subject.series) == subject.n
    if whole and (stamps is None or (not has_series and bool((stamps[1:] >= stamps[:-1]).all()))):
        return slice(None)
    kept = np.flatnonzero(rows)
    if stamps is None:
        return kept
    if subject.series is None or not has_series:
        return kept[np.argsort(stamps[kept], kind="stable")]
    return kept[np.lexsort((stamps[kept], _codes(subject.series[kept])))]


def _codes(series: NDArray[Any]) -> NDArray[np.intp]:
    numbers: dict[str, int] = {}
    return np.fromiter(
        (numbers.setdefault(str(s), len(numbers)) for s in series.tolist()), dtype=np.intp, count=len(series)
    )


def _breaks(subject: Subject, order: NDArray[np.intp] | slice) -> NDArray[np.bool_] | None:
    if subject.series is None or len(subject.series) != subject.n or not subject.n:
        return None
    codes = _codes(subject.series[order])
    return np.concatenate([np.ones(min(len(codes), 1), dtype=bool), codes[1:] != codes[:-1]])


def _coverage_finding(found: intervals.Coverage, tolerance: float) -> Finding:
    off = (found.observed - found.level, found.lower - found.level, found.upper - found.level)
    outcome = within(*off, tolerance) if found.n >= longrun.MIN_N else Outcome.INCONCLUSIVE
    steps = {
        Outcome.PASSED: "",
        Outcome.FAILED: "calibrate the intervals on more recent rows",
        Outcome.INCONCLUSIVE: "validate on more rows: the coverage is not known well enough",
    }
    return Finding(
        subject="coverage",
        outcome=outcome,
        observed=number(found.observed),
        limit=f"{max(found.level - tolerance, 0):.3f} to {min(found.level + tolerance, 1):.3f}",
        message=(
            f"coverage: {found.observed:.3f} of {found.n} rows lie inside the {found.level:.0%} interval "
            f"(95 % interval {found.lower:.3f} to {found.upper:.3f})"
        ),
        next_step=steps[outcome],
    )


CHECKS: tuple[Check, ...] = (
    Check(
        name=NAME,
        run=interval_coverage,
        reason=_REASON,
        parameters={"tolerance": 0.05},
        severity=Severity.WARN,
    ),
)
