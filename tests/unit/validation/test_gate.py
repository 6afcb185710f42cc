from __future__ import annotations

from typing import Any

import numpy as np

from aihub.types import ModelType, Outcome, Severity
from aihub.validation.checks import FAMILIES, builtins, plugins
from aihub.validation.checks.base import Check, Subject
from aihub.validation.gate import run_checks
from aihub.validation.results import CheckResult, ValidationReport
from aihub.validation.settings import CheckSettings, GateSettings, resolve


def passing(subject: Subject, parameters: Any, severity: Severity) -> CheckResult:
    return CheckResult(
        name="fine",
        outcome=Outcome.PASSED,
        severity=severity,
        reason="test",
        details={"n": subject.n, "limit": parameters["limit"]},
    )


def raising(subject: Subject, parameters: Any, severity: Severity) -> CheckResult:  # noqa: ARG001
    raise ZeroDivisionError("no rows")


FINE = Check(name="fine", run=passing, reason="always passes", parameters={"limit": 3})
BROKEN = Check(name="broken", run=raising, reason="always raises")
SUBJECT = Subject(model_type=ModelType.FORECAST, features={}, y_pred=np.ones(4))


def settings(*names: str) -> GateSettings:
    return GateSettings(
        ModelType.FORECAST, tuple(CheckSettings(n, Severity.FAIL, {"limit": 5}) for n in names)
    )


def test_checks_run_in_order_with_their_parameters() -> None:
    found = run_checks(SUBJECT, settings("fine", "fine"), checks={"fine": FINE})
    assert [result.details for result in found] == [{"n": 4, "limit": 5}] * 2
    assert all(result.duration_s >= 0 for result in found)


def test_a_check_that_raises_fails_and_the_others_still_run() -> None:
    broken, fine = run_checks(SUBJECT, settings("broken", "fine"), checks={"fine": FINE, "broken": BROKEN})
    assert broken.outcome is Outcome.FAILED
    assert "ZeroDivisionError: no rows" in broken.findings[0].message
    assert "raising" in broken.findings[0].extra["traceback"]
    assert fine.outcome is Outcome.PASSED


def test_third_parties_add_checks_that_are_configured_like_ours() -> None:
    found = resolve("forecast", spec={"checks": {"fine": {"limit": 7}}}, checks=[FINE, BROKEN])
    assert [(c.name, dict(c.parameters)) for c in found.checks] == [("fine", {"limit": 7}), ("broken", {})]


def test_a_check_that_is_not_default_runs_when_it_is_named() -> None:
    quiet = Check(name="quiet", run=passing, reason="on request", parameters={"limit": 1}, is_default=False)
    assert resolve("forecast", checks=[quiet]).checks == ()
    assert resolve("forecast", spec={"checks": {"quiet": True}}, checks=[quiet]).checks[0].name == "quiet"
    assert resolve("forecast", spec={"checks": {"quiet": {"limit": 2}}}, checks=[quiet]).checks[
        0
    ].parameters == {"limit": 2}


def test_every_built_in_has_a_name_a_reason_and_survives_a_subject_with_nothing() -> None:
    names = [check.name for check in builtins()]
    assert len(names) == len(set(names))
    assert {
        "performance",
        "baseline_comparison",
        "data_drift",
        "prediction_stability",
        "prediction_range",
    } <= set(names)
    assert len(FAMILIES) <= len(names)
    for kind in ModelType:
        subject = Subject(model_type=kind, features={}, y_pred=np.array([]))
        for result in run_checks(subject, resolve(kind)):
            assert result.outcome is not Outcome.PASSED, result
            assert "could not be run" not in "".join(f.message for f in result.findings), result


def test_every_built_in_survives_one_row_of_nothing_but_nan() -> None:
    nan = np.array([np.nan])
    for kind in ModelType:
        subject = Subject(
            model_type=kind, features={"x": nan}, y_true=nan, y_pred=nan, score=nan, champion_pred=nan
        )
        for result in run_checks(subject, resolve(kind)):
            assert result.outcome is not Outcome.PASSED, result
            assert "could not be run" not in "".join(f.message for f in result.findings), result


def test_checks_are_plugins() -> None:
    assert plugins().get("performance").reason


def test_nothing_run_is_not_passed() -> None:
    from datetime import UTC, datetime  # noqa: PLC0415

    report = ValidationReport(
        model_type=ModelType.FORECAST,
        model_path="m",
        validation_timestamp=datetime(2025, 1, 1, tzinfo=UTC),
        validation_data_size=0,
        checks_run=(),
    )
    assert report.passed is False
    assert report["failures"]
