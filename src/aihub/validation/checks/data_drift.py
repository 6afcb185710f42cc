"""Drift of the inputs and of the predictions, by whatever the training data left behind.

===================================================== ================================================================
what is known of the training data                    what decides
===================================================== ================================================================
series references of the model, or reference rows     season-adjusted residuals ranked among reference windows
with time stamps, and the rows have time stamps
a training profile, or reference rows without stamps  minimum-effect tests on the profiles, adjusted over all columns
the guide's means and standard deviations only        the guide's z-test
===================================================== ================================================================

The gate stops for drift that is material; what is small, what the season may explain and what cannot be told yet is
shown at a milder severity. None of them is ever reported as passed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.types import Drift, Outcome, Severity
from aihub.validation.checks.answers import concluded, milder, number, quiet, skipped
from aihub.validation.checks.base import Check
from aihub.validation.checks.mean_drift import mean_drift_result
from aihub.validation.drift import compare_profiles, compare_series, fit_references, kernel_drift
from aihub.validation.drift.clock import WEEK_S, median_step, utc_seconds
from aihub.validation.drift.report import DriftSettings
from aihub.validation.drift.series import SeriesSettings
from aihub.validation.frames import numeric_names
from aihub.validation.profile import CommonBins, NumericSummary, Profile
from aihub.validation.report import plots
from aihub.validation.results import CheckResult, Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from aihub.validation.checks.base import Subject
    from aihub.validation.drift import DriftReport, DriftResult, SeriesReference

    Columns = Mapping[str, NDArray[Any]]

DATA, PREDICTION, JOINT = "data_drift", "prediction_drift", "multivariate_drift"
_REASON = "A model answers for data like that it was trained on."
_PREDICTION_REASON = "Predictions that moved as a whole show a change of the inputs before any label does."
_JOINT_REASON = "Columns may keep their own distributions and lose what ties them together."
_OUTCOMES = {
    Drift.OK: Outcome.PASSED,
    Drift.DRIFT: Outcome.FAILED,
    Drift.NOT_ENOUGH_DATA: Outcome.INCONCLUSIVE,
}
_ORDER = (Drift.DRIFT, Drift.NOT_ENOUGH_DATA, Drift.OK)
_MAX_PLOTS = 6
_SHARES = ("missing", "range", "new categories")
_SEASONAL = ("distribution", "categories", "vanished categories")
_YOUNG = "Less than a year was trained on, so this may be the season; train on a full year, or look at it yourself."


@dataclass(frozen=True)
class _Judged:
    """A result, whether it stops the gate, and what to do about it."""

    result: DriftResult
    is_hard: bool
    next_step: str


@quiet
def data_drift(subject: Subject, parameters: Mapping[str, Any], severity: Severity) -> CheckResult:
    """Compare the features with what is known of the training data; see the table above.

    Severity stays where drift is material: a column gone or of another type; a gap of the distribution functions above
    ``material``; a level above ``material_sd`` residual standard deviations; a share of missing, outside or new values
    above ``material_share``; and the column carries at least ``min_importance`` of the model's importance where that
    is known. Otherwise it is at most ``undecided``.
    """
    features = subject.features
    references = _references(subject, features)
    reference = _reference_profile(subject, features)
    if references:
        report = _series_report(subject, features, references, parameters)
        judged = [_judge_series(r, parameters, references[r.column]) for r in report.results]
        if reference is not None:
            # Missing values, ranges, categories and types need no season.
            rest = _profile_report(subject, features, reference, parameters).results
            kept = [r for r in rest if r.column not in references or r.test not in _SEASONAL]
            young = {name for name, known in references.items() if known.years < 1}
            judged += [
                _judge_profile(
                    r,
                    parameters,
                    is_seasonal=r.test in _SEASONAL or (r.test == "range" and r.column in young),
                )
                for r in kept
            ]
        return _conclude(
            DATA, _REASON, judged, parameters, severity, shown=_plots(judged, reference, features)
        )
    if reference is not None:
        is_seasonal = subject.timestamps is not None and not parameters["ignore_season"]
        report = _profile_report(subject, features, reference, parameters)
        judged = [_judge_profile(r, parameters, is_seasonal=is_seasonal) for r in report.results]
        return _conclude(
            DATA, _REASON, judged, parameters, severity, shown=_plots(judged, reference, features)
        )
    if subject.training_stats:
        return _mean_drift(subject, features, parameters, severity)
    return skipped(DATA, severity, "no training profile, reference rows or training statistics were given")


def _references(subject: Subject, features: Columns) -> dict[str, SeriesReference]:
    """Series references that the model carries, else fitted to reference rows with one column of time stamps."""
    if subject.timestamps is None:
        return {}
    carried = getattr(subject.predictor, "drift_references", None)
    if carried:
        return {name: found for name, found in carried.items() if name != "prediction"}
    rows = subject.reference or {}
    stamps = [name for name in rows if np.asarray(rows[name]).dtype.kind == "M"]
    if len(stamps) != 1:
        return {}
    shared = {name: np.asarray(rows[name]) for name in features if name in rows and name != stamps[0]}
    return fit_references(np.asarray(rows[stamps[0]]), shared, time_zone=subject.time_zone)


def _reference_profile(subject: Subject, features: Columns) -> Profile | None:
    if subject.training_profile is not None:
        return subject.training_profile
    if subject.reference is None:
        return None
    return Profile.of({name: subject.reference[name] for name in features if name in subject.reference})


def _series_report(
    subject: Subject,
    features: Columns,
    references: Mapping[str, SeriesReference],
    parameters: Mapping[str, Any],
) -> DriftReport:
    numeric = {name: features[name] for name in numeric_names(features)}
    return compare_series(
        references,
        np.asarray(subject.timestamps, dtype="datetime64[us]"),
        numeric,
        settings=SeriesSettings(alpha=float(parameters["alpha"])),
        importance=subject.feature_importance,
        seed=subject.seed,
    )


def _profile_report(
    subject: Subject, features: Columns, reference: Profile, parameters: Mapping[str, Any]
) -> DriftReport:
    current = subject.profile
    roles = (reference.spec.target, reference.spec.prediction, reference.spec.score, reference.spec.timestamp)
    wanted = getattr(subject.predictor, "feature_names", ())
    # A profile of the whole training table also holds columns that the model never asks for.
    names = [n for n in reference.columns if n in features or (n in wanted and n not in roles)]
    return compare_profiles(
        reference,
        current,
        columns=[*names, *(name for name in features if name not in reference.columns)],
        settings=_settings(parameters),
        importance=subject.feature_importance,
    )


def _settings(parameters: Mapping[str, Any]) -> DriftSettings:
    return DriftSettings(
        alpha=float(parameters["alpha"]),
        ks=float(parameters["min_effect"]),
        ks_target=float(parameters["target"]),
    )


def _judge_series(result: DriftResult, parameters: Mapping[str, Any], reference: SeriesReference) -> _Judged:
    if result.test in ("schema", "constant"):
        return _Judged(
            result, _matters(result, parameters), "Restore the column, or train again on data like this."
        )
    if reference.years < 1:
        # Summer is a level shift to whoever has seen the spring only.
        return _Judged(result, is_hard=False, next_step=_YOUNG)
    is_hard = abs(result.effect) >= parameters["material_sd"] and _matters(result, parameters)
    return _Judged(result, is_hard, "Find what changed since training; train again if it is here to stay.")


def _judge_profile(result: DriftResult, parameters: Mapping[str, Any], *, is_seasonal: bool) -> _Judged:
    limits = {"distribution": parameters["material"], "categories": 2 * parameters["material"]}
    limits |= dict.fromkeys(_SHARES, parameters["material_share"])
    limit = limits.get(result.test, 0.0)
    is_large = result.test in ("schema", "constant") or abs(result.effect) >= limit
    if is_seasonal and result.test == "range":
        return _Judged(result, is_hard=False, next_step=_YOUNG)
    if is_seasonal and result.test in _SEASONAL:
        step = "Give reference rows with time stamps: raw values against all of the training data show the season too."
        return _Judged(result, is_hard=False, next_step=step)
    step = "Find what changed since training; train again if it is here to stay."
    if result.test == "missing" and result.effect < 0:
        return _Judged(result, is_hard=False, next_step="There are fewer gaps than in training: look why.")
    return _Judged(result, is_large and _matters(result, parameters), step)


def _matters(result: DriftResult, parameters: Mapping[str, Any]) -> bool:
    return result.importance is None or result.importance >= parameters["min_importance"]


def _mean_drift(
    subject: Subject, features: Columns, parameters: Mapping[str, Any], severity: Severity
) -> CheckResult:
    """Run the guide's z-test; a shift too small to matter is shown at the milder severity, as p grows with n alone."""
    stats = subject.training_stats or {}
    # Statistics of a whole training table also name columns that the model never asks for.
    data = features if subject.table is None else subject.table
    result = mean_drift_result(data, stats, float(parameters["threshold"]), severity)
    hard = [
        name
        for name, one in result.details["drift_detected"].items()
        # Undecided here is never for want of rows: the statistics are no numbers, or the column is empty.
        if one["drift"] is None or (one["drift"] and _is_far(one, parameters))
    ]
    return (
        result
        if hard or result.outcome is Outcome.PASSED
        else _at(result, milder(severity, parameters["undecided"]))
    )


