from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from aihub.types import ModelType, Outcome, Severity
from aihub.validation.report.text import render_text
from aihub.validation.results import CheckResult, Finding, ValidationReport

if TYPE_CHECKING:
    from collections.abc import Callable

GUIDE = """\
================================================================================
MODEL VALIDATION REPORT
================================================================================
Model Type: forecast
Timestamp: 2025-01-15T10:30:00Z
Overall Status: ✓ PASSED
Validation Data Size: 2000

────────────────────────────────────────────────────────────────────────────────
PERFORMANCE METRICS
────────────────────────────────────────────────────────────────────────────────
  ✓ mae: 38.5000
  ✓ rmse: 52.3000
  ✓ mape: 7.2000
  ✓ r2_score: 0.8500

────────────────────────────────────────────────────────────────────────────────
BASELINE COMPARISON
────────────────────────────────────────────────────────────────────────────────
  ✓ mae: 38.5000 vs 45.0000 (-14.44%)
  ✓ rmse: 52.3000 vs 65.0000 (-19.54%)

================================================================================"""

METRICS = {"mae": 38.5, "rmse": 52.3, "mape": 7.2, "r2_score": 0.85}
COMPARISONS = {
    "mae": {"current": 38.5, "baseline": 45.0, "degradation_pct": -14.4444, "acceptable": True},
    "rmse": {"current": 52.3, "baseline": 65.0, "degradation_pct": -19.5385, "acceptable": True},
}


def guide_mapping() -> dict[str, object]:
    return {
        "passed": True,
        "failures": [],
        "checks": {
            "performance": {"passed": True, "metrics": METRICS, "failures": []},
            "baseline_comparison": {"passed": True, "comparisons": COMPARISONS},
        },
        "model_type": "forecast",
        "model_path": "/path/to/model.pkl",
        "validation_timestamp": "2025-01-15T10:30:00Z",
        "validation_data_size": 2000,
    }


def guide_report() -> ValidationReport:
    return ValidationReport(
        model_type=ModelType.FORECAST,
        model_path="/path/to/model.pkl",
        validation_timestamp=datetime(2025, 1, 15, 10, 30, tzinfo=UTC),
        validation_data_size=2000,
        checks_run=(
            CheckResult(
                name="performance",
                outcome=Outcome.PASSED,
                severity=Severity.FAIL,
                reason="The model must be good enough.",
                findings=tuple(
                    Finding(subject=k, outcome=Outcome.PASSED, observed=v) for k, v in METRICS.items()
                ),
                details={"metrics": METRICS},
            ),
            CheckResult(
                name="baseline_comparison",
                outcome=Outcome.PASSED,
                severity=Severity.FAIL,
                reason="The model must not be worse than the one before.",
                findings=tuple(
                    Finding(subject=k, outcome=Outcome.PASSED, observed=v["current"])
                    for k, v in COMPARISONS.items()
                ),
                details={"comparisons": COMPARISONS},
            ),
        ),
    )


def test_plain_mapping_prints_the_guides_example_to_the_letter() -> None:
    assert render_text(guide_mapping()) == GUIDE


def test_report_object_prints_the_guides_example_to_the_letter() -> None:
    assert render_text(guide_report()) == GUIDE
    assert str(guide_report()) == GUIDE


def test_a_failed_report_says_why_and_what_to_do(failed_report: ValidationReport) -> None:
    lines = render_text(failed_report).splitlines()
    assert "Overall Status: ✗ FAILED" in lines
    assert "  ✗ mae: 96.4000 vs 89.0000 (+8.31%)" in lines
    assert "    Next: Keep the champion; compare the peak hours, where the challenger loses most." in lines
    titles = [lines[i + 1] for i, line in enumerate(lines[:-2]) if line == "─" * 80 == lines[i + 2]]
    assert titles == [
        "PERFORMANCE METRICS",
        "BASELINE COMPARISON",
        "DATA DRIFT",
        "CHAMPION",
        "SLICES",
        "NOT CHECKED",
        "NOTES",
        "WARNINGS",
        "FAILURES",
    ]
    assert lines[-1] == "=" * 80


