"""Tests of the drift checks: which test decides, what stops the gate, and that nothing passes by accident."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from aihub.types import ModelType, Outcome, Severity
from aihub.validation.checks.base import Subject
from aihub.validation.checks.data_drift import CHECKS
from aihub.validation.profile import Profile, ProfileSpec

if TYPE_CHECKING:
    from aihub.validation.results import CheckResult

BY_NAME = {check.name: check for check in CHECKS}
RNG = np.random.default_rng(0)


class Model:
    """A predictor that asks for two columns."""

    feature_names = ("load", "site")

    def predict(self, data: Any) -> np.ndarray:
        return np.zeros(len(data))


def run(name: str = "data_drift", *, parameters: dict[str, Any] | None = None, **given: Any) -> CheckResult:
    check = BY_NAME[name]
    n = len(next(iter(given["features"].values()), ()))
    subject = Subject(model_type=ModelType.FORECAST, **{"y_pred": np.zeros(n), **given})
    return check.run(
        subject, {**check.parameters, **(parameters or {})}, check.severity_for(ModelType.FORECAST)
    )


def table(n: int, shift: float = 0.0) -> dict[str, np.ndarray]:
    return {
        "load": RNG.normal(100 + shift, 10, n),
        "site": RNG.choice(np.array(["a", "b"], dtype=object), n),
    }


PROFILE = Profile.of(table(10_000))


def hourly(years: float) -> tuple[np.ndarray, np.ndarray]:
    t = np.arange(int(8766 * years))
    values = (
        100 + 20 * np.sin(2 * np.pi * t / 24) + 30 * np.cos(2 * np.pi * t / 8766) + RNG.normal(0, 4, t.size)
    )
    return np.datetime64("2021-01-04", "us") + t * np.timedelta64(1, "h"), values


def test_clean_data_passes_at_full_severity() -> None:
    result = run(features=table(2000), training_profile=PROFILE)
    assert (result.outcome, result.severity) == (Outcome.PASSED, Severity.FAIL)
    assert result.details["drift_detected"]["load"]["drift"] is False


def test_a_real_shift_stops_the_gate_and_says_what_to_do() -> None:
    result = run(features=table(2000, shift=5), training_profile=PROFILE)
    assert (result.outcome, result.severity) == (Outcome.FAILED, Severity.FAIL)
    worst = result.findings[0]
    assert worst.subject == "load"
    assert worst.next_step
    assert result.details["drift_detected"]["load"]["drift"] is True
    assert "load" in result.plots


def test_few_rows_are_inconclusive_and_only_warn() -> None:
    result = run(features=table(30), training_profile=PROFILE)
    assert (result.outcome, result.severity) == (Outcome.INCONCLUSIVE, Severity.WARN)
    assert all(f.outcome is Outcome.INCONCLUSIVE for f in result.findings)
    assert "at least" in result.findings[0].next_step
    assert result.details["drift_detected"]["load"]["drift"] is None


def test_a_small_drift_warns() -> None:
    result = run(features=table(200_000, shift=2), training_profile=PROFILE)
    assert (result.outcome, result.severity) == (Outcome.FAILED, Severity.WARN)


def test_drift_of_a_column_that_the_model_hardly_uses_warns() -> None:
    features = table(2000, shift=20)
    importance = {"load": 0.001, "site": 0.999}
    result = run(features=features, training_profile=PROFILE, feature_importance=importance)
    assert (result.outcome, result.severity) == (Outcome.FAILED, Severity.WARN)


def test_a_missing_column_stops_the_gate() -> None:
    features = table(2000)
    del features["site"]
    result = run(features=features, training_profile=PROFILE, predictor=Model())
    assert not result.lets_through
    assert result.findings[0].subject == "site"


def test_gaps_that_were_filled_since_training_do_not_stop_the_gate() -> None:
    values = np.random.default_rng(0).normal(size=3000)
    gappy = np.where(np.arange(3000) % 10 == 0, np.nan, values)
    mended = run(features={"x": values}, training_profile=Profile.of({"x": gappy}))
    assert mended.lets_through
    torn = run(features={"x": gappy}, training_profile=Profile.of({"x": values}))
    assert not torn.lets_through


def test_raw_seasonal_values_against_all_of_training_only_warn() -> None:
    stamps, values = hourly(2)
    features = {"load": values[-1000:] + 80}
    result = run(features=features, timestamps=stamps[-1000:], training_profile=Profile.of({"load": values}))
    assert result.outcome is Outcome.FAILED
    assert result.details["drift_detected"]["load"]["test"] in ("range", "distribution")
    season_only = run(
        features={"load": values[:1000]},
        timestamps=stamps[:1000],
        training_profile=Profile.of({"load": values}),
    )
    assert (season_only.outcome, season_only.severity) == (Outcome.FAILED, Severity.WARN)


def test_reference_rows_with_stamps_take_the_season_off() -> None:
    stamps, values = hourly(3)
    split = 2 * 8766
    reference = {"time": stamps[:split], "load": values[:split]}
    weeks = slice(split, split + 500)
    quiet = run(features={"load": values[weeks]}, timestamps=stamps[weeks], reference=reference)
    assert quiet.outcome is Outcome.PASSED
    assert quiet.details["drift_detected"]["load"]["test"] == "season-adjusted"
    shifted = run(features={"load": values[weeks] + 8}, timestamps=stamps[weeks], reference=reference)
    assert not shifted.lets_through


def test_less_than_a_year_of_reference_only_warns() -> None:
    stamps, values = hourly(0.7)
    cut = int(len(values) * 0.8)
    result = run(
        features={"load": values[cut:]},
        timestamps=stamps[cut:],
        reference={"time": stamps[:cut], "load": values[:cut]},
    )
    assert (result.outcome, result.severity) == (Outcome.FAILED, Severity.WARN)
    assert "may be the season" in result.findings[0].next_step


def test_the_z_test_decides_where_only_means_are_known() -> None:
    stats = {"load": {"mean": 100.0, "std": 10.0}}
    assert run(features=table(2000), training_stats=stats).details["drift_detected"]["load"].keys() >= {
        "drift",
        "p_value",
        "z_score",
    }
    assert not run(features=table(2000, shift=10), training_stats=stats).lets_through
    small = run(features=table(200_000, shift=0.5), training_stats=stats)
    assert (small.outcome, small.severity) == (Outcome.FAILED, Severity.WARN)
    assert not run(features={"site": table(5)["site"]}, training_stats=stats).lets_through


def test_without_anything_to_compare_with_the_checks_are_skipped() -> None:
    for name in BY_NAME:
        assert run(name, features=table(50)).outcome is Outcome.SKIPPED


@pytest.mark.parametrize(
    "values",
    [
        np.array([]),
        np.array([100.0]),
        np.full(40, np.nan),
        np.full(40, np.inf),
        np.array([1, "a", None, 2.5] * 10, dtype=object),
    ],
)
@pytest.mark.parametrize("kind", ["profile", "rows", "stats"])
def test_degenerate_input_never_passes(values: np.ndarray, kind: str) -> None:
    stamps, load = hourly(0.5)
    given: dict[str, Any] = {
        "profile": {"training_profile": Profile.of({"x": load})},
        "rows": {"reference": {"time": stamps, "x": load}, "timestamps": stamps[: len(values)]},
        "stats": {"training_stats": {"x": {"mean": 0.0, "std": 1.0}}},
    }[kind]
    assert run(features={"x": values}, **given).outcome in (Outcome.FAILED, Outcome.INCONCLUSIVE)


def test_predictions_are_compared_with_those_on_training_data_or_the_champions() -> None:
    spec = ProfileSpec(prediction="yhat")
    profile = Profile.of({"yhat": RNG.normal(50, 5, 5000)}, spec)
    features = table(1000)
    moved = run(
        "prediction_drift", features=features, y_pred=RNG.normal(60, 5, 1000), training_profile=profile
    )
    assert (moved.outcome, moved.severity) == (Outcome.FAILED, Severity.WARN)
    same = RNG.normal(50, 5, 1000)
    assert (
        run("prediction_drift", features=features, y_pred=same, training_profile=profile).outcome
        is Outcome.PASSED
    )
    champion = run("prediction_drift", features=features, y_pred=same, champion_pred=same + 0.1)
    assert champion.outcome is Outcome.PASSED


def test_the_joint_check_sees_a_broken_dependence() -> None:
    x = RNG.normal(size=1000)
    reference = {"a": x, "b": x + 0.2 * RNG.normal(size=1000)}
    y = RNG.normal(size=500)
    fine = run(
        "multivariate_drift", features={"a": y, "b": y + 0.2 * RNG.normal(size=500)}, reference=reference
    )
    broken = run("multivariate_drift", features={"a": y, "b": RNG.normal(size=500)}, reference=reference)
    assert (fine.outcome, broken.outcome) == (Outcome.PASSED, Outcome.FAILED)
    assert not BY_NAME["multivariate_drift"].is_default