def _is_far(one: Mapping[str, Any], parameters: Mapping[str, Any]) -> bool:
    z, n = one["z_score"], one["n"]
    return z is None or n == 0 or abs(z) / np.sqrt(n) >= parameters["material_mean_sd"]


def _at(result: CheckResult, severity: Severity) -> CheckResult:
    return CheckResult(
        name=result.name,
        outcome=result.outcome,
        severity=severity,
        reason=result.reason,
        findings=result.findings,
        details=result.details,
        plots=result.plots,
    )


@quiet
def prediction_drift(subject: Subject, parameters: Mapping[str, Any], severity: Severity) -> CheckResult:
    """Compare the predictions with those on the training data, else with the champion's on the same rows."""
    references = getattr(subject.predictor, "drift_references", None) or {}
    if "prediction" in references and subject.timestamps is not None:
        known = {"prediction": references["prediction"]}
        report = _series_report(subject, {"prediction": subject.y_pred}, known, parameters)
        judged = [_judge_series(r, parameters, known[r.column]) for r in report.results]
        return _conclude(PREDICTION, _PREDICTION_REASON, judged, parameters, severity, shown={})
    profile = subject.training_profile
    name = profile.spec.prediction if profile is not None else None
    is_seasonal = subject.timestamps is not None
    if profile is not None and name is not None and isinstance(profile.columns.get(name), NumericSummary):
        before = Profile(rows=profile.rows, columns={"prediction": profile.columns[name]})
    elif subject.champion_pred is not None:
        before = Profile.of({"prediction": subject.champion_pred})
        is_seasonal = False  # the same rows: no season between them
    else:
        return skipped(
            PREDICTION, severity, "the training profile has no predictions and there is no champion"
        )
    report = compare_profiles(
        before, Profile.of({"prediction": subject.y_pred}), settings=_settings(parameters)
    )
    judged = [_judge_profile(r, parameters, is_seasonal=is_seasonal) for r in report.results]
    shown = _plots(judged, before, {"prediction": subject.y_pred})
    return _conclude(PREDICTION, _PREDICTION_REASON, judged, parameters, severity, shown=shown)


