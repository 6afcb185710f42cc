"""Reports to render: one that failed on realistic figures, and one with a hundred features."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest

from aihub.types import ModelType, Outcome, Severity
from aihub.validation.report import plots
from aihub.validation.results import CheckResult, Finding, ValidationReport

if TYPE_CHECKING:
    from collections.abc import Callable

PASSED, FAILED, UNSURE = Outcome.PASSED, Outcome.FAILED, Outcome.INCONCLUSIVE
WHEN = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
LIMITS = {"mae": (96.4, 110.0), "rmse": (131.2, 150.0), "mape": (2.14, 3.0), "r2_score": (0.981, 0.9)}


def performance(rng: np.random.Generator, n: int = 2016) -> CheckResult:
    stamps = np.datetime64("2025-10-01T00:00", "us") + np.arange(n) * np.timedelta64(1, "h")
    hour = np.arange(n) % 24
    actual = 4700 + 900 * np.sin((hour - 9) / 24 * 2 * np.pi) + np.cumsum(rng.normal(0, 18, n))
    error = rng.normal(0, 95, n) * (1 + 0.6 * (hour > 16))
    predicted = actual + error
    by_hour = [np.abs(error[hour == h]).mean() for h in range(24)]
    return CheckResult(
        name="performance",
        outcome=PASSED,
        severity=Severity.FAIL,
        reason="The errors on the held-out rows must stay within the thresholds.",
        findings=tuple(
            Finding(
                subject=name,
                outcome=PASSED,
                observed=seen,
                limit=limit,
                message=f"{name} is within its limit.",
            )
            for name, (seen, limit) in LIMITS.items()
        ),
        details={"metrics": {name: seen for name, (seen, _) in LIMITS.items()}},
        plots={
            "predictions": plots.series(
                stamps,
                {"actual": actual, "prediction": predicted},
                band=("90 % interval", predicted - 190, predicted + 190),
                y_label="load, MW",
                note="The interval covered 90.3 % of the hours.",
            ),
            "residuals": plots.series(
                stamps, {"residual": error}, zero=True, y_label="MW, predicted minus actual"
            ),
            "residuals_by_hour": plots.bars(
                range(24), by_hour, title="Mean absolute error by hour of day", y_label="MW"
            ),
        },
        duration_s=0.012,
    )


def drift(rng: np.random.Generator, columns: int = 5) -> CheckResult:
    findings, drawn = [], {}
    for i in range(columns):
        name = (
            ("temperature", "humidity", "wind_speed", "irradiance", "price")[i]
            if columns == 5
            else f"feature_{i:03d}"
        )
        moved = i % 5 == 0
        reference = rng.normal(18, 6, 4000)
        current = rng.normal(22.5 if moved else 18.1, 6, 800)
        effect = 0.31 if moved else 0.04
        outcome = FAILED if moved else UNSURE if i == 3 else PASSED
        findings.append(
            Finding(
                subject=name,
                outcome=outcome,
                observed=effect,
                limit=0.1,
                message=f"{name} moved by {effect} of its distribution (adjusted p < 0.001)."
                if moved
                else f"{name} did not move.",
                next_step=f"Look at where {name} comes from; retrain on data from after the change."
                if moved
                else "",
                extra={"effect": effect, "p_adjusted": 0.0004},
            )
        )
        drawn[name] = plots.histogram_of(reference, current, y_label="°C")
    if columns == 5:
        drawn["weekday"] = plots.categories(
            ["Mon", "Tue", "Wed", "holiday"], [20, 20, 18, 2], [10, 12, 11, 9]
        )
    return CheckResult(
        name="data_drift",
        outcome=FAILED,
        severity=Severity.WARN,
        reason="Inputs unlike the training data make every measured error a promise about something else.",
        findings=tuple(findings),
        details={
            "drift_detected": {f.subject: {"drift": f.outcome is FAILED, "p_value": 0.02} for f in findings}
        },
        plots=drawn,
        duration_s=0.08,
    )


def champion() -> CheckResult:
    rows = [
        {"label": "MAE, all rows", "estimate": 1.083, "lower": 1.031, "upper": 1.142},
        {"label": "MAE, peak hours", "estimate": 1.121, "lower": 1.04, "upper": 1.21},
        {"label": "MAE, nights", "estimate": 0.98, "lower": 0.91, "upper": 1.06},
    ]
    return CheckResult(
        name="champion",
        outcome=FAILED,
        severity=Severity.FAIL,
        reason="The challenger must be better than the champion, or equivalent within the margin.",
        findings=(
            Finding(
                subject="mae ratio",
                outcome=FAILED,
                observed=1.083,
                limit=1.05,
                message="The challenger's MAE is 1.083 times the champion's (95 % interval 1.031 to 1.142): worse.",
                next_step="Keep the champion; compare the peak hours, where the challenger loses most.",
            ),
        ),
        plots={"ratio": plots.intervals(rows, reference=1.0, limit=1.05)},
    )


def slices() -> CheckResult:
    table = [
        {"slice": "hour=18", "n": 84, "mae": 171.2, "ratio": 1.78, "adjusted_p": 0.003},
        {"slice": "weekday=Sun", "n": 288, "mae": 99.0, "ratio": 1.03, "adjusted_p": 0.61},
    ]
    return CheckResult(
        name="slices",
        outcome=UNSURE,
        severity=Severity.FAIL,
        reason="A good average may hide a bad hour.",
        findings=(
            Finding(
                subject="hour=18", outcome=PASSED, observed=1.78, limit=2.0, message="Worst slice: hour 18."
            ),
            Finding(
                subject="season=summer",
                outcome=UNSURE,
                message="12 rows in summer cannot tell; 48 would do.",
                next_step="Validate on a table that covers the summer.",
            ),
        ),
        details={"slices": table},
    )


def make_failed_report() -> ValidationReport:
    rng = np.random.default_rng(0)
    comparisons = {"mae": {"current": 96.4, "baseline": 89.0, "degradation_pct": 8.31, "acceptable": False}}
    return ValidationReport(
        model_type=ModelType.FORECAST,
        model_path="/models/vic-load.aihub",
        validation_timestamp=WHEN,
        validation_data_size=2016,
        checks_run=(
            performance(rng),
            CheckResult(
                name="baseline_comparison",
                outcome=FAILED,
                severity=Severity.FAIL,
                reason="A new model must not be worse than the one before.",
                findings=(
                    Finding(
                        subject="mae",
                        outcome=FAILED,
                        observed=96.4,
                        limit=93.45,
                        message="mae is 8.31 % worse than the baseline of 89.0000, allowed are 5 %.",
                        next_step="Compare the two models on the same rows: give --champion.",
                    ),
                ),
                details={"comparisons": comparisons},
            ),
            drift(rng),
            champion(),
            slices(),
            CheckResult(
                name="calibration",
                outcome=Outcome.SKIPPED,
                severity=Severity.WARN,
                reason="the model gives no scores",
            ),
        ),
        settings={
            "performance.mae.max": {"value": 110.0, "source": "spec"},
            "performance.rmse.max": {"value": 150.0, "source": "spec"},
            "baseline_comparison": {"tolerance": {"value": 0.05, "source": "default"}},
        },
        context={
            "model": {"name": "vic-load", "algorithm": "lgbm", "digest": "sha256:" + "ab" * 32},
            "data": {
                "rows": 2016,
                "start": "2025-10-01T00:00Z",
                "end": "2025-12-23T23:00Z",
                "sha256": "cd" * 32,
            },
            "champion": {"version": "v1.4.2", "deployed": "2025-08-02"},
            "lineage": {
                "git": {"commit": "0123abcd", "dirty": False},
                "packages": {"lightgbm": "4.6.0", "numpy": "2.3"},
            },
            "notes": [
                {
                    "code": "duplicates",
                    "message": "the earlier of two rows of the same hour was kept",
                    "column": "timestamp",
                    "rows": 2,
                    "first_row": 4321,
                },
                "3 gaps of one hour were left as they are",
            ],
        },
    )


def make_wide_report(columns: int = 100) -> ValidationReport:
    rng = np.random.default_rng(1)
    return ValidationReport(
        model_type=ModelType.FORECAST,
        model_path="wide.aihub",
        validation_timestamp=WHEN,
        validation_data_size=100_000,
        checks_run=(performance(rng), drift(rng, columns)),
    )


HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'onmouseover='alert(1)",
    "</style><style>*{display:none}",
    "</title><svg/onload=alert(1)>",
    "--><!-- ]]> <![CDATA[",
    "javascript:alert(1)",
    "&lt;b&gt; &#x3c;script&#x3e;",
    "\x1b[31mred\x07\x00\x08",
    "\u202egnp.exe \u2066x\u2069",
    "line\nbreak\r\n| a | b |\ttab\u2028sep",
    "🌡️ température °C 温度",
    "\ud800 lone surrogate",
    "@everyone #1 https://evil.example www.evil.example `code` **b** [a](b) ~~x~~ $x$",
    "::error file=a::x %0A ##[group]",
    "x" * 5000,
    " ",
    "{{7*7}} ${7*7} %s {0}",
    "\ufffe\uffff\ufdd0",
)


def make_named_report(name: str) -> ValidationReport:
    """Return a report in which `name` stands wherever text of others can stand."""
    bars = {"kind": "bars", "labels": [name], "values": [1.0], "title": name, "note": name, "unit": name}
    rows = [{"label": name, "estimate": 1.0, "lower": 0.5, "upper": 1.5}]
    check = CheckResult(
        name=name,
        outcome=FAILED,
        severity=Severity.FAIL,
        reason=name,
        findings=(
            Finding(
                subject=name,
                outcome=FAILED,
                observed=name,
                limit=name,
                message=f"{name}.",
                next_step=f"{name}.",
            ),
        ),
        details={"slices": [{"slice": name, "note": name}], "notes": [name]},
        plots={
            name: bars,
            "s": {
                **plots.series([1, 2], {name: [1, 2], "b": [1, 2]}, band=(name, [0, 0], [3, 3])),
                "title": name,
            },
            "h": {**plots.histogram([0, 1, 2], [1, 1], [1, 2]), "title": name, "note": name},
            "c": plots.categories([name], [1], [1]),
            "i": plots.intervals(rows, reference=1.0),
        },
    )
    return ValidationReport(
        model_type=ModelType.FORECAST,
        model_path=f"/models/m{name}",
        validation_timestamp=WHEN,
        validation_data_size=1,
        checks_run=(check,),
        settings={name: {"value": name, "source": name}},
        context={
            "model": {"name": f"m{name}"},
            f"k{name}": [name, {f"k{name}": f"v{name}"}],
            "notes": [name, {"message": name, "column": name}],
        },
    )


@pytest.fixture(scope="session")
def failed_report() -> ValidationReport:
    return make_failed_report()


@pytest.fixture(scope="session")
def wide_report() -> ValidationReport:
    return make_wide_report(100)


@pytest.fixture(scope="session")
def named_report() -> Callable[[str], ValidationReport]:
    return make_named_report


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "hostile" in metafunc.fixturenames:
        metafunc.parametrize("hostile", HOSTILE, ids=[f"name{i}" for i in range(len(HOSTILE))])
