"""Whether the model beats what needs no model, and whether its errors and scores mean what they should."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.types import ModelType, Outcome, Severity
from aihub.validation import comparison, longrun, skill
from aihub.validation.checks.answers import (
    concluded,
    inconclusive,
    labelled,
    milder,
    number,
    quiet,
    sample_rows,
    skipped,
    time_order,
    within,
)
from aihub.validation.checks.base import Check
from aihub.validation.comparison import Verdict
from aihub.validation.paired import per_timestamp
from aihub.validation.profile import finite_moments
from aihub.validation.report import plots
from aihub.validation.results import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aihub.validation.checks.base import Subject
    from aihub.validation.results import CheckResult

SKILL = "skill"
SEASONAL = "seasonal_skill"
BIAS = "bias"
# Rows from which the median is taken. Its loss is flat there: that the median of so many is known to 1 % of a standard
# deviation only changes the loss by less than 0.01 %.
_MOST_LABELS = 20_000
CALIBRATION = "calibration"
_SKILL_REASON = "A model that is worse than one constant number must not be deployed."
_SEASONAL_REASON = "Repeating last week costs nothing; a model has to beat it to be worth its keep."
_BIAS_REASON = "Errors that add up instead of cancelling are paid for in every balance."
_CALIBRATION_REASON = "A score of 0.8 must mean that 8 of 10 such rows are anomalous."


@quiet
def run_skill(subject: Subject, parameters: Mapping[str, Any], severity: Severity) -> CheckResult:
    """Loss against that of the best constant answer (the validation target's own median, or always the same class).

    Failed where the model is worse beyond doubt and not shown to be within `margin`. Where the data cannot tell, it is a
    warning if the model at least looks as good, and stops the gate if it does not. Anomalies: the constant's balanced
    loss, less `anomaly_gain`, has to be beaten.
    """
    known = labelled(subject)
    if known is None:
        return skipped(SKILL, severity, "the rows have no target")
    y, prediction, usable = known
    target = subject.target_moments
    if target.n < 2 or target.maximum == target.minimum:  # noqa: PLR2004 - one value is a constant
        return inconclusive(
            SKILL,
            milder(severity, Severity.WARN) if target.n else severity,
            "skill",
            f"skill: the target is constant in {target.n} rows, so that nothing can be better than a constant",
            "validate on rows in which the target varies",
        )
    is_anomaly = subject.model_type is ModelType.ANOMALY
    kind = "balanced" if is_anomaly else "absolute"
    if is_anomaly:
        reference = np.where(np.isfinite(y), 0.5 * (1 - float(parameters["anomaly_gain"])), np.nan)
    else:
        labels = y if target.n == subject.n else y[np.isfinite(y)]
        reference = y - float(np.median(labels[sample_rows(target.n, _MOST_LABELS, subject.seed)]))
        np.abs(reference, out=reference)
    found = comparison.compare_losses(
        reference,
        comparison.row_losses(y, prediction, kind),
        timestamps=time_order(subject, slice(None)),
        margin=float(parameters["margin"]),
        resamples=0,
    )
    finding = _skill_finding(found, "the best constant answer's")
    if finding.outcome is Outcome.INCONCLUSIVE and usable.any() and found.ratio <= 1 + found.margin:
        severity = milder(severity, Severity.WARN)
    return concluded(SKILL, severity, _SKILL_REASON, [finding], details=_skill_details(found))


def _skill_finding(found: comparison.Comparison, than: str) -> Finding:
    if found.unanswered:
        outcome, message = (
            Outcome.FAILED,
            f"skill: {found.unanswered} rows with a target have no finite prediction",
        )
    else:
        outcome = {
            Verdict.BETTER_OR_EQUIVALENT: Outcome.PASSED,
            Verdict.WORSE: Outcome.FAILED,
            Verdict.NOT_ENOUGH_DATA: Outcome.INCONCLUSIVE,
        }[found.verdict]
        message = (
            f"skill: the loss is {found.ratio:.3f} of {than} ({found.level:.0%} interval {found.interval[0]:.3f} to "
            f"{found.interval[1]:.3f}, {found.n} time steps)"
        )
    steps = {
        Outcome.PASSED: "",
        Outcome.FAILED: "check the features, the alignment of timestamps and the units",
        Outcome.INCONCLUSIVE: found.next_step,
    }
    return Finding(
        subject="skill",
        outcome=outcome,
        observed=number(found.ratio),
        limit=1 + found.margin,
        message=message,
        next_step=steps[outcome],
        extra={"lower": number(found.interval[0]), "upper": number(found.interval[1])},
    )


def _skill_details(found: comparison.Comparison) -> dict[str, Any]:
    return {
        "ratio": number(found.ratio),
        "interval": [number(v) for v in found.interval],
        "skill": number(1 - found.ratio),
        "time_steps": found.n,
    }


@quiet
def seasonal_skill(subject: Subject, parameters: Mapping[str, Any], severity: Severity) -> CheckResult:
    """Loss against repeating the value of a season ago: the last day or week that was known at the forecast's origin."""
    stamps = time_order(subject, slice(None))
    if subject.model_type is ModelType.ANOMALY:
        return skipped(SEASONAL, severity, "anomalies do not repeat by the calendar")
    known = None if stamps is None else labelled(subject)
    if stamps is None or known is None:
        return skipped(SEASONAL, severity, "the rows have no timestamp, or no target")
    naive = skill.seasonal_naive(
        known[0],
        stamps,
        subject.series,
        season_steps=subject.season_steps,
        horizon_steps=subject.horizon_steps,
        max_rows=int(parameters["max_rows"]),
    )
    if naive is None:
        return skipped(SEASONAL, severity, "the rows do not reach back over a season")
    rows, before, season_s = naive
    y, prediction = known[0][rows], known[1][rows]
    found = comparison.compare(
        y, before, prediction, timestamps=stamps[rows], margin=float(parameters["margin"]), resamples=0
    )
    finding = _skill_finding(
        found, f"repeating the value of {season_s / 3600:g} hours before, the seasonal naive's"
    )
    return concluded(
        SEASONAL,
        severity,
        _SEASONAL_REASON,
        [finding],
        details=_skill_details(found) | {"season_s": season_s},
    )


@quiet
def bias(subject: Subject, parameters: Mapping[str, Any], severity: Severity) -> CheckResult:
    """Mean error over the target's standard deviation, with an interval that allows for autocorrelation."""
    if subject.model_type is ModelType.ANOMALY:
        return skipped(BIAS, severity, "an anomaly detector answers 0 or 1")
    known = labelled(subject)
    if known is None:
        return skipped(BIAS, severity, "the rows have no target")
    y, prediction, usable = known
    stamps = time_order(subject, slice(None))
    if stamps is not None:
        usable = usable & ~np.isnat(stamps)
    rows = slice(None) if usable.all() else usable
    error = prediction[rows] - y[rows]
    target = subject.target_moments if len(error) == subject.n else finite_moments(y[rows])
    spread = math.sqrt(target.m2 / target.n) if target.n else math.nan
    if len(error) < longrun.MIN_N or not spread > 0:
        return inconclusive(
            BIAS,
            severity,
            "bias",
            f"bias: {len(error)} usable rows, or a constant target, give no scale to hold the mean error against",
            "validate on more rows",
        )
    if stamps is not None:
        sums, counts = per_timestamp(error, np.ones(len(error)), stamps[rows])
        error = sums / counts
    mean, low, high = (v / spread for v in longrun.mean_interval(error))
    limit = float(parameters["max_bias"])
    outcome = within(mean, low, high, limit)
    steps = {
        Outcome.PASSED: "",
        Outcome.FAILED: "train on more recent rows, correct the level, or, where medians were learned (loss: l1), set loss: l2",
        Outcome.INCONCLUSIVE: "validate on more rows: the bias is not known well enough",
    }
    finding = Finding(
        subject="bias",
        outcome=outcome,
        observed=number(mean),
        limit=limit,
        message=(
            f"bias: the mean error is {mean:+.3f} of the target's standard deviation "
            f"(95 % interval {low:+.3f} to {high:+.3f})"
        ),
        next_step=steps[outcome],
    )
    details = {"bias": number(mean * spread), "lower": number(low * spread), "upper": number(high * spread)}
    return concluded(BIAS, severity, _BIAS_REASON, [finding], details=details)


@quiet
def calibration(subject: Subject, parameters: Mapping[str, Any], severity: Severity) -> CheckResult:
    """Reliability of the anomaly score: debiased expected calibration error; see `aihub.validation.skill`."""
    if subject.score is None:
        return skipped(CALIBRATION, severity, "the model gives no score")
    known = labelled(subject)
    if known is None or len(subject.score) != subject.n:
        return skipped(CALIBRATION, severity, "the rows have no label")
    usable = np.isfinite(known[0]) & np.isfinite(subject.score)
    y, score = (known[0][usable] > 0).astype(np.float64), subject.score[usable]
    if len(y) < int(parameters["min_rows"]) or y.min() == y.max():
        return inconclusive(
            CALIBRATION,
            severity,
            "calibration",
            f"calibration: {len(y)} scored rows of {'one class' if len(y) else 'no class'} do not show a frequency",
            f"validate on at least {parameters['min_rows']} rows of both classes",
        )
    found = skill.reliability(y, score, bins=int(parameters["bins"]))
    limit = float(parameters["max_error"])
    passed = found.error <= limit
    finding = Finding(
        subject="calibration",
        outcome=Outcome.PASSED if passed else Outcome.FAILED,
        observed=number(found.error),
        limit=limit,
        message=f"calibration: score and frequency differ by {found.error:.3f} on average ({len(y)} rows)",
        next_step="" if passed else "calibrate the score on recent labelled rows",
    )
    drawn = plots.scatter(found.score, found.frequency, diagonal=True, title="Score against frequency")
    details = {"error": number(found.error), "bins": len(found.score), "rows": len(y)}
    return concluded(
        CALIBRATION, severity, _CALIBRATION_REASON, [finding], details=details, plots={"reliability": drawn}
    )


CHECKS: tuple[Check, ...] = (
    Check(
        name=SKILL,
        run=run_skill,
        reason=_SKILL_REASON,
        parameters={"margin": 0.05, "anomaly_gain": 0.1},
        severity=Severity.FAIL,
    ),
    Check(
        name=SEASONAL,
        run=seasonal_skill,
        reason=_SEASONAL_REASON,
        parameters={"margin": 0.0, "max_rows": 100_000},
        severity=Severity.WARN,
    ),
    Check(name=BIAS, run=bias, reason=_BIAS_REASON, parameters={"max_bias": 0.1}, severity=Severity.WARN),
    Check(
        name=CALIBRATION,
        run=calibration,
        reason=_CALIBRATION_REASON,
        parameters={"max_error": 0.1, "bins": 15, "min_rows": 100},
        severity=Severity.WARN,
    ),
)