def test_plain_mapping_with_failures() -> None:
    results = guide_mapping() | {
        "passed": False,
        "failures": ["mae 55.0000 exceeds maximum 50.0000"],
        "checks": {
            "performance": {
                "passed": False,
                "metrics": {"mae": 55.0, "mape": 2.0},
                "failures": ["MAE 55.0000 exceeds 50.0000"],
            },
            "data_drift": {
                "passed": False,
                "drift_detected": {"t": {"drift": True, "p_value": 0.001, "z_score": 4.2}},
            },
            "prediction_stability": {"passed": True, "coefficient_of_variation": 0.2},
            "prediction_range": {"outlier_percentage": 9.0},
        },
    }
    text = render_text(results)
    assert "  ✗ mae: 55.0000\n  ✓ mape: 2.0000" in text
    assert "  ✗ t: drift (p = 0.0010, z = 4.2000)" in text
    assert "  ✓ coefficient_of_variation: 0.2000" in text
    assert "  ✗ outlier_percentage: 9.0000" in text, "a check without a verdict did not pass"
    assert "  ✗ mae 55.0000 exceeds maximum 50.0000" in text


def test_ten_thousand_columns_are_counted_not_listed() -> None:
    findings = tuple(Finding(subject=f"c{i}", outcome=Outcome.PASSED, observed=0.0) for i in range(10_000))
    check = CheckResult(
        name="data_drift", outcome=Outcome.PASSED, severity=Severity.FAIL, reason="", findings=findings
    )
    text = render_text(replace(guide_report(), checks_run=(check,)))
    assert len(text.splitlines()) < 80
    assert "9960 more passed" in text


def test_hostile_names_stay_on_their_line(
    hostile: str, named_report: Callable[[str], ValidationReport]
) -> None:
    text = render_text(named_report(hostile))
    text.encode()
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    assert text.count("\n") == render_text(named_report("name")).count("\n")
    assert not [line for line in text.splitlines() if line.lstrip().startswith(("::", "##["))]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, 10**30, 1e-9, -0.0, True, "text"])
def test_any_figure_can_be_written(value: object) -> None:
    finding = Finding(subject="m", outcome=Outcome.FAILED, observed=value, limit=value)  # type: ignore[arg-type]
    check = CheckResult(
        name="mine", outcome=Outcome.FAILED, severity=Severity.FAIL, reason="", findings=(finding,)
    )
    assert "  ✗ m: " in render_text(replace(guide_report(), checks_run=(check,)))


def test_a_pass_beside_its_limit_is_shown_with_what_is_known_of_it() -> None:
    finding = Finding(
        subject="bias",
        outcome=Outcome.PASSED,
        observed=0.11,
        limit=0.1,
        message="bias: the mean error is +0.110 of the target's standard deviation (95 % interval -0.020 to +0.240)",
    )
    check = CheckResult(
        name="bias", outcome=Outcome.PASSED, severity=Severity.WARN, reason="", findings=(finding,)
    )
    text = render_text(replace(guide_report(), checks_run=(check,)))
    assert "✓ bias: 0.1100 (limit 0.1000; 95 % interval -0.020 to +0.240)" in text


def test_metrics_without_a_limit_are_shown_as_such() -> None:
    check = CheckResult(
        name="performance",
        outcome=Outcome.PASSED,
        severity=Severity.FAIL,
        reason="",
        findings=(Finding(subject="mape", outcome=Outcome.PASSED, observed=2.5, limit=10.0),),
        details={"metrics": {"mae": 117.55, "mape": 2.5, "bias": 3.0, "r2_score": float("nan")}},
    )
    text = render_text(replace(guide_report(), checks_run=(check,)))
    assert "  ✓ mape: 2.5000\n  - mae: 117.5500 (no limit)\n\n" in text


def test_a_subject_is_not_said_twice() -> None:
    finding = Finding(
        subject="rows", outcome=Outcome.INCONCLUSIVE, message="rows: too few", next_step="send more"
    )
    check = CheckResult(
        name="train_overlap",
        outcome=Outcome.INCONCLUSIVE,
        severity=Severity.WARN,
        reason="x",
        findings=(finding,),
    )
    report = ValidationReport(
        model_type=ModelType.FORECAST,
        model_path="m",
        validation_timestamp=datetime(2026, 1, 1, tzinfo=UTC),
        validation_data_size=3,
        checks_run=(check,),
    )
    assert "? rows: too few" in render_text(report)
