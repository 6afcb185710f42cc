"""Whether the model is good enough: metrics against absolute and relative limits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.types import ModelType, Outcome, Severity
from aihub.validation.checks.base import Check, Subject
from aihub.validation.metrics import (
    ClassificationSums,
    RegressionSums,
    classification_metrics,
    regression_metrics,
    seasonal_scale,
    with_scale,
)
from aihub.validation.report.diagnostics import error_plots
from aihub.validation.results import CheckResult, Finding, worst
from aihub.validation.skill import season_before

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aihub.types import FloatArray

LIMITS = ("max", "min", "max_vs_champion", "min_vs_champion", "max_vs_naive")
"""What a threshold may say: absolute limits, and ratios to the same metric of the champion or the seasonal naive."""

_REASON = "the model must be good enough on data it has not seen"


def run_performance(subject: Subject, parameters: Mapping[str, Any], severity: Severity) -> CheckResult:
    """Hold the metrics of `subject` against ``parameters["thresholds"]``; skipped without labels."""
    if subject.y_true is None:
        return CheckResult(
            name="performance",
            outcome=Outcome.SKIPPED,
            severity=severity,
            reason="the data has no labels, so performance cannot be measured; send the actual values to judge it",
        )
    metrics, details = measure(subject)
    findings = [*_faults(details)]
    references = _references(subject, parameters["thresholds"])
    for metric, limits in parameters["thresholds"].items():
        findings += [_judge(metric, metrics, kind, limit, references) for kind, limit in limits.items()]
    outcome = worst([f.outcome for f in findings]) if findings else Outcome.PASSED
    failures = [f.message for f in findings if f.outcome in (Outcome.FAILED, Outcome.INCONCLUSIVE)]
    return CheckResult(
        name="performance",
        outcome=Outcome.PASSED if outcome is Outcome.SKIPPED else outcome,
        severity=severity,
        reason=_REASON,
        findings=tuple(findings),
        details={"metrics": metrics, "failures": failures, **details},
        plots=_plots(subject),
    )


def _plots(subject: Subject) -> Mapping[str, Any]:
    if subject.model_type is not ModelType.FORECAST or subject.y_true is None:
        return {}
    return error_plots(
        subject.y_true,
        subject.y_pred,
        timestamps=subject.timestamps,
        series=subject.series,
        interval=subject.interval,
        time_zone=subject.time_zone,
    )


def measure(subject: Subject) -> tuple[dict[str, float], dict[str, Any]]:
    """Metrics of a labelled subject, and what is to be known about them: rows used, left out and unusable."""
    y_true, y_pred = _labels(subject), subject.y_pred
    if subject.model_type is ModelType.ANOMALY:
        counts = ClassificationSums.of(y_true, y_pred, subject.score)
        metrics = classification_metrics(y_true, y_pred, subject.score, counts=counts)
        details: dict[str, Any] = {"confusion": counts.confusion()}
        used, excluded = counts.n, counts.excluded
    else:
        sums = RegressionSums.of(y_true, y_pred)
        scale = None
        if subject.season_steps is not None:
            scale = seasonal_scale(
                y_true, subject.season_steps, timestamps=subject.timestamps, series=subject.series
            )
        metrics = with_scale(sums.metrics(), scale)
        details = {"zero_targets": sums.zeros}
        used, excluded = sums.n, sums.excluded
    bad = int(np.count_nonzero(~np.isfinite(y_pred)))
    notes = []
    if excluded:
        notes.append(
            f"{excluded} of {subject.n} rows have no finite target and were left out of every metric"
        )
    if details.get("zero_targets"):
        notes.append(f"{details['zero_targets']} rows with a target of zero were left out of mape")
    return metrics, {
        **details,
        "rows_used": used,
        "rows_without_target": excluded,
        "bad_predictions": bad,
        "notes": notes,
    }


def _labels(subject: Subject) -> FloatArray:
    if subject.y_true is None:
        raise ValueError("a subject without labels has no metrics; check `y_true` first")
    return subject.y_true


def _faults(details: Mapping[str, Any]) -> list[Finding]:
    """List the findings that make the metrics meaningless whatever the thresholds say."""
    faults = []
    if details["bad_predictions"]:
        faults.append(
            Finding(
                subject="predictions",
                outcome=Outcome.FAILED,
                observed=details["bad_predictions"],
                limit=0,
                message=f"{details['bad_predictions']} predictions are NaN or infinite",
                next_step="Find the rows the model cannot answer: often a feature is missing or out of its range there.",
            )
        )
    if not details["rows_used"]:
        faults.append(
            Finding(
                subject="rows",
                outcome=Outcome.FAILED,
                observed=0,
                limit=1,
                message="no row has both a target and a prediction, so nothing was measured",
                next_step="Validate on data with labels.",
            )
        )
    return faults


def _judge(
    metric: str,
    metrics: Mapping[str, float],
    kind: str,
    limit: float,
    references: Mapping[str, Mapping[str, float]],
) -> Finding:
    """Hold one metric against one limit; NaN on either side does not pass."""
    observed = metrics.get(metric, math.nan)
    is_max = kind.startswith("max")
    word, relation = ("maximum", "above") if is_max else ("minimum", "below")
    extra: dict[str, Any] = {"kind": kind}
    bound = limit
    if "_vs_" in kind:
        other = kind.rsplit("_", 1)[1]
        if other not in references:
            return Finding(
                subject=metric,
                outcome=Outcome.SKIPPED,
                observed=_plain(observed),
                limit=f"{limit:g} x {other}",
                message=f"{metric} was not compared with the {other}: there is none for these rows",
                extra=extra,
            )
        observed = references[other].get(f"own_{metric}", observed)
        bound = limit * references[other].get(metric, math.nan)
        extra |= {"reference": _plain(references[other].get(metric, math.nan)), "ratio_limit": limit}
        word = f"{limit:g} x {other}"
    passed = observed <= bound if is_max else observed >= bound
    if passed:
        message = ""
    elif math.isnan(observed):
        message = f"{metric} is not defined on this data (NaN), so it cannot pass the {word} of {bound:.4f}"
    else:
        message = f"{metric} {observed:.4f} is {relation} the {word} of {bound:.4f}"
    margin = (bound - observed if is_max else observed - bound) / abs(bound) if bound else math.nan
    return Finding(
        subject=metric,
        outcome=Outcome.PASSED if passed else Outcome.FAILED,
        observed=_plain(observed),
        limit=_plain(bound),
        message=message,
        next_step=""
        if passed
        else "Train on more or newer data, or set a threshold that fits the size of the target.",
        extra={**extra, "margin": _plain(margin)},
    )


def _references(
    subject: Subject, thresholds: Mapping[str, Mapping[str, float]]
) -> dict[str, dict[str, float]]:
    """Metrics of the champion and of the seasonal naive forecast, as far as a threshold asks for them."""
    kinds = {kind for limits in thresholds.values() for kind in limits}
    y_true = _labels(subject)
    found: dict[str, dict[str, float]] = {}
    if any(kind.endswith("champion") for kind in kinds) and subject.champion_pred is not None:
        is_anomaly = subject.model_type is ModelType.ANOMALY
        found["champion"] = (classification_metrics if is_anomaly else regression_metrics)(
            y_true, subject.champion_pred
        )
    if any(kind.endswith("naive") for kind in kinds) and subject.season_steps is not None:
        naive = season_before(
            y_true, subject.season_steps, timestamps=subject.timestamps, series=subject.series
        )
        shared = np.isfinite(naive)
        if shared.any():
            found["naive"] = regression_metrics(y_true[shared], naive[shared])
            own = regression_metrics(y_true[shared], subject.y_pred[shared])
            found["naive"] |= {f"own_{name}": value for name, value in own.items()}
    return found


def _plain(value: float) -> float | None:
    """Return a finite number, or None so that the JSON stays standard."""
    return float(value) if math.isfinite(value) else None


CHECKS: tuple[Check, ...] = (
    Check(
        name="performance",
        run=run_performance,
        reason=_REASON,
        parameters={"thresholds": {}},
        severity=Severity.FAIL,
    ),
)
