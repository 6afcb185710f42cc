"""Where the model is weak, although it is fine on average."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.types import ModelType, Outcome, Severity
from aihub.validation import slices
from aihub.validation.checks.answers import (
    concluded,
    inconclusive,
    labelled,
    number,
    quiet,
    sample_rows,
    skipped,
    time_order,
)
from aihub.validation.checks.base import Check
from aihub.validation.comparison import row_losses
from aihub.validation.frames import numeric_names, take, take_codes
from aihub.validation.report import plots
from aihub.validation.results import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from aihub.types import FloatArray
    from aihub.validation.checks.base import Subject
    from aihub.validation.results import CheckResult

NAME = "slice_performance"
_REASON = "A good average can hide an hour, a site or a season in which the model fails."
_MOST_CATEGORIES = 6
_GUESS = 0.5
"""Balanced error of whoever always gives the same answer."""


@quiet
def slice_performance(subject: Subject, parameters: Mapping[str, Any], severity: Severity) -> CheckResult:
    """Test every hour, weekday, season, series, category and load level; see `aihub.validation.slices.weak_slices`.

    With a champion a slice is weak where the challenger's loss there exceeds (1 + margin) times the champion's; without
    one, where the model is worse than the slice's own median. A detector's errors are balanced (a missed anomaly among
    few weighs more than a false alarm), and without a champion it is weak where it is worse than a guess. Load levels
    are cut by the target, so that they are compared with a champion only (within a level no model can beat the level's
    median by much). What is less than `min_excess` of the mean loss of all rows is no weakness: a solar forecast that is
    not quite zero at night does no harm. Beyond `max_rows` a seeded sample of rows is looked at.
    """
    known = labelled(subject)
    if known is None:
        return skipped(NAME, severity, "the rows have no target")
    y_true, y_pred, usable = known
    champion = subject.champion_pred
    if champion is not None and len(champion) == subject.n:
        usable = usable & np.isfinite(champion)
    else:
        champion = None
    stamps = time_order(subject, slice(None))
    if stamps is not None:
        usable = usable & ~np.isnat(stamps)
    rows = np.flatnonzero(usable)
    rows = rows[sample_rows(len(rows), int(parameters["max_rows"]), subject.seed)]
    if len(rows) < int(parameters["min_rows"]):
        return inconclusive(
            NAME,
            severity,
            "slices",
            f"slices: {len(rows)} usable rows, a slice needs {parameters['min_rows']}",
            "validate on more rows",
        )
    target = y_true[rows]
    is_anomaly = subject.model_type is ModelType.ANOMALY
    kind = "balanced" if is_anomaly else "absolute"
    loss = row_losses(target, y_pred[rows], kind)
    if champion is not None:
        old, than = row_losses(target, champion[rows], kind), "the champion's"
    elif is_anomaly:
        old, than = np.full(len(rows), _GUESS), "a guess's"
    else:
        old, than = None, "its own median's"
    axes = _axes(subject, rows, target, has_champion=champion is not None)
    found = slices.weak_slices(
        axes,
        loss,
        old,
        target,
        slices.clusters_of(len(rows), None if stamps is None else stamps[rows]),
        factor=1 + float(parameters["margin"]),
        min_n=int(parameters["min_rows"]),
    )
    least = float(parameters["min_excess"]) * float(loss.mean())
    return _answer(found, severity, parameters, than=than, what=f"mean {kind} error", least=least)


def _axes(
    subject: Subject, rows: NDArray[np.intp], target: FloatArray, *, has_champion: bool
) -> list[slices.Axis]:
    stamps = time_order(subject, slice(None))
    axes = [] if stamps is None else slices.calendar_axes(stamps[rows], subject.time_zone)
    if subject.series is not None and len(subject.series) == subject.n:
        axes.append(slices.category_axis("series", subject.series[rows]))
    numbers = set(numeric_names(subject.features))
    texts = [name for name in subject.features if name not in numbers]
    for name in texts[:_MOST_CATEGORIES]:
        coded = take_codes(subject.features, name, rows)
        if coded is not None:
            axes.append(slices.coded_axis(name, *coded))
            continue
        values = take(subject.features, name, rows)
        if len(values) == len(rows) and values.dtype.kind in "OUSTb":
            axes.append(slices.category_axis(name, values))
    if has_champion:
        axes.append(slices.level_axis("load level", target))
    return axes


def _answer(
    found: list[slices.SliceResult],
    severity: Severity,
    parameters: Mapping[str, Any],
    *,
    than: str,
    what: str,
    least: float,
) -> CheckResult:
    tested = [s for s in found if s.p_value == s.p_value]  # NaN: too few rows or days
    if not found:
        return skipped(
            NAME, severity, "there is nothing to cut the table by: no timestamp, series or category"
        )
    if not tested:
        return inconclusive(
            NAME,
            severity,
            "slices",
            f"slices: none of {len(found)} has {parameters['min_rows']} rows on {slices.MIN_CLUSTERS} days",
            "validate on a longer time",
        )
    factor = 1 + float(parameters["margin"])
    weak = sorted(
        (
            s
            for s in tested
            if s.p_value <= float(parameters["alpha"]) and s.loss - factor * s.reference > least
        ),
        key=lambda s: s.p_value,
    )
    findings = [
        Finding(
            subject=s.name,
            outcome=Outcome.FAILED,
            observed=number(s.loss),
            limit=number(s.reference * factor),
            message=f"{s.name}: {what} {s.loss:.4g} against {than} {s.reference:.4g} ({s.n} rows)",
            next_step="look for a missing feature or too little training data in this slice",
            extra={"p_adjusted": number(s.p_value), "rows": s.n, "days": s.clusters},
        )
        for s in weak[: int(parameters["most_shown"])]
    ]
    findings.append(
        Finding(
            subject="slices",
            outcome=Outcome.FAILED if weak else Outcome.PASSED,
            observed=len(weak),
            limit=0,
            message=f"slices: {len(weak)} of {len(tested)} are weak",
            next_step="see the slices above" if weak else "",
        )
    )
    return concluded(
        NAME, severity, _REASON, findings, details=_details(found, than), plots=_plots(found, than, what)
    )


_AGAINST = {
    "the champion's": "champion",
    "a guess's": "always the same answer",
    "its own median's": "median of the slice",
}


def _details(found: list[slices.SliceResult], than: str) -> dict[str, Any]:
    return {
        "against": _AGAINST[than],
        "slices": [
            {
                "slice": s.name,
                "rows": s.n,
                "days": s.clusters,
                "loss": number(s.loss),
                "reference": number(s.reference),
                "p_adjusted": number(s.p_value),
            }
            for s in found[:200]
        ],
    }


def _plots(found: list[slices.SliceResult], than: str, what: str) -> dict[str, Any]:
    drawn = {}
    for axis in dict.fromkeys(s.axis for s in found):
        of_axis = [s for s in found if s.axis == axis]
        drawn[f"loss by {axis}"] = plots.bars(
            [s.label for s in of_axis],
            [s.loss for s in of_axis],
            title=f"{what.capitalize()} by {axis}",
            note=f"held against {than}",
        )
    return drawn


CHECKS: tuple[Check, ...] = (
    Check(
        name=NAME,
        run=slice_performance,
        reason=_REASON,
        parameters={
            "margin": 0.05,
            "alpha": 0.05,
            "min_excess": 0.1,
            "min_rows": 30,
            "max_rows": 20_000,
            "most_shown": 10,
        },
        severity=Severity.WARN,
    ),
)
