"""Whether the model may have seen the answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.types import Outcome, Severity
from aihub.validation import leakage
from aihub.validation.checks.answers import (
    concluded,
    inconclusive,
    milder,
    number,
    quiet,
    sample_rows,
    skipped,
    time_order,
)
from aihub.validation.checks.base import Check
from aihub.validation.frames import numeric_names
from aihub.validation.results import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from aihub.types import FloatArray
    from aihub.validation.checks.base import Subject
    from aihub.validation.results import CheckResult

LEAKAGE = "target_leakage"
SUSPICIOUS = "suspicious_feature"
OVERLAP = "train_overlap"
_LEAKAGE_REASON = "A feature that holds the target, or its future, is not known when the model is asked."
_SUSPICIOUS_REASON = "A single feature that explains nearly everything is often the answer in disguise."
_OVERLAP_REASON = "Rows that were trained on say nothing about rows that were not."


@quiet
def target_leakage(subject: Subject, parameters: Mapping[str, Any], severity: Severity) -> CheckResult:
    """Look for features that equal the target (or a straight line of it) now or up to `steps` steps ahead.

    The longest run of one series in time order, at most `max_rows` of it, is looked at.
    """
    answer = _numeric(subject, LEAKAGE, severity)
    if not isinstance(answer, dict):
        return answer
    y = subject.y_true
    rows = _one_series(subject, int(parameters["max_rows"]))
    if y is None or len(rows) < leakage.MIN_ROWS or len(np.unique(y[rows][np.isfinite(y[rows])])) < 2:  # noqa: PLR2004 - a constant is equal to many things
        return _too_few(LEAKAGE, severity, len(rows))
    ahead = (
        tuple(range(int(parameters["steps"]) + 1)) if time_order(subject, slice(None)) is not None else (0,)
    )
    found = leakage.target_copies(
        {name: values[rows] for name, values in answer.items()},
        y[rows],
        steps=ahead,
        share=float(parameters["share"]),
    )
    findings = [
        Finding(
            subject=copy.feature,
            outcome=Outcome.FAILED,
            observed=number(copy.share),
            limit=float(parameters["share"]),
            message=(
                f"{copy.feature}: holds the target "
                + ("of its own row" if copy.steps == 0 else f"of {copy.steps} steps later")
                + f" in {copy.share:.1%} of the rows"
            ),
            next_step="remove the feature: it is not known when the model is asked",
        )
        for copy in found
    ]
    findings.append(_summary("features", len(found), len(answer), "hold the target"))
    return concluded(
        LEAKAGE, severity, _LEAKAGE_REASON, findings, details={"features": [c.feature for c in found]}
    )


@quiet
def suspicious_feature(subject: Subject, parameters: Mapping[str, Any], severity: Severity) -> CheckResult:
    """Share of the target's variance that each numeric feature explains alone, on a seeded sample of rows."""
    answer = _numeric(subject, SUSPICIOUS, severity)
    if not isinstance(answer, dict):
        return answer
    y = subject.y_true
    rows = sample_rows(subject.n, int(parameters["max_rows"]), subject.seed)
    if y is None or np.isfinite(y[rows]).sum() < leakage.MIN_ROWS:
        return _too_few(SUSPICIOUS, severity, subject.n)
    limit = float(parameters["max_explained"])
    shares = {name: leakage.explained_share(values[rows], y[rows]) for name, values in answer.items()}
    known = {name: share for name, share in shares.items() if np.isfinite(share)}
    if not known:
        return _too_few(SUSPICIOUS, severity, subject.n)
    found = {name: share for name, share in known.items() if share > limit}
    findings = [
        Finding(
            subject=name,
            outcome=Outcome.FAILED,
            observed=share,
            limit=limit,
            message=f"{name}: explains {share:.2%} of the target's variance alone",
            next_step="check that it is known when the model is asked",
        )
        for name, share in found.items()
    ]
    findings.append(
        _summary("features", len(found), len(known), f"explain more than {limit:.1%} of the target alone")
    )
    strongest = sorted(known.items(), key=lambda pair: -pair[1])[:20]
    return concluded(
        SUSPICIOUS, severity, _SUSPICIOUS_REASON, findings, details={"explained": dict(strongest)}
    )


_APART_US = 1_000_003.0
"""The same moment of two series is told apart by so many microseconds: no step of any clock is a multiple of it."""


