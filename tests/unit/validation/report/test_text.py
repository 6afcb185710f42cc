from __future__ import annotations

from datetime import UTC, datetime

from aihub.types import ModelType, Outcome, Severity
from aihub.validation.report.text import render_text
from aihub.validation.results import CheckResult, Finding, ValidationReport

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
