from __future__ import annotations

import json
import math
from typing import Any

import pytest

from aihub.errors import ConfigError
from aihub.types import ModelType, Severity
from aihub.validation.settings import resolve


def test_the_guides_defaults() -> None:
    assert resolve("forecast").thresholds() == {
        "mae": {"max": 50.0},
        "rmse": {"max": 75.0},
        "mape": {"max": 10.0},
        "r2_score": {"min": 0.7},
    }
    assert resolve(ModelType.ANOMALY).thresholds() == {
        "precision": {"min": 0.8},
        "recall": {"min": 0.75},
        "f1_score": {"min": 0.77},
        "auc_roc": {"min": 0.85},
    }


def test_thresholds_merge_per_metric_and_the_strongest_source_wins() -> None:
    found = resolve(
        "forecast",
        spec={"thresholds": {"mae": {"max": 1}}},
        call={"thresholds": {"mae": {"max": 2}, "rmse": {"max": 3}}},
        tenant={
            "thresholds": {"rmse": {"max": 4}, "mape": {"max": 5}, "r2_score": None, "skill": {"min": 0.1}}
        },
    )
    assert found.thresholds() == {
        "mae": {"max": 1.0},
        "rmse": {"max": 3.0},
        "mape": {"max": 5.0},
        "skill": {"min": 0.1},
    }
    assert {
        name: found.provenance[f"thresholds.{name}"]["from"] for name in ("mae", "rmse", "mape", "r2_score")
    } == {
        "mae": "spec",
        "rmse": "call",
        "mape": "tenant",
        "r2_score": "tenant",
    }
    assert resolve("forecast").provenance["thresholds.mae"] == {"value": {"max": 50.0}, "from": "default"}


def test_checks_are_switched_weighed_and_parametrised() -> None:
    found = resolve(
        "forecast",
        spec={
            "checks": {
                "prediction_range": False,
                "baseline_comparison": {"tolerance": 0.1, "severity": "warn"},
            }
        },
        tenant={"checks": {"prediction_range": True, "baseline_comparison": {"tolerance": 0.2}}},
    )
    checks = {check.name: check for check in found.checks}
    assert "prediction_range" not in checks
    assert checks["baseline_comparison"].parameters["tolerance"] == 0.1
    assert checks["baseline_comparison"].severity is Severity.WARN
    assert found.provenance["checks.prediction_range.enabled"] == {"value": False, "from": "spec"}
    assert found.provenance["checks.prediction_stability.cv_threshold"] == {"value": 0.5, "from": "default"}


def test_provenance_is_json() -> None:
    assert json.loads(json.dumps(resolve("anomaly").provenance, allow_nan=False))


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"treshholds": {}}, "Did you mean 'thresholds'"),
        ({"thresholds": {"mea": {"max": 1}}}, "Did you mean 'mae'"),
        ({"thresholds": {"mae": {"maximum": 1}}}, "Did you mean 'max'"),
        ({"thresholds": {"mae": {}}}, "no limit"),
        ({"thresholds": {"mae": 3}}, "give a mapping"),
        ({"thresholds": {"mae": {"max": math.nan}}}, "finite number"),
        ({"thresholds": {"mae": {"max": math.inf}}}, "finite number"),
        ({"thresholds": {"mae": {"max": "40"}}}, "finite number"),
        ({"thresholds": {"mae": {"max": True}}}, "finite number"),
        ({"thresholds": {"precision": {"min": 0.5}}}, "unknown key 'precision'"),
        ({"checks": {"performence": True}}, "Did you mean 'performance'"),
        ({"checks": {"prediction_range": {"outlier_treshold": 2}}}, "Did you mean 'outlier_threshold'"),
        ({"checks": {"prediction_range": {"severity": "loud"}}}, "Known: fail, info, warn"),
        ({"checks": {"prediction_range": {"max_percent": math.nan}}}, "finite number"),
        ({"checks": {"prediction_range": {"enabled": "no"}}}, "true or false"),
        ({"checks": {"performance": {"thresholds": {}}}}, "unknown key 'thresholds'"),
        ({"checks": []}, "give a mapping"),
        ([1], "give a mapping"),
    ],
)
def test_what_is_wrong_is_named(section: Any, message: Any) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        resolve("forecast", spec=section)
    assert caught.value.field.startswith("validation")


def test_an_unknown_model_type_is_refused() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'forecast'"):
        resolve("forcast")
