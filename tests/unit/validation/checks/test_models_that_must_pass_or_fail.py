"""What the gate is for: good models pass, useless ones do not, and nobody has to set a threshold first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.signal import lfilter

from aihub.types import ModelType, Outcome, Severity
from aihub.validation.checks import champion, intervals, leakage, predictions, skill, slices
from aihub.validation.checks.base import Check, Subject
from aihub.validation.profile import Profile, ProfileSpec

if TYPE_CHECKING:
    from aihub.validation.results import CheckResult

CHECKS: dict[str, Check] = {
    check.name: check
    for module in (champion, intervals, leakage, predictions, skill, slices)
    for check in module.CHECKS
}
N = 24 * 60
HOURS = np.arange(N)
STAMPS = np.datetime64("2026-01-01", "us") + HOURS * np.timedelta64(1, "h")


def noise(seed: int, rho: float = 0.7, sd: float = 20.0) -> np.ndarray:
    return lfilter([1.0], [1.0, -rho], np.random.default_rng(seed).normal(0, sd, N))


LOAD = 1000 + 200 * np.sin(2 * np.pi * HOURS / 24) + 80 * np.sin(2 * np.pi * HOURS / 168) + noise(1, 0.97, 10)
SUN = (
    np.maximum(0, np.sin(2 * np.pi * (HOURS % 24 - 6) / 24))
    * np.random.default_rng(2).beta(3, 1.5, 60)[HOURS // 24]
)
AROUND_ZERO = noise(3)
TARGETS = {
    "load": (LOAD, LOAD + noise(4)),
    "photovoltaic": (SUN, SUN.copy()),
    "around zero": (AROUND_ZERO, AROUND_ZERO + 0.3 * noise(5)),
}


def subject(y: np.ndarray, prediction: np.ndarray, **more: Any) -> Subject:
    fields = {
        "features": {
            "temperature": noise(6),
            "similar": y + 0.5 * y.std() * np.random.default_rng(0).normal(size=N),
        },
        "timestamps": STAMPS,
        "horizon_steps": 24,
    }
    return Subject(model_type=ModelType.FORECAST, y_pred=prediction, y_true=y, **{**fields, **more})


def gate(s: Subject, **parameters: Any) -> dict[str, CheckResult]:
    return {
        name: c.run(s, {**c.parameters, **parameters.get(name, {})}, c.severity_for(s.model_type))
        for name, c in CHECKS.items()
    }


def is_open(results: dict[str, CheckResult]) -> bool:
    return all(r.lets_through for r in results.values())


@pytest.mark.parametrize("target", TARGETS)
def test_a_good_model_passes(target: str) -> None:
    y, prediction = TARGETS[target]
    results = gate(subject(y, prediction))
    assert is_open(results)
    assert results["skill"].outcome is Outcome.PASSED
    assert not [n for n, r in results.items() if r.outcome is Outcome.FAILED]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("fault", ["constant", "nearly constant", "shuffled", "x10", "missing"])
def test_a_useless_model_fails(target: str, fault: str) -> None:
    y, good = TARGETS[target]
    rng = np.random.default_rng(7)
    prediction = {
        "constant": np.full(N, y.mean()),
        "nearly constant": y.mean() + 1e-4 * y.std() * rng.normal(size=N),
        "shuffled": rng.permutation(good),
        "x10": np.where(rng.random(N) < 0.12, 10 * good, good),
        "missing": np.where(rng.random(N) < 0.12, np.nan, good),
    }[fault]
    assert not is_open(gate(subject(y, prediction)))


def test_the_corruption_is_seen_without_labels_by_the_training_range() -> None:
    profile = Profile.of({"load": LOAD}, ProfileSpec(target="load"))
    wrong = np.where(np.random.default_rng(0).random(N) < 0.12, 10 * LOAD, LOAD)
    good, bad = (
        gate(Subject(model_type=ModelType.FORECAST, features={}, y_pred=p, training_profile=profile))[
            "target_range"
        ]
        for p in (LOAD, wrong)
    )
    assert good.outcome is Outcome.PASSED
    assert bad.outcome is Outcome.FAILED
    assert "training target" in bad.findings[0].message


def test_physical_limits_come_first() -> None:
    result = gate(subject(SUN, SUN - 0.01), target_range={"lower": 0.0})["target_range"]
    assert result.outcome is Outcome.FAILED


def test_an_equal_challenger_passes_or_is_shown_to_a_person() -> None:
    failed = 0
    for seed in range(20):
        result = gate_champion(
            LOAD + 0.9 * noise(100 + seed) + 0.436 * noise(200 + seed), LOAD + noise(100 + seed)
        )
        failed += result.outcome is Outcome.FAILED
        assert result.outcome is Outcome.FAILED or result.lets_through
    assert failed <= 3


def gate_champion(prediction: np.ndarray, old: np.ndarray, **more: Any) -> CheckResult:
    check = CHECKS["champion_comparison"]
    return check.run(subject(LOAD, prediction, champion_pred=old, **more), check.parameters, Severity.FAIL)


def test_the_champion_is_compared() -> None:
    old, other = LOAD + noise(11), LOAD + noise(12)
    assert gate_champion(old, old).outcome is Outcome.PASSED
    assert gate_champion(LOAD + 0.5 * noise(12), old).outcome is Outcome.PASSED
    worse = gate_champion(LOAD + 1.5 * (other - LOAD), old)
    assert worse.outcome is Outcome.FAILED
    assert not worse.lets_through
    assert worse.details["verdict"] == "worse"
    assert worse.plots


def test_a_challenger_that_leaves_rows_out_fails() -> None:
    old = LOAD + noise(11)
    silent = LOAD + 0.5 * noise(12)
    silent[:5] = np.nan
    result = gate_champion(silent, old)
    assert result.outcome is Outcome.FAILED
    assert "5 rows" in result.findings[1].message


def test_too_short_a_holdout_is_a_warning_and_below_the_least_a_stop() -> None:
    old, new = LOAD + noise(11), LOAD + noise(12)

    def short(n: int) -> CheckResult:
        check = CHECKS["champion_comparison"]
        s = Subject(
            model_type=ModelType.FORECAST, features={}, y_pred=new[:n], y_true=LOAD[:n], champion_pred=old[:n]
        )
        return check.run(s, check.parameters, Severity.FAIL)

    assert short(48).outcome is Outcome.INCONCLUSIVE
    assert short(48).lets_through
    assert "at least" in short(48).findings[0].next_step
    assert short(10).outcome is Outcome.INCONCLUSIVE
    assert not short(10).lets_through


def test_a_shifted_prediction_is_seen_without_labels() -> None:
    old = LOAD + noise(11)
    check = CHECKS["prediction_shift"]
    outcomes = [
        check.run(
            Subject(model_type=ModelType.FORECAST, features={}, y_pred=new, champion_pred=old),
            check.parameters,
            Severity.WARN,
        ).outcome
        for new in (LOAD + noise(12), old + 100, np.random.default_rng(0).permutation(old))
    ]
    assert outcomes == [Outcome.PASSED, Outcome.FAILED, Outcome.FAILED]


def test_one_weak_hour_is_named() -> None:
    old = LOAD + noise(11)
    new = old + np.where(HOURS % 24 == 18, 150.0, 0.0)
    result = gate(subject(LOAD, new, champion_pred=old))["slice_performance"]
    assert result.findings[0].subject == "hour=18"
    assert result.severity is Severity.WARN


def test_intervals_that_hold_and_that_do_not() -> None:
    prediction = LOAD + noise(4)
    spread = (prediction - LOAD).std()

    def with_width(width: float) -> Outcome:
        bounds = (prediction - width * spread, prediction + width * spread, 0.9)
        return gate(subject(LOAD, prediction, interval=bounds))["interval_coverage"].outcome

    assert [with_width(w) for w in (1.645, 1.0, 5.0)] == [Outcome.PASSED, Outcome.FAILED, Outcome.FAILED]


def test_the_target_among_the_features_stops_the_gate() -> None:
    ahead = np.append(LOAD[1:], np.nan)
    result = gate(subject(LOAD, LOAD + noise(4), features={"next hour": ahead, "other": noise(8)}))[
        "target_leakage"
    ]
    assert [f.subject for f in result.findings if f.outcome is Outcome.FAILED] == ["next hour", "features"]
    assert not result.lets_through


def test_a_feature_that_explains_too_much_and_training_rows_are_warnings() -> None:
    features = {"twin": LOAD + 0.01 * noise(4), "other": noise(8)}
    results = gate(
        subject(LOAD, LOAD + noise(4), features=features, reference={k: v[:500] for k, v in features.items()})
    )
    assert results["suspicious_feature"].outcome is Outcome.FAILED
    assert results["train_overlap"].outcome is Outcome.FAILED
    assert results["suspicious_feature"].lets_through


def test_bias_is_held_against_the_spread_of_the_target() -> None:
    outcomes = [gate(subject(LOAD, LOAD + noise(4) + shift))["bias"].outcome for shift in (0, 60, -60)]
    assert outcomes == [Outcome.PASSED, Outcome.FAILED, Outcome.FAILED]


def test_repeating_last_week_must_be_beaten() -> None:
    assert gate(subject(LOAD, LOAD + 0.2 * noise(4)))["seasonal_skill"].outcome is Outcome.PASSED
    assert gate(subject(LOAD, LOAD + 8 * noise(4)))["seasonal_skill"].outcome is Outcome.FAILED


def anomalies(prediction: np.ndarray, score: np.ndarray | None, label: np.ndarray) -> dict[str, CheckResult]:
    return gate(
        Subject(
            model_type=ModelType.ANOMALY,
            features={},
            y_pred=prediction,
            y_true=label,
            score=score,
            timestamps=STAMPS,
        )
    )


def test_detectors() -> None:
    rng = np.random.default_rng(0)
    score = rng.beta(0.4, 4, N)
    label = (rng.random(N) < score).astype(float)
    good = anomalies((score > 0.3).astype(float), score, label)
    assert is_open(good)
    assert good["calibration"].outcome is Outcome.PASSED
    assert not is_open(anomalies(np.zeros(N), None, label))
    shuffled = rng.permutation(score)
    assert not is_open(anomalies((shuffled > 0.3).astype(float), shuffled, label))
    assert anomalies((score > 0.3).astype(float), score**4, label)["calibration"].outcome is Outcome.FAILED
    quiet_week = anomalies(np.zeros(N), None, np.zeros(N))
    assert quiet_week["near_constant_output"].outcome is Outcome.INCONCLUSIVE
    assert is_open(quiet_week)


def judged(label: np.ndarray, alarm: np.ndarray) -> dict[str, CheckResult]:
    return gate(
        Subject(model_type=ModelType.ANOMALY, features={}, y_true=label, y_pred=alarm, timestamps=STAMPS)
    )


def test_a_detector_with_false_alarms_among_few_anomalies_has_no_weak_hours() -> None:
    """It errs more often than one that never alarms, because half of its alarms are false; that is no weak hour."""
    rng = np.random.default_rng(11)
    label = (rng.random(N) < 0.02).astype(float)
    alarm = np.where(label > 0, rng.random(N) < 0.9, rng.random(N) < 0.02).astype(float)
    assert judged(label, alarm)["slice_performance"].outcome is Outcome.PASSED


def test_a_detector_that_is_wrong_in_one_hour_has_a_weak_hour() -> None:
    rng = np.random.default_rng(12)
    label = (rng.random(N) < 0.3).astype(float)
    alarm = np.where(HOURS % 24 == 3, 1 - label, label)
    found = judged(label, alarm)["slice_performance"]
    assert "hour=03: mean balanced error" in found.findings[0].message


def test_nobody_is_told_to_wait_for_a_hundred_times_the_rows() -> None:
    label = np.zeros(N)
    label[200:260] = label[900:960] = 1.0
    alarm = (np.random.default_rng(5).random(N) < 0.45).astype(float)
    finding = judged(label, alarm)["skill"].findings[0]
    assert finding.outcome is not Outcome.PASSED
    assert "None" not in finding.next_step
    assert finding.next_step


@pytest.mark.parametrize(("at_night", "outcome"), [(0.0005, Outcome.PASSED), (0.2, Outcome.FAILED)])
def test_a_photovoltaic_forecast_may_be_nearly_zero_at_night(at_night: float, outcome: Outcome) -> None:
    """Each hour of the night is worse than its own median, which is zero; what matters is whether it does harm."""
    forecast = np.where(SUN > 0, SUN * (1 + 0.1 * np.random.default_rng(8).normal(size=N)), at_night)
    assert gate(subject(SUN, forecast))["slice_performance"].outcome is outcome


def test_meters_with_the_same_weather_do_not_repeat_each_other() -> None:
    half = N // 2
    weather, other = noise(21), noise(22)
    stamps, ids = np.tile(STAMPS, 2), np.repeat(np.array(["a", "b"], dtype=object), N)
    later, sooner = np.tile(np.arange(N) >= half, 2), np.tile(np.arange(N) < half, 2)
    table = {"weather": np.tile(weather, 2), "other": np.tile(other, 2)}
    y = np.tile(LOAD, 2)[later]

    def overlap(reference_rows: np.ndarray) -> CheckResult:
        series = ids[later]
        return gate(
            subject(
                y,
                y + np.tile(noise(4)[:half], 2),
                features={name: v[later] for name, v in table.items()},
                timestamps=stamps[later],
                series=series,
                keys={"time": stamps[later], "meter": series},
                reference={"time": stamps[reference_rows], "meter": ids[reference_rows]}
                | {name: v[reference_rows] for name, v in table.items()},
            )
        )["train_overlap"]

    assert overlap(sooner).outcome is Outcome.PASSED
    assert overlap(later).outcome is Outcome.FAILED
