import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aihub.errors import ConfigError
from aihub.training.config import TrainingConfig
from aihub.types import ModelType

GUIDE = {
    "model_type": "forecast",
    "algorithm": "lgbm",
    "hyperparameters": {"n_estimators": 100, "learning_rate": 0.1, "max_depth": 7},
    "training_start": "2024-01-01T00:00:00",
    "training_end": "2024-12-31T23:59:59",
    "features": ["temperature", "humidity"],
    "target": "load",
    "validation_split": 0.2,
}


def test_the_guides_configuration_is_accepted_literally() -> None:
    config = TrainingConfig(**GUIDE)
    assert config.model_type is ModelType.FORECAST
    assert config.hyperparameters == {"n_estimators": 100, "learning_rate": 0.1, "max_depth": 7}
    assert config.training_window == (
        datetime(2024, 1, 1, tzinfo=UTC),
        datetime(2024, 12, 31, 23, 59, 59, tzinfo=UTC),
    )


def test_a_configuration_survives_json() -> None:
    config = TrainingConfig(**GUIDE, lags=[48, 24], calendar="AU-VIC", time_zone="Australia/Melbourne")
    assert TrainingConfig.model_validate_json(config.model_dump_json()) == config
    assert TrainingConfig.model_validate(json.loads(config.model_dump_json())) == config
    assert config.lags == [24, 48]


def test_scalars_of_hyperparameters_keep_their_type() -> None:
    given_values = {"a": True, "b": 1, "c": 1.5, "d": "gbdt"}
    kept = TrainingConfig(target="load", hyperparameters=given_values).hyperparameters
    assert [(k, type(v)) for k, v in kept.items()] == [("a", bool), ("b", int), ("c", float), ("d", str)]


def test_a_configuration_is_frozen() -> None:
    config = TrainingConfig(target="load")
    with pytest.raises(Exception, match="frozen"):
        config.target = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"targt": "load"}, "targt", "Did you mean 'target'"),
        ({"target": "load", "learning_rat": 1}, "learning_rat", "unknown field"),
        ({}, "target", "is missing"),
        ({"target": "load", "model_type": "regression"}, "model_type", "'forecast' or 'anomaly'"),
        ({"target": "load", "algorithm": "../../etc"}, "algorithm", "pattern"),
        ({"target": "load", "validation_split": 0}, "validation_split", "greater than 0"),
        ({"target": "load", "validation_split": 1}, "validation_split", "less than 1"),
        ({"target": "load", "validation_split": float("nan")}, "validation_split", "finite"),
        ({"target": "load", "interval_level": float("inf")}, "interval_level", "finite"),
        ({"target": "load", "hyperparameters": {"a": float("nan")}}, "hyperparameters.a", "must be finite"),
        ({"target": "load", "hyperparameters": {"a": [1]}}, "hyperparameters.a", "got list"),
        ({"target": "load", "features": "temperature"}, "features", "list"),
        ({"target": "load", "features": ["a", "a"]}, "features", "named twice"),
        ({"target": "load", "features": ["load"]}, "features", "is the target"),
        ({"target": "load", "features": ["timestamp"]}, "features", "is the timestamp"),
        ({"target": "load", "features": ["a\x00b"]}, "features", "control character"),
        ({"target": "lo\nad"}, "target", "control character"),
        ({"target": ""}, "target", "at least 1"),
        ({"target": "load", "timestamp": "load"}, "target", "different columns"),
        ({"target": "load", "series_id": "timestamp"}, "target", "different columns"),
        ({"target": "load", "known_future": ["a"]}, "known_future", "not among the features"),
        ({"target": "load", "horizon": 0}, "horizon", "greater than or equal to 1"),
        ({"target": "load", "horizon": 10**9}, "horizon", "less than or equal"),
        ({"target": "load", "lags": []}, "lags", "needs between 1 and 1000"),
        ({"target": "load", "lags": [0]}, "lags", "auto"),
        ({"target": "load", "lags": [1, 1]}, "lags", "named twice"),
        ({"target": "load", "frequency": "often"}, "frequency", "'1h'"),
        ({"target": "load", "time_zone": "Europe/Berln"}, "time_zone", "Did you mean 'Europe/Berlin'"),
        ({"target": "load", "time_zone": "../../etc/passwd"}, "time_zone", "no time zone"),
        ({"target": "load", "timestamp_zone": ""}, "timestamp_zone", "no time zone"),
        ({"target": "load", "calendar": "Atlantis"}, "calendar", "no holidays are known"),
        ({"target": "load", "calendar": "AU-XYZ"}, "calendar", "no subdivision"),
        ({"target": "load", "threads": 100_000}, "threads", "less than or equal"),
        ({"target": "load", "seed": -1}, "seed", "greater than or equal to 0"),
        ({"target": "load", "first_timestamp": "2024-01-01"}, "frequency", "needs frequency"),
        (
            {"target": "load", "training_start": "2024-02-01", "training_end": "2024-01-01"},
            "training_start",
            "not before",
        ),
        ({"target": "load", "training_start": "soon"}, "training_start", "datetime"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_field(fields: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        TrainingConfig(**fields)
    assert caught.value.field == field
    assert caught.value.exit_code == 2


def test_a_huge_value_is_not_echoed() -> None:
    with pytest.raises(ConfigError) as caught:
        TrainingConfig(target="load", model_type="x" * 1_000_000)
    assert len(str(caught.value)) < 400


def test_a_naive_window_is_wall_clock_of_the_stamps() -> None:
    config = TrainingConfig(
        target="load",
        time_zone="Australia/Melbourne",
        timestamp_zone="UTC",
        training_start="2024-01-01T00:00:00",
    )
    assert config.training_window[0] == datetime(2024, 1, 1, tzinfo=UTC)
    local = TrainingConfig(
        target="load", time_zone="Australia/Melbourne", training_start="2024-01-01T00:00:00"
    )
    assert local.training_window[0] == datetime(2023, 12, 31, 13, tzinfo=UTC)


@pytest.mark.parametrize(("minutes", "steps"), [(60, 24), (30, 48), (15, 96), (1440, 1), (10080, 1)])
def test_the_horizon_is_a_day_unless_said_otherwise(minutes: int, steps: int) -> None:
    assert TrainingConfig(target="load").horizon_steps(timedelta(minutes=minutes)) == steps
    assert TrainingConfig(target="load", horizon=3).horizon_steps(timedelta(minutes=minutes)) == 3


@given(
    st.dictionaries(
        st.sampled_from([*TrainingConfig.model_fields, "junk"]),
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(),
            st.floats(),
            st.text(),
            st.lists(st.text(max_size=5), max_size=3),
        ),
    )
)
def test_any_input_gives_a_configuration_or_a_config_error(fields: dict[str, Any]) -> None:
    try:
        config = TrainingConfig(**fields)
    except ConfigError as error:
        assert error.exit_code == 2  # noqa: PT017 - a table is as good an answer
    else:
        assert TrainingConfig.model_validate_json(config.model_dump_json()) == config


def test_a_list_of_very_many_names_is_refused_in_no_time() -> None:
    """The hub reads the configurations of strangers where all others wait."""
    names = [f"f{number}" for number in range(60_000)]
    began = time.process_time()
    for lists in (
        {"features": names},
        {"known_future": names},
        {"features": names, "known_future": names[::-1]},
    ):
        with pytest.raises(ConfigError, match="2000"):
            TrainingConfig.model_validate({"target": "load", **lists})
    assert time.process_time() - began < 1