@quiet
def train_overlap(subject: Subject, parameters: Mapping[str, Any], severity: Severity) -> CheckResult:
    """Share of (a sample of) the validation rows that the training rows hold too, by a hash of up to 4 numeric columns."""
    if not subject.reference:
        return skipped(OVERLAP, severity, "the training rows are not at hand")
    rows = sample_rows(subject.n, int(parameters["max_rows"]), subject.seed)
    columns = {name: v[rows] for name, v in _float_columns(subject).items()}
    reference = {**subject.reference, **_time(subject.reference)}
    if subject.timestamps is not None:
        columns[leakage.TIME] = _microseconds(subject.timestamps[rows])
        numbers = _series_numbers(subject, reference, rows)
        if numbers is not None and leakage.TIME in reference:
            columns[leakage.TIME] += _APART_US * numbers[0]
            reference[leakage.TIME] = reference[leakage.TIME] + _APART_US * numbers[1]
    shared, repeated, names = leakage.overlap(columns, reference)
    if not names:
        return skipped(OVERLAP, severity, "fewer than two numeric columns have values that tell rows apart")
    limit = float(parameters["max_share"])
    if repeated > float(parameters["max_repeated"]):
        return inconclusive(
            OVERLAP,
            severity,
            "rows",
            f"rows: {repeated:.1%} of the training rows repeat each other, so that an overlap would mean nothing",
            "compare identifiers or timestamps instead",
        )
    passed = shared <= limit
    finding = Finding(
        subject="rows",
        outcome=Outcome.PASSED if passed else Outcome.FAILED,
        observed=shared,
        limit=limit,
        message=f"rows: {shared:.2%} of the validation rows are in the training rows too",
        next_step="" if passed else "split by time, without overlap",
    )
    return concluded(
        OVERLAP, severity, _OVERLAP_REASON, [finding], details={"share": shared, "columns": list(names)}
    )


def _series_numbers(
    subject: Subject, reference: Mapping[str, Any], rows: NDArray[np.intp] | slice
) -> tuple[FloatArray, FloatArray] | None:
    """Return the number of the series of each row of both tables, where both say whose row it is.

    Meters that share a weather station have the same features at the same time, and are no repeats of each other.
    """
    name = next(
        (key for key, ids in subject.keys.items() if ids is subject.series and key in reference), None
    )
    if name is None or subject.series is None:
        return None
    tables = [np.asarray(ids).astype(str) for ids in (subject.series[rows], reference[name])]
    known = np.unique(np.concatenate([np.unique(ids) for ids in tables]))
    here, held = (np.searchsorted(known, ids).astype(np.float64) for ids in tables)
    return here, held


def _time(rows: Mapping[str, NDArray[Any]]) -> dict[str, FloatArray]:
    """Time stamps of reference rows, where one column holds them."""
    stamps = [values for values in rows.values() if np.asarray(values).dtype.kind == "M"]
    return {leakage.TIME: _microseconds(stamps[0])} if len(stamps) == 1 else {}


def _microseconds(stamps: NDArray[np.datetime64]) -> FloatArray:
    return stamps.astype("datetime64[us]").astype(np.int64).astype(np.float64)


def _numeric(subject: Subject, name: str, severity: Severity) -> dict[str, FloatArray] | CheckResult:
    if subject.y_true is None or len(subject.y_true) != subject.n:
        return skipped(name, severity, "the rows have no target")
    found = _float_columns(subject)
    return found or skipped(name, severity, "there is no numeric feature")


def _float_columns(subject: Subject) -> dict[str, FloatArray]:
    """Numeric feature columns that fit the predictions; columns of text are not converted to find out."""
    columns = {name: subject.features[name] for name in numeric_names(subject.features)}
    return {name: v for name, v in columns.items() if v.dtype.kind == "f" and len(v) == subject.n}


def _one_series(subject: Subject, most: int) -> NDArray[np.intp]:
    """Rows of the first series in time order, at most `most`."""
    rows = np.arange(subject.n)
    if subject.series is not None and len(subject.series) == subject.n and subject.n:
        rows = np.flatnonzero(subject.series == subject.series[0])
    stamps = time_order(subject, slice(None))
    if stamps is not None:
        rows = rows[~np.isnat(stamps[rows])]
        keys = stamps[rows]
        if (keys[1:] < keys[:-1]).any():
            rows = rows[np.argsort(keys, kind="stable")]
    return rows[:most]


def _too_few(name: str, severity: Severity, rows: int) -> CheckResult:
    return inconclusive(
        name,
        milder(severity, Severity.WARN),  # a fault that cannot be looked for is no fault found
        "features",
        f"features: {rows} rows with a varying target are too few to tell a copy from chance ({leakage.MIN_ROWS} needed)",
        "validate on more rows",
    )


def _summary(subject: str, found: int, looked_at: int, what: str) -> Finding:
    return Finding(
        subject=subject,
        outcome=Outcome.FAILED if found else Outcome.PASSED,
        observed=found,
        limit=0,
        message=f"{subject}: {found} of {looked_at} {what}",
        next_step="see the features above" if found else "",
    )


CHECKS: tuple[Check, ...] = (
    Check(
        name=LEAKAGE,
        run=target_leakage,
        reason=_LEAKAGE_REASON,
        parameters={"steps": 24, "share": 0.99, "max_rows": 5_000},
        severity=Severity.FAIL,
    ),
    Check(
        name=SUSPICIOUS,
        run=suspicious_feature,
        reason=_SUSPICIOUS_REASON,
        parameters={"max_explained": 0.99, "max_rows": 4_000},
        severity=Severity.WARN,
    ),
    Check(
        name=OVERLAP,
        run=train_overlap,
        reason=_OVERLAP_REASON,
        parameters={"max_share": 0.01, "max_repeated": 0.1, "max_rows": 5_000},
        severity=Severity.WARN,
    ),
)
