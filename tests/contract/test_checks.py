"""What every check, built in or third party, must survive: a bad table is a finding, never a crash or a pass."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from aihub.types import ModelType, Outcome, Severity
from aihub.validation.checks import builtins
from aihub.validation.checks.base import Check, Subject
from aihub.validation.gate import run_checks
from aihub.validation.settings import CheckSettings, GateSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from aihub.validation.results import CheckResult

CHECKS = builtins()
SHIPPED = {check.name: check for check in CHECKS}


class Echo:
    """A model that answers its first numeric column."""

    feature_names = ("a", "c")

    def predict(self, data: Any) -> np.ndarray[Any, Any]:
        return np.asarray(data["a"], dtype=np.float64)


class Broken(Echo):
    def predict(self, data: Any) -> np.ndarray[Any, Any]:  # noqa: ARG002 - the shape of a predictor
        raise RuntimeError("no such device")


def subject(n: int = 400, model_type: ModelType = ModelType.FORECAST, **changed: Any) -> Subject:
    rng = np.random.default_rng(3)
    hours = np.arange(n)
    y = 100 + 20 * np.sin(2 * np.pi * hours / 24) + rng.normal(0, 5, n)
    if model_type is ModelType.ANOMALY:
        y = (rng.random(n) < 0.1).astype(float)
    pred = y + rng.normal(0, 3, n) if model_type is ModelType.FORECAST else y.copy()
    fields: dict[str, Any] = {
        "model_type": model_type,
        "features": {
            "a": rng.normal(20, 5, n),
            "b": rng.normal(60, 10, n),
            "c": np.array(["x", "y"], dtype=object)[hours % 2],
        },
        "y_pred": pred,
        "y_true": y,
        "score": np.clip(y * 0.9 + 0.05, 0, 1) if model_type is ModelType.ANOMALY else None,
        "interval": (pred - 5, pred + 5, 0.9),
        "timestamps": np.datetime64("2026-01-01T00", "us") + hours * np.timedelta64(1, "h"),
        "series": np.array(["s1"] * n, dtype=object),
        "baseline_metrics": {"mae": 3.0, "f1_score": 0.9},
        "champion_pred": pred + 0.1 * rng.normal(size=n),
        "training_stats": {"a": {"mean": 20.0, "std": 5.0}},
        "reference": {"a": rng.normal(20, 5, n), "b": rng.normal(60, 10, n)},
        "feature_importance": {"a": 0.7, "b": 0.3},
        "predictor": Echo(),
        "artifact_size_bytes": 1000,
        "horizon_steps": 24,
    }
    return Subject(**{**fields, **changed})


def cut(s: Subject, n: int) -> dict[str, Any]:
    """Every row-wise field cut to n rows."""
    assert s.y_true is not None
    assert s.interval is not None
    assert s.timestamps is not None
    assert s.series is not None
    assert s.champion_pred is not None
    return {
        "features": {k: v[:n] for k, v in s.features.items()},
        "y_pred": s.y_pred[:n],
        "y_true": s.y_true[:n],
        "score": None if s.score is None else s.score[:n],
        "interval": (s.interval[0][:n], s.interval[1][:n], 0.9),
        "timestamps": s.timestamps[:n],
        "series": s.series[:n],
        "champion_pred": s.champion_pred[:n],
        "reference": {},
    }


def filled(value: float) -> Callable[[ModelType], Subject]:
    def make(kind: ModelType) -> Subject:
        s = subject(model_type=kind)
        same = np.full(s.n, value)
        return subject(
            model_type=kind,
            features={"a": same, "b": same, "c": np.full(s.n, None, dtype=object)},
            y_pred=same,
            y_true=same,
            score=same,
            interval=(same, same, 0.9),
            champion_pred=same,
            reference={"a": same, "b": same},
        )

    return make


def mixed(kind: ModelType) -> Subject:
    n = 400
    odd: list[Any] = [1, "two", None, 3.5, b"x", ("t",), float("nan"), "<b>", "\U0001f600", True]
    values = np.empty(n, dtype=object)
    values[:] = odd * (n // len(odd))
    return subject(
        n,
        kind,
        features={"a": np.arange(n, dtype=float), "c": values, "<b>\U0001f600": values},
        series=values,
    )


def holes(kind: ModelType) -> Subject:
    s = subject(model_type=kind)
    assert s.y_true is not None
    rng = np.random.default_rng(0)
    y, pred, stamps = s.y_true.copy(), s.y_pred.copy(), np.array(s.timestamps)
    y[rng.random(s.n) < 0.3] = np.nan
    pred[rng.random(s.n) < 0.3] = np.inf
    stamps[rng.random(s.n) < 0.3] = np.datetime64("NaT")
    order = rng.permutation(s.n)
    return subject(model_type=kind, y_true=y[order], y_pred=pred[order], timestamps=stamps[order])


BAD: dict[str, Callable[[ModelType], Subject]] = {
    "no row": lambda kind: subject(model_type=kind, **cut(subject(model_type=kind), 0)),
    "one row": lambda kind: subject(model_type=kind, **cut(subject(model_type=kind), 1)),
    "two rows": lambda kind: subject(model_type=kind, **cut(subject(model_type=kind), 2)),
    "thirty rows": lambda kind: subject(model_type=kind, **cut(subject(model_type=kind), 30)),
    "all missing": filled(math.nan),
    "all infinite": filled(math.inf),
    "all minus infinite": filled(-math.inf),
    "all zero": filled(0.0),
    "all one": filled(1.0),
    "all huge": filled(1e308),
    "all tiny": filled(5e-324),
    "mixed types and odd names": mixed,
    "holes and disorder": holes,
    "no feature": lambda kind: subject(model_type=kind, features={}, reference={}),
    "no label": lambda kind: subject(model_type=kind, y_true=None),
    "nothing but predictions": lambda kind: Subject(model_type=kind, features={}, y_pred=np.zeros(5)),
    "one class": lambda kind: subject(model_type=kind, y_true=np.zeros(400), score=np.linspace(0, 1, 400)),
    "one timestamp": lambda kind: subject(
        model_type=kind, timestamps=np.full(400, np.datetime64("2026-01-01", "us"))
    ),
    "no timestamp known": lambda kind: subject(
        model_type=kind, timestamps=np.full(400, np.datetime64("NaT", "us"))
    ),
    "far timestamps": lambda kind: subject(
        model_type=kind,
        timestamps=np.where(
            np.arange(400) % 2, np.datetime64("0001-01-01", "us"), np.datetime64("9999-12-31", "us")
        ),
        time_zone="Europe/Berlin",
    ),
    "champion of another length": lambda kind: subject(model_type=kind, champion_pred=np.zeros(7)),
    "crossed interval": lambda kind: subject(model_type=kind, interval=(np.ones(400), np.zeros(400), 0.9)),
    "interval of no level": lambda kind: subject(
        model_type=kind, interval=(np.zeros(400), np.ones(400), math.nan)
    ),
    "broken model": lambda kind: subject(model_type=kind, predictor=Broken()),
    "a thousand series": lambda kind: subject(
        model_type=kind, series=np.array([f"s{i}" for i in range(400)], dtype=object)
    ),
}


def ran(check: Check, s: Subject) -> CheckResult:
    chosen = CheckSettings(check.name, check.severity_for(s.model_type), check.parameters)
    (result,) = run_checks(s, GateSettings(s.model_type, (chosen,)), checks={check.name: check})
    return result


def well_formed(result: CheckResult, check: Check) -> None:
    assert result.name == check.name
    assert result.reason
    assert isinstance(result.outcome, Outcome)
    assert isinstance(result.severity, Severity)
    for finding in result.findings:
        assert "could not be run" not in finding.message, finding.extra.get("traceback")
        assert isinstance(finding.outcome, Outcome)
        assert finding.subject
        if finding.outcome in (Outcome.FAILED, Outcome.INCONCLUSIVE):
            assert finding.message
            assert finding.next_step
    json.dumps([dict(result.details), dict(result.plots), [dict(f.extra) for f in result.findings]])


@pytest.mark.parametrize("kind", list(ModelType))
@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("name", SHIPPED)
def test_bad_input_is_an_answer_and_never_an_exception(name: str, case: str, kind: ModelType) -> None:
    result = ran(SHIPPED[name], BAD[case](kind))
    well_formed(result, SHIPPED[name])


@pytest.mark.parametrize("kind", list(ModelType))
@pytest.mark.parametrize("case", ["no row", "all missing", "all infinite"])
@pytest.mark.parametrize("name", SHIPPED)
def test_nothing_known_never_passes(name: str, case: str, kind: ModelType) -> None:
    assert ran(SHIPPED[name], BAD[case](kind)).outcome is not Outcome.PASSED


@pytest.mark.parametrize("kind", list(ModelType))
@pytest.mark.parametrize("name", SHIPPED)
def test_a_check_answers_the_same_twice_and_changes_nothing(name: str, kind: ModelType) -> None:
    s = subject(model_type=kind)
    before = s.y_pred.copy()
    first, second = ran(SHIPPED[name], s), ran(SHIPPED[name], s)
    assert first.outcome == second.outcome
    if name != "inference_latency":
        assert first.findings == second.findings
    np.testing.assert_array_equal(before, s.y_pred)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_check_says_why_it_exists(name: str) -> None:
    check = SHIPPED[name]
    assert len(check.reason) > 20
    assert "\n" not in check.reason
    json.dumps(dict(check.parameters))
    assert {check.severity_for(kind) for kind in ModelType} <= set(Severity)
