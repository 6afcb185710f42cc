"""The challenger beside the champion: losses on the same rows, and how far the predictions moved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.types import ModelType, Outcome, Severity
from aihub.validation import comparison, longrun
from aihub.validation.checks.answers import (
    concluded,
    inconclusive,
    labelled,
    milder,
    number,
    quiet,
    skipped,
    time_order,
)
from aihub.validation.checks.base import Check
from aihub.validation.comparison import Comparison, Verdict
from aihub.validation.report import plots
from aihub.validation.results import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aihub.types import FloatArray
    from aihub.validation.checks.base import Subject
    from aihub.validation.results import CheckResult

COMPARISON = "champion_comparison"
SHIFT = "prediction_shift"
_REASON = "A paired test on the same rows tells a worse model from bad luck; a fixed tolerance does not."
_SHIFT_REASON = (
    "A model that suddenly answers something else deserves a look, even before any label is known."
)
_OUTCOMES = {
    Verdict.BETTER_OR_EQUIVALENT: Outcome.PASSED,
    Verdict.WORSE: Outcome.FAILED,
    Verdict.NOT_ENOUGH_DATA: Outcome.INCONCLUSIVE,
}


@quiet
def compare_with_champion(subject: Subject, parameters: Mapping[str, Any], severity: Severity) -> CheckResult:
    """Better or equivalent, worse, or not enough data: see `aihub.validation.comparison.compare_losses`.

    Where the data cannot tell, the result's severity is at most `not_enough_data` (default warn): an equal challenger
    on a short holdout is shown to a person instead of being rejected. Below `longrun.MIN_N` time steps nothing was
    compared at all, and the severity stays.
    """
    champion = subject.champion_pred
    if champion is None:
        return skipped(COMPARISON, severity, "there is no champion that predicts the same rows")
    known = labelled(subject)
    if known is None:
        return skipped(COMPARISON, severity, "the rows have no target to compare the predictions with")
    if len(champion) != subject.n:
        return inconclusive(
            COMPARISON,
            severity,
            "champion",
            f"champion: {len(champion)} predictions for {subject.n} rows, so nothing can be paired",
            "let the champion predict exactly the validation rows",
        )
    loss = parameters["loss"]
    if loss == "auto":
        loss = "balanced" if subject.model_type is ModelType.ANOMALY else "absolute"
    y_true, y_pred, _ = known
    found = comparison.compare(
        y_true,
        champion,
        y_pred,
        loss=loss,
        timestamps=time_order(subject, slice(None)),
        margin=float(parameters["margin"]),
        level=float(parameters["level"]),
        resamples=int(parameters["resamples"]),
        seed=subject.seed,
    )
    findings = [_finding(found, loss)]
    if found.unanswered:
        findings.append(
            Finding(
                subject="answers",
                outcome=Outcome.FAILED,
                observed=found.unanswered,
                limit=0,
                message=f"{found.unanswered} rows that the champion answers have no finite prediction of the challenger",
                next_step="make the model answer every row, or drop the rows before both models predict",
            )
        )
    elif found.verdict is Verdict.NOT_ENOUGH_DATA and found.n >= longrun.MIN_N:
        severity = milder(severity, parameters["not_enough_data"])
    return concluded(
        COMPARISON, severity, _REASON, findings, details=_details(found, loss), plots=_ratio_plot(found)
    )


def _finding(found: Comparison, loss: str) -> Finding:
    outcome = _OUTCOMES[found.verdict]
    lower, upper = found.interval
    share = f"{found.level:.0%} interval {lower:.3f} to {upper:.3f}"
    if outcome is Outcome.INCONCLUSIVE and found.n < longrun.MIN_N:
        message = (
            f"champion: {found.n} time steps can be compared, {longrun.MIN_N} are the least that allow a test"
        )
    else:
        message = (
            f"champion: {loss} loss is {found.ratio:.3f} of the champion's ({share}, {found.n} time steps, "
            f"margin {found.margin:.0%}): {found.verdict.value}"
        )
    steps = {
        Outcome.PASSED: "",
        Outcome.FAILED: "keep the champion, or look at the slices for what the challenger lost",
        Outcome.INCONCLUSIVE: f"{found.next_step}, or let a person decide",
    }
    return Finding(
        subject="champion",
        outcome=outcome,
        observed=number(found.ratio),
        limit=1 + found.margin,
        message=message,
        next_step=steps[outcome],
        extra={"lower": number(lower), "upper": number(upper), "p_value": number(found.p_value)},
    )


def _details(found: Comparison, loss: str) -> dict[str, Any]:
    return {
        "verdict": found.verdict.value,
        "loss": loss,
        "ratio": number(found.ratio),
        "interval": [number(v) for v in found.interval],
        "bootstrap_interval": [number(v) for v in found.bootstrap_interval],
        "level": found.level,
        "margin": found.margin,
        "p_value": number(found.p_value),
        "time_steps": found.n,
        "time_steps_needed": found.n_needed,
        "champion_loss": number(found.champion_loss),
        "challenger_loss": number(found.challenger_loss),
        "persistence": number(found.persistence),
        "rows_dropped": found.dropped,
        "rows_unanswered": found.unanswered,
    }


def _ratio_plot(found: Comparison) -> dict[str, Any]:
    if found.n < longrun.MIN_N:
        return {}
    rows = [
        {"label": label, "estimate": found.ratio, "lower": lower, "upper": upper}
        for label, (lower, upper) in (
            ("decides", found.interval),
            ("block bootstrap", found.bootstrap_interval),
        )
    ]
    return {
        "loss_ratio": plots.intervals(
            rows, reference=1.0, limit=1 + found.margin, title="Challenger's loss over the champion's"
        )
    }


@quiet
def prediction_shift(subject: Subject, parameters: Mapping[str, Any], severity: Severity) -> CheckResult:
    """How far the predictions moved against the champion's on the same inputs; needs no labels.

    Forecasts: mean absolute difference over the champion's standard deviation, and the correlation. Anomalies: share
    of rows judged otherwise. A new model may move for good reasons, so this warns.
    """
    champion = subject.champion_pred
    if champion is None or len(champion) != subject.n:
        return skipped(SHIFT, severity, "there is no champion that predicts the same rows")
    both = np.isfinite(champion) & np.isfinite(subject.y_pred)
    n = int(both.sum())
    if n < int(parameters["min_rows"]):
        return inconclusive(
            SHIFT,
            severity,
            "predictions",
            f"predictions: both models answer {n} rows, {parameters['min_rows']} are needed to compare them",
            "validate on more rows",
        )
    old, new = champion[both], subject.y_pred[both]
    if subject.model_type is ModelType.ANOMALY:
        findings = [
            _held("rows judged otherwise", float((old != new).mean()), parameters["max_disagreement"])
        ]
    else:
        findings = _moved(old, new, parameters)
    return concluded(
        SHIFT,
        severity,
        _SHIFT_REASON,
        findings,
        details={f.subject: f.observed for f in findings} | {"rows": n},
        plots={"predictions": plots.histogram_of(old[:20000], new[:20000], title="Champion and challenger")},
    )


def _moved(old: FloatArray, new: FloatArray, parameters: Mapping[str, Any]) -> list[Finding]:
    difference = np.abs(new - old)
    moved, spread = float(difference.mean()), float(old.std())
    share = moved / spread if spread > 0 else (0.0 if moved == 0 else float("inf"))
    return [
        _held("mean absolute shift over the champion's standard deviation", share, parameters["max_shift"]),
        _held(
            "mean shift over the champion's standard deviation",
            abs(float((new - old).mean())) / spread if spread > 0 else share,
            parameters["max_mean_shift"],
        ),
    ]


def _held(what: str, observed: float, limit: float) -> Finding:
    passed = observed <= limit
    return Finding(
        subject=what,
        outcome=Outcome.PASSED if passed else Outcome.FAILED,
        observed=number(observed),
        limit=float(limit),
        message=f"{what}: {observed:.3f}, {'within' if passed else 'above'} {limit:.3f}",
        next_step="" if passed else "look at rows where the models disagree most before you deploy",
    )


CHECKS: tuple[Check, ...] = (
    Check(
        name=COMPARISON,
        run=compare_with_champion,
        reason=_REASON,
        parameters={
            "margin": 0.05,
            "level": 0.9,
            "loss": "auto",
            "resamples": 499,
            "not_enough_data": "warn",
        },
        severity=Severity.FAIL,
    ),
    Check(
        name=SHIFT,
        run=prediction_shift,
        reason=_SHIFT_REASON,
        parameters={"max_shift": 0.5, "max_mean_shift": 0.25, "max_disagreement": 0.1, "min_rows": 24},
        severity=Severity.WARN,
    ),
)