@quiet
def multivariate_drift(subject: Subject, parameters: Mapping[str, Any], severity: Severity) -> CheckResult:
    """Test the numeric features together against reference rows, in blocks of a week where the rows have time stamps."""
    if subject.reference is None:
        return skipped(JOINT, severity, "no reference rows were given")
    numeric = {n: v for n in subject.features if (v := np.asarray(subject.features[n])).dtype.kind == "f"}
    rows = {n: np.asarray(subject.reference[n]) for n in numeric if n in subject.reference}
    block = 1
    if subject.timestamps is not None:
        step = median_step(utc_seconds(np.asarray(subject.timestamps)))
        block = max(1, round(WEEK_S / step)) if step > 0 else 1
    result = kernel_drift(rows, numeric, alpha=float(parameters["alpha"]), block=block, seed=subject.seed)
    step_text = "Look at pairs of columns; train again if the new dependence is here to stay."
    return _conclude(
        JOINT,
        _JOINT_REASON,
        [_Judged(result, is_hard=True, next_step=step_text)],
        parameters,
        severity,
        shown={},
    )


def _conclude(
    name: str,
    reason: str,
    judged: list[_Judged],
    parameters: Mapping[str, Any],
    severity: Severity,
    *,
    shown: Mapping[str, Any],
) -> CheckResult:
    """One finding per column, the worst of its results first; the milder severity unless something is material."""
    by_column: dict[str, list[_Judged]] = {}
    for one in judged:
        by_column.setdefault(one.result.column, []).append(one)
    ordered = {column: sorted(found, key=_rank) for column, found in by_column.items()}
    columns = sorted(ordered, key=lambda column: _rank(ordered[column][0]))
    findings = [_finding(ordered[column]) for column in columns]
    is_hard = any(one.is_hard and one.result.verdict is Drift.DRIFT for one in judged)
    details = {
        "drift_detected": {column: _details(ordered[column]) for column in columns},
        "columns": len(columns),
        "drifted": [column for column in columns if ordered[column][0].result.verdict is Drift.DRIFT],
        "drifted_importance": number(_drifted_importance(ordered.values())),
        "failures": [f.message for f in findings if f.outcome is not Outcome.PASSED],
    }
    if not findings:
        return skipped(name, severity, "the model has no features to compare")
    passed = all(f.outcome is Outcome.PASSED for f in findings)
    shade = severity if is_hard or passed else milder(severity, parameters["undecided"])
    return concluded(name, shade, reason, findings, details=details, plots=shown)


