"""What the predictions look like by themselves: stuck, out of range, or jumping at every breath of noise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.types import ModelType, Outcome, Severity
from aihub.validation import longrun
from aihub.validation.checks.answers import (
    concluded,
    inconclusive,
    milder,
    number,
    quiet,
    sample_rows,
    skipped,
)
from aihub.validation.checks.base import Check
from aihub.validation.profile.numeric import NumericSummary
from aihub.validation.results import Finding
from aihub.validation.sensitivity import UnusableError, columns_for, noise_response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aihub.types import FloatArray
    from aihub.validation.checks.base import Subject
    from aihub.validation.results import CheckResult

CONSTANT = "near_constant_output"
RANGE = "target_range"
SENSITIVITY = "noise_sensitivity"
_CONSTANT_REASON = "A model that always answers the same has learned nothing, however low its error looks."
_RANGE_REASON = "Predictions far outside of what was ever measured are mistakes, whatever the average error."
_SENSITIVITY_REASON = "Sensors are noisy; answers that jump with their last digit cannot be relied on."


def training_target(subject: Subject) -> NumericSummary | None:
    """Summary of the training target, where the profile has one."""
    profile = subject.training_profile
    if profile is None or profile.spec.target is None:
        return None
    found = profile.columns.get(profile.spec.target)
    return found if isinstance(found, NumericSummary) and found.n else None


@quiet
def near_constant_output(subject: Subject, parameters: Mapping[str, Any], severity: Severity) -> CheckResult:
    """Spread of the predictions against the spread of the target; needs labels, a training profile or a champion."""
    if subject.model_type is ModelType.ANOMALY:
        return _constant_detector(subject, severity)
    answers = subject.answer_moments
    if answers.n < 2:  # noqa: PLR2004 - one value has no spread
        return inconclusive(
            CONSTANT,
            severity,
            "predictions",
            f"predictions: {answers.n} finite values have no spread to look at",
            "validate on more rows",
        )
    spread, (expected, source) = math.sqrt(answers.m2 / answers.n), _expected_spread(subject)
    limit = float(parameters["min_spread"])
    share = spread / expected if expected > 0 else float("nan")
    level = abs(answers.mean)
    if spread <= 1e-12 * level or spread == 0:
        share, outcome = 0.0, Outcome.FAILED
    elif expected > 0:
        outcome = Outcome.FAILED if share < limit else Outcome.PASSED
    else:
        outcome = Outcome.PASSED
    if outcome is Outcome.FAILED and source and expected == 0:
        outcome, severity = Outcome.INCONCLUSIVE, milder(severity, Severity.WARN)
    messages = {
        Outcome.PASSED: f"predictions: their standard deviation is {share:.3f} of {source or 'a spread nobody knows'}",
        Outcome.FAILED: f"predictions: near constant, their standard deviation is {share:.3g} of {source or 'any spread'}",
        Outcome.INCONCLUSIVE: "predictions: constant, and so is the target, so that nothing was shown",
    }
    finding = Finding(
        subject="predictions",
        outcome=outcome,
        observed=number(share),
        limit=limit,
        message=messages[outcome],
        next_step=""
        if outcome is Outcome.PASSED
        else "check that the features reach the model, and that its training converged",
    )
    details = {"std": number(spread), "expected_std": number(expected), "expected_from": source}
    return concluded(CONSTANT, severity, _CONSTANT_REASON, [finding], details=details)


def _expected_spread(subject: Subject) -> tuple[float, str]:
    target = subject.target_moments
    if target.n > 1:
        return math.sqrt(target.m2 / target.n), "the target's"
    summary = training_target(subject)
    if summary is not None and np.isfinite(summary.std):
        return float(summary.std), "the training target's"
    if subject.champion_pred is not None:
        known = subject.champion_pred[np.isfinite(subject.champion_pred)]
        if len(known) > 1:
            return float(known.std()), "the champion's"
    return float("nan"), ""


def _constant_detector(subject: Subject, severity: Severity) -> CheckResult:
    """Fail a detector that always answers the same although both classes occur; a clean week proves nothing."""
    answers = subject.y_pred[np.isfinite(subject.y_pred)]
    varies = len(answers) > 1 and bool((answers != answers[0]).any())
    if subject.score is not None:
        score = subject.score[np.isfinite(subject.score)]
        varies = varies or (len(score) > 1 and float(score.std()) > 0)
    classes = 0
    if subject.y_true is not None:
        known = subject.y_true[np.isfinite(subject.y_true)]
        classes = int((known > 0).any()) + int((known <= 0).any())
    if varies:
        outcome, message = Outcome.PASSED, "predictions: they differ between rows"
    elif classes > 1:
        outcome, message = Outcome.FAILED, "predictions: always the same, although both classes occur"
    else:
        outcome = Outcome.INCONCLUSIVE
        message = "predictions: always the same, and no row shows whether that is wrong"
        severity = milder(severity, Severity.WARN) if len(answers) else severity
    step = "" if outcome is Outcome.PASSED else "validate on rows with anomalies, or lower the threshold"
    finding = Finding(subject="predictions", outcome=outcome, message=message, next_step=step)
    return concluded(CONSTANT, severity, _CONSTANT_REASON, [finding])


@quiet
def target_range(subject: Subject, parameters: Mapping[str, Any], severity: Severity) -> CheckResult:
    """Share of predictions outside physical limits or the training target's range (one-sided exact binomial test).

    Limits, the first that is known: `lower` and `upper`; the training target's extremes widened by `widen` of their
    distance; the validation target's widened by half of it. Failed where the share is above `max_share` and that is not
    by chance (5 %); predictions that are no number count as outside. The test takes rows as independent: neighbouring
    rows outside make it too ready to fail, which the widening and the allowed share make up for.
    """
    if subject.model_type is ModelType.ANOMALY:
        return skipped(RANGE, severity, "an anomaly detector answers 0 or 1")
    lower, upper, source = _limits(subject, parameters)
    if source == "":
        return skipped(
            RANGE, severity, "no limits are set, and neither a target nor its training profile is known"
        )
    from scipy.special import bdtrc  # noqa: PLC0415 - not paid by those who only import the package

    n = subject.n
    outside, allowed = n - _inside(subject, lower, upper), float(parameters["max_share"])
    share = outside / n if n else float("nan")
    p = 1.0 if not outside else 0.0 if allowed <= 0 else float(bdtrc(outside - 1, n, allowed))
    if n and share > allowed and p < 0.05:  # noqa: PLR2004 - the usual level
        outcome = Outcome.FAILED
    elif n < longrun.MIN_N:
        outcome, severity = Outcome.INCONCLUSIVE, milder(severity, Severity.WARN) if n else severity
    else:
        outcome = Outcome.PASSED
    steps = {
        Outcome.PASSED: "",
        Outcome.FAILED: "look at the rows outside: units, corrupted inputs, or an extrapolating model",
        Outcome.INCONCLUSIVE: f"validate on at least {longrun.MIN_N} rows",
    }
    finding = Finding(
        subject="predictions",
        outcome=outcome,
        observed=number(share),
        limit=allowed,
        message=f"predictions: {outside} of {n} are outside {lower:.4g} to {upper:.4g} ({source})",
        next_step=steps[outcome],
        extra={"p_value": p},
    )
    details = {
        "lower": number(lower),
        "upper": number(upper),
        "from": source,
        "outside": outside,
        "share": number(share),
    }
    return concluded(RANGE, severity, _RANGE_REASON, [finding], details=details)


def _inside(subject: Subject, lower: float, upper: float) -> int:
    """Predictions from `lower` to `upper`; their extremes often say it."""
    answers = subject.answer_moments
    if answers.n == subject.n and lower <= answers.minimum and answers.maximum <= upper:
        return subject.n
    return int(np.count_nonzero((subject.y_pred >= lower) & (subject.y_pred <= upper)))


def _limits(subject: Subject, parameters: Mapping[str, Any]) -> tuple[float, float, str]:
    low, high = parameters["lower"], parameters["upper"]
    if low is not None or high is not None:
        return (
            -np.inf if low is None else float(low),
            np.inf if high is None else float(high),
            "the limits that were set",
        )
    summary = training_target(subject)
    if summary is not None:
        room = float(parameters["widen"]) * (summary.maximum - summary.minimum)
        return summary.minimum - room, summary.maximum + room, "the training target's range, widened"
    target = subject.target_moments
    if target.n and target.maximum > target.minimum:
        room = 0.5 * (target.maximum - target.minimum)
        return target.minimum - room, target.maximum + room, "the target's own range, widened by half"
    return np.nan, np.nan, ""


@quiet
def noise_sensitivity(subject: Subject, parameters: Mapping[str, Any], severity: Severity) -> CheckResult:
    """Change of the predictions when the numeric inputs get noise of `noise` of their standard deviation.

    Calls the model twice on a seeded sample of at most `max_rows` rows.
    """
    rows = sample_rows(subject.n, int(parameters["max_rows"]), subject.seed)
    try:
        columns = columns_for(subject, rows)
    except UnusableError as error:
        return skipped(SENSITIVITY, severity, str(error))
    predictor = subject.predictor
    if predictor is None or not any(_is_numeric(v) for v in columns.values()):
        return skipped(SENSITIVITY, severity, "the model takes no numeric column")
    try:
        found = noise_response(
            predictor.predict, columns, noise=float(parameters["noise"]), seed=subject.seed
        )
    except Exception as error:  # noqa: BLE001 - a model is third-party code and may refuse rows on their own
        return skipped(
            SENSITIVITY,
            severity,
            f"the model does not predict single rows by itself ({type(error).__name__}: {error})",
        )
    if not found.rows:
        return inconclusive(
            SENSITIVITY,
            milder(severity, Severity.WARN),
            "predictions",
            "predictions: none of the sampled rows has a finite answer before and after the noise",
            "validate on rows that the model can answer",
        )
    limit = float(parameters["max_ratio"])
    passed = found.ratio <= limit and not found.unanswered
    finding = Finding(
        subject="predictions",
        outcome=Outcome.PASSED if passed else Outcome.FAILED,
        observed=number(found.ratio),
        limit=limit,
        message=(
            f"predictions: noise of {parameters['noise']:.0%} on the inputs moves them by {found.ratio:.3f} of their "
            f"standard deviation ({found.rows} rows, {found.unanswered} no longer answered)"
        ),
        next_step="" if passed else "regularise the model, or coarsen the inputs it splits on",
    )
    details = {"ratio": number(found.ratio), "worst_share": number(found.worst_share), "rows": found.rows}
    return concluded(SENSITIVITY, severity, _SENSITIVITY_REASON, [finding], details=details)


def _is_numeric(values: FloatArray) -> bool:
    return values.dtype.kind == "f"


CHECKS: tuple[Check, ...] = (
    Check(
        name=CONSTANT,
        run=near_constant_output,
        reason=_CONSTANT_REASON,
        parameters={"min_spread": 0.01},
        severity=Severity.FAIL,
    ),
    Check(
        name=RANGE,
        run=target_range,
        reason=_RANGE_REASON,
        parameters={"lower": None, "upper": None, "widen": 0.1, "max_share": 0.01},
        severity=Severity.FAIL,
    ),
    Check(
        name=SENSITIVITY,
        run=noise_sensitivity,
        reason=_SENSITIVITY_REASON,
        parameters={"noise": 0.01, "max_ratio": 0.2, "max_rows": 500},
        severity=Severity.WARN,
    ),
)