def _rank(one: _Judged) -> tuple[int, bool, float, float]:
    # What is fine stays in the order in which it was tested.
    p = one.result.p_adjusted if one.result.verdict is Drift.DRIFT else 1.0
    return (
        _ORDER.index(one.result.verdict),
        not one.is_hard,
        -(one.result.importance or 0.0),
        p if p == p else 1.0,  # noqa: PLR0124 - NaN sorts last
    )


def _finding(found: list[_Judged]) -> Finding:
    worst = found[0].result
    parts = [_words(one.result) for one in found if one.result.verdict is worst.verdict]
    text = "; ".join(parts[:1] if worst.verdict is not Drift.DRIFT else parts)
    step = {
        Drift.OK: "",
        Drift.DRIFT: found[0].next_step,
        Drift.NOT_ENOUGH_DATA: _more(worst),
    }[worst.verdict]
    return Finding(
        subject=worst.column,
        outcome=_OUTCOMES[worst.verdict],
        observed=number(worst.effect),
        limit=number(worst.min_effect),
        message=f"{worst.column}: {worst.verdict.value}: {text}",
        next_step=step,
        extra=_details(found),
    )


def _more(result: DriftResult) -> str:
    if not result.n_current:
        return "Validate on rows that have a value in this column."
    if result.n_needed:
        return f"Validate on at least {result.n_needed} rows."
    return "Keep more reference rows: no number of new ones would do."


def _words(result: DriftResult) -> str:
    if not np.isfinite(result.effect):
        return result.note
    interval = f"{result.effect_low:.3g} to {result.effect_high:.3g}"
    if result.verdict is Drift.NOT_ENOUGH_DATA:
        return f"{result.test}: {result.n_current} rows put the effect ({result.effect_unit}) at {interval}"
    tail = f", {result.note}" if result.note else ""
    return f"{result.test}: {result.effect_unit} {result.effect:.3g} ({interval}){tail}"


def _details(found: list[_Judged]) -> dict[str, Any]:
    """Give the guide's mapping of one column, with what the better tests add."""
    worst = found[0].result
    return {
        "drift": None if worst.verdict is Drift.NOT_ENOUGH_DATA else worst.verdict is Drift.DRIFT,
        "p_value": number(worst.p_adjusted),
        "verdict": worst.verdict.value,
        "test": worst.test,
        "effect": number(worst.effect),
        "effect_low": number(worst.effect_low),
        "effect_high": number(worst.effect_high),
        "effect_unit": worst.effect_unit,
        "n": worst.n_current,
        "n_needed": worst.n_needed,
        "importance": number(worst.importance),
        "explain": {key: number(value) for key, value in worst.explain.items()},
    }


def _drifted_importance(columns: Iterable[list[_Judged]]) -> float | None:
    worst = [found[0].result for found in columns]
    known = [r.importance for r in worst if r.importance is not None]
    return sum(r.importance or 0.0 for r in worst if r.verdict is Drift.DRIFT) if known else None


def _plots(judged: list[_Judged], reference: Profile | None, features: Columns) -> dict[str, Any]:
    """Draw reference against current distribution of the drifted numeric columns."""
    if reference is None:
        return {}
    drifted = dict.fromkeys(one.result.column for one in judged if one.result.verdict is Drift.DRIFT)
    shown: dict[str, Any] = {}
    for name in list(drifted)[:_MAX_PLOTS]:
        before, values = reference.columns.get(name), features.get(name)
        if not isinstance(before, NumericSummary) or values is None or values.dtype.kind != "f":
            continue
        after = NumericSummary.of(values)
        if before.n and after.n:
            bins = CommonBins.of(before.histogram, after.histogram)
            edges = np.append(bins.lower, bins.upper[-1])
            shown[name] = plots.histogram(edges, bins.reference, bins.current, title=name)
    return shown


_PARAMETERS: dict[str, Any] = {
    "alpha": 0.05,
    "min_effect": 0.05,
    "target": 0.2,
    "material": 0.1,
    "material_sd": 0.5,
    "material_share": 0.05,
    "min_importance": 0.01,
    "undecided": "warn",
}

CHECKS: tuple[Check, ...] = (
    Check(
        name=DATA,
        run=data_drift,
        reason=_REASON,
        parameters={**_PARAMETERS, "threshold": 0.05, "material_mean_sd": 0.25, "ignore_season": False},
    ),
    Check(
        name=PREDICTION,
        run=prediction_drift,
        reason=_PREDICTION_REASON,
        parameters=_PARAMETERS,
        severity=Severity.WARN,
    ),
    Check(
        name=JOINT,
        run=multivariate_drift,
        reason=_JOINT_REASON,
        parameters={"alpha": 0.05, "undecided": "warn"},
        severity=Severity.WARN,
        is_default=False,
    ),
)
