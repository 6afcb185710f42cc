from __future__ import annotations

import datetime as dt
import json
import math
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from aihub.errors import ArtifactError, ConfigError, DataError
from aihub.validation.prediction import answers
from aihub.validation.profile import Profile
from aihub.validation.subject import subject_of
from app.services.model_validator import ModelType, ModelValidator, ValidationError

if TYPE_CHECKING:
    from pathlib import Path

FIVE = {"performance", "baseline_comparison", "data_drift", "prediction_stability", "prediction_range"}
NOW = dt.datetime(2025, 1, 15, 10, 30, tzinfo=dt.UTC)
STATS = {"temperature": {"mean": 20.0, "std": 5.0}}


class Linear:
    """A model in memory: load is 800 plus 10 per degree."""

    feature_names = ("temperature", "humidity")

    def __init__(self, offset: float = 0.0) -> None:
        self.offset = offset

    def predict(self, data: Any) -> Any:
        assert list(data.columns) == ["temperature", "humidity"]
        return 800 + 10 * np.asarray(data["temperature"], dtype=float) + self.offset


class Answers:
    """A model that answers what it was given."""

    feature_names = ()

    def __init__(self, values: Any) -> None:
        self.values = values

    def predict(self, data: Any) -> Any:
        assert "load" not in list(data.columns)
        return self.values


def frame(n: int = 500, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    temperature = rng.normal(20, 5, n)
    return pd.DataFrame(
        {
            "humidity": rng.normal(60, 10, n),
            "site": rng.choice(["a", "b"], n),
            "temperature": temperature,
            "load": 800 + 10 * temperature + rng.normal(0, 10, n),
        }
    )


def test_the_guides_example_works_as_written(tmp_path: Path) -> None:
    assert ModelValidator(model_type=ModelType.FORECAST, thresholds={"mae": {"max": 40.0}}).thresholds[
        "mae"
    ] == {"max": 40.0}
    loaded = []

    def loader(path: str, *, trust: bool) -> Linear:
        loaded.append((path, trust))
        return Linear()

    validator = ModelValidator("forecast", {"mae": {"max": 40.0}}, loader=loader)
    results = validator.validate_model(
        model_path="/path/to/model.pkl",
        validation_data=frame(),
        target_column="load",
        baseline_metrics={"mae": 45.0},
        training_data_stats=STATS,
        now=NOW,
    )
    assert loaded == [("/path/to/model.pkl", False)]
    assert results["passed"] is True
    assert results["failures"] == []
    assert set(results["checks"]) >= FIVE
    assert results["model_type"] == "forecast"
    assert results["model_path"] == "/path/to/model.pkl"
    assert results["validation_timestamp"] == "2025-01-15T10:30:00Z"
    assert results["validation_data_size"] == 500
    assert results["checks"]["baseline_comparison"]["comparisons"]["mae"]["acceptable"] is True
    text = validator.generate_validation_report(results, output_path=tmp_path / "new" / "report.json")
    assert "Overall Status: ✓ PASSED" in text
    written = json.loads((tmp_path / "new" / "report.json").read_text(encoding="utf-8"))
    assert written["passed"] is True
    assert written["failures"] == []


@pytest.mark.parametrize(
    "convert", [lambda t: t, pl.from_pandas, pa.Table.from_pandas], ids=["pandas", "polars", "arrow"]
)
def test_every_table_library(convert: Any) -> None:
    class Model(Linear):
        def predict(self, data: Any) -> Any:
            return 800 + 10 * np.asarray(data["temperature"], dtype=float)

    results = ModelValidator("forecast").validate_model(Model(), convert(frame()), "load")
    assert results["checks"]["performance"]["metrics"]["mae"] == pytest.approx(8, abs=1)


def test_only_given_comparisons_appear() -> None:
    results = ModelValidator("forecast").validate_model(Linear(), frame(), "load")
    assert "baseline_comparison" not in results["checks"]
    assert "data_drift" not in results["checks"]


def test_training_statistics_may_name_the_target_and_columns_the_model_does_not_use() -> None:
    data = frame().assign(spare=1.0)
    stats = {
        name: {"mean": float(data[name].mean()), "std": float(data[name].std())}
        for name in ("load", "humidity")
    }
    results = ModelValidator("forecast").validate_model(
        Linear(), data, "load", training_data_stats={**stats, "spare": {"mean": 1.0, "std": 0.0}}
    )
    assert results["checks"]["data_drift"]["passed"] is True
    gone = ModelValidator("forecast").validate_model(
        Linear(), data, "load", training_data_stats={"gone": {"mean": 1.0, "std": 1.0}}
    )
    assert gone["checks"]["data_drift"]["passed"] is False
    assert "gone drifted: the column is missing from the current data" in gone["failures"]


def test_a_bad_model_fails_and_says_why() -> None:
    results = ModelValidator("forecast").validate_model(Linear(offset=200), frame(), "load", {"mae": 45.0})
    assert results["passed"] is False
    assert any("mae" in failure and "maximum of 50" in failure for failure in results["failures"])
    assert any("worse than the baseline" in failure for failure in results["failures"])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_prediction_that_is_no_number_is_a_failure_and_never_a_pass(bad: float) -> None:
    values = np.full(500, 1000.0)
    values[7] = bad
    results = ModelValidator("forecast", dict.fromkeys(("mae", "rmse", "mape", "r2_score"))).validate_model(
        Answers(values), frame(), "load"
    )
    assert results["passed"] is False
    assert results["checks"]["performance"]["passed"] is False
    assert "1 predictions are NaN or infinite" in results["failures"]


def test_no_thresholds_and_good_predictions_pass() -> None:
    validator = ModelValidator("forecast", dict.fromkeys(("mae", "rmse", "mape", "r2_score")))
    assert validator.validate_model(Linear(), frame(), "load")["checks"]["performance"]["passed"] is True


LOADING = [
    (FileNotFoundError(2, "No such file or directory", "m.aihub"), r"m\.aihub"),
    (ArtifactError("its digest does not match"), "digest"),
    (RuntimeError(""), "RuntimeError"),
]


@pytest.mark.parametrize(("error", "message"), LOADING, ids=["missing", "corrupt", "silent"])
def test_a_model_that_cannot_be_loaded(error: Exception, message: str) -> None:
    def loader(path: str, *, trust: bool) -> Any:  # noqa: ARG001
        raise error

    with pytest.raises(ValidationError, match=f"^Failed to load model: .*{message}"):
        ModelValidator("forecast", loader=loader).validate_model("m.aihub", frame(), "load")


def test_what_is_loaded_must_predict() -> None:
    validator = ModelValidator("forecast", loader=lambda path, trust: {"not": "a model"})  # noqa: ARG005
    with pytest.raises(ValidationError, match=r"^Failed to load model: .*dict that has no predict"):
        validator.validate_model("m.pkl", frame(), "load")


PREDICTING = [
    (np.ones(3), "3 predictions for 500 rows"),
    (["x"] * 500, "no number"),
    (np.ones((500, 2)), "one number per row"),
    (None, ""),
]


@pytest.mark.parametrize(("values", "message"), PREDICTING, ids=["short", "text", "matrix", "nothing"])
def test_answers_that_are_not_one_number_a_row(values: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=f"^Failed to generate predictions: .*{message}"):
        ModelValidator("forecast").validate_model(Answers(values), frame(), "load")


def test_a_model_that_raises() -> None:
    class Broken:
        feature_names = ()

        def predict(self, data: Any) -> Any:  # noqa: ARG002
            raise KeyError("temperature")

    with pytest.raises(ValidationError, match=r"^Failed to generate predictions: KeyError: 'temperature'"):
        ModelValidator("forecast").validate_model(Broken(), frame(), "load")


def test_a_missing_feature_is_named() -> None:
    with pytest.raises(ValidationError, match=r"column 'temperature'.*Did you mean 'temperatur'"):
        ModelValidator("forecast").validate_model(
            Linear(), frame().rename(columns={"temperature": "temperatur"}), "load"
        )


def test_bad_tables_are_refused_with_the_reason() -> None:
    validator = ModelValidator("forecast")
    with pytest.raises(DataError, match=r"named as target.*Did you mean 'load'"):
        validator.validate_model(Linear(), frame(), "laod")
    with pytest.raises(DataError, match="no rows"):
        validator.validate_model(Linear(), frame(0), "load")
    with pytest.raises(DataError, match="no table"):
        validator.validate_model(Linear(), 5, "load")
    with pytest.raises(DataError, match=r"column 'load', row 1.*no number"):
        validator.validate_model(Linear(), frame().assign(load="many"), "load")


def test_one_row_is_judged_without_a_crash_and_without_a_pass() -> None:
    results = ModelValidator("forecast").validate_model(Linear(), frame(1), "load")
    assert results["passed"] is False
    assert any("r2_score is not defined" in failure for failure in results["failures"])


def test_targets_that_are_missing_are_left_out_and_noted() -> None:
    data = frame()
    data.loc[:9, "load"] = np.nan
    found = ModelValidator("forecast").validate_model(Linear(), data, "load")["checks"]["performance"]
    assert found["rows_without_target"] == 10
    assert "10 of 500 rows have no finite target" in found["notes"][0]
    nothing = ModelValidator("forecast").validate_model(Linear(), data.assign(load=np.nan), "load")
    assert nothing["passed"] is False
    assert any("nothing was measured" in failure for failure in nothing["failures"])


def test_without_labels_nothing_is_called_good_performance() -> None:
    report = ModelValidator("forecast").validate_model(Linear(), frame(), None)
    assert "performance" not in report["checks"]
    assert report.check("performance").outcome == "skipped"


def test_history_and_interval_of_our_own_models() -> None:
    seen = {}

    class Ours(Linear):
        feature_names = ("timestamp", "temperature")

        class config:  # noqa: N801 - stands for an attribute
            @staticmethod
            def model_dump() -> dict[str, Any]:
                return {"timestamp": "timestamp", "series_id": None, "horizon": 24, "interval_level": 0.8}

        def predict(self, data: Any, *, history: Any = None) -> Any:
            seen["history"] = list(history.columns)
            return 800 + 10 * np.asarray(data["temperature"])

        def predict_interval(self, data: Any, *, history: Any = None, level: float | None = None) -> Any:  # noqa: ARG002
            mid = self.predict(data, history=history)
            return mid - 20, mid + 20

    data = frame(200).assign(timestamp=pd.date_range("2024-01-01", periods=200, freq="h", tz="UTC"))
    with subject_of(
        ModelType.FORECAST, Ours(), data, "load", loader=None, champion=data["load"], training_profile=None,
        reference=None, timestamps=None, series=None, season_steps=None, trust=False, seed=0,
        baseline_metrics=None, training_stats=None, history=None,
    ) as subject:  # fmt: skip
        built = subject.subject
    assert "load" in seen["history"]
    assert built.interval is not None
    assert built.interval[2] == 0.8
    assert built.season_steps == 24
    assert list(built.features) == ["temperature"]
    assert built.timestamps[1] == np.datetime64("2024-01-01T01")
    assert built.champion_pred.tolist() == data["load"].tolist()


def test_a_model_that_gives_its_bounds_in_the_same_pass_is_asked_once() -> None:
    asked = []

    class Both(Linear):
        def predict(self, data: Any) -> Any:
            asked.append("predict")
            return super().predict(data)

        def predict_with_interval(self, data: Any) -> Any:
            asked.append("both")
            mid = super().predict(data)
            return mid, mid - 30, mid + 30

    data = frame(200)
    found = answers(Both(), data, target="load", is_anomaly=False)
    assert asked == ["both"]
    assert found.y_pred.tolist() == Linear().predict(data[["temperature", "humidity"]]).tolist()
    assert found.interval is not None
    lower, upper, level = found.interval
    assert np.allclose(upper - lower, 60)
    assert level == 0.9


class Sandboxed(Linear):
    """Like a pickle in its child process: has to be closed, and says what a report must repeat."""

    trusted = True
    notes = ("another version of the library wrote the file",)

    def __init__(self, offset: float = 0.0) -> None:
        super().__init__(offset)
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


def test_what_was_loaded_is_closed_and_what_was_given_is_not() -> None:
    loaded: list[Sandboxed] = []

    def loader(path: str, *, trust: bool) -> Sandboxed:  # noqa: ARG001
        loaded.append(Sandboxed())
        return loaded[-1]

    validator = ModelValidator("forecast", loader=loader)
    validator.validate_model("model.pkl", frame(), "load", champion="champion.pkl")
    with pytest.raises(DataError, match="text"):
        validator.validate_model("model.pkl", frame().assign(load="text"), "load")
    assert [model.closed for model in loaded] == [1, 1, 1]
    mine = Sandboxed()
    validator.validate_model(mine, frame(), "load")
    assert mine.closed == 0


def test_the_report_repeats_that_a_model_was_trusted_and_what_its_library_said() -> None:
    report = ModelValidator("forecast").validate_model(
        Sandboxed(), frame(), "load", context={"notes": ["a repair"]}
    )
    assert report.context["trusted"] is True
    assert "more than the allow-list" in str(report)
    assert "another version of the library wrote the file" in str(report)
    assert report.context["notes"][-1] == "a repair"


def test_a_champion_is_compared_on_the_same_rows() -> None:
    validator = ModelValidator("forecast", {"mae": {"max_vs_champion": 1.02}})
    good = validator.validate_model(Linear(), frame(), "load", champion=Linear(offset=5))
    bad = validator.validate_model(Linear(offset=9), frame(), "load", champion=Linear())
    assert good["checks"]["performance"]["passed"] is True
    assert bad["checks"]["performance"]["passed"] is False
    with pytest.raises(ValidationError, match="this is the champion"):
        validator.validate_model(Linear(), frame(), "load", champion=Answers([1]))
    with pytest.raises(DataError, match="3 champion predictions for 500 rows"):
        validator.validate_model(Linear(), frame(), "load", champion=[1, 2, 3])


def test_relative_to_the_seasonal_naive() -> None:
    hours = np.arange(24 * 20)
    wave = 100 + 10 * np.sin(hours / 24 * 2 * np.pi) + np.random.default_rng(0).normal(0, 1, hours.size)
    data = pd.DataFrame(
        {"at": pd.date_range("2024-01-01", periods=hours.size, freq="h", tz="UTC"), "load": wave}
    )
    model = Answers(100 + 10 * np.sin(hours / 24 * 2 * np.pi))
    validator = ModelValidator(
        "forecast", {"mae": {"max_vs_naive": 0.9}, "mase": {"max": 0.9}, "skill": {"min": 0.1}}
    )
    found = validator.validate_model(model, data, "load", timestamps="at")["checks"]["performance"]
    assert found["metrics"]["mase"] == pytest.approx(1 / math.sqrt(2), abs=0.06)
    assert found["passed"] is True
    useless = validator.validate_model(Answers(np.full(hours.size, 100.0)), data, "load", timestamps="at")
    assert useless["checks"]["performance"]["passed"] is False


def test_anomaly_models() -> None:
    rng = np.random.default_rng(0)
    label = rng.random(400) < 0.2
    data = pd.DataFrame({"x": rng.normal(size=400) + 6 * label, "label": label})

    class Detector:
        feature_names = ("x",)

        def predict(self, table: Any) -> Any:
            return np.asarray(table["x"]) > 3

        def score(self, table: Any) -> Any:
            return 1 / (1 + np.exp(-np.asarray(table["x"])))

    results = ModelValidator("anomaly").validate_model(Detector(), data, "label")
    metrics = results["checks"]["performance"]["metrics"]
    assert metrics["auc_roc"] > 0.99
    assert results["checks"]["performance"]["confusion"]["true_positives"] > 50
    assert results["passed"] is True
    never = ModelValidator("anomaly").validate_model(
        Answers(np.zeros(400)), data.rename(columns={"label": "y"}), "y"
    )
    assert never["passed"] is False


def test_stability_only_warns_where_the_target_itself_varies_that_much() -> None:
    hours = np.arange(24 * 30)
    sun = np.maximum(0, np.sin(hours / 24 * 2 * np.pi)) * 1000
    data = pd.DataFrame({"load": sun, "x": sun})
    validator = ModelValidator("forecast", {"mape": None})
    report = validator.validate_model(Answers(sun + 1), data, "load")
    assert report["checks"]["prediction_stability"]["passed"] is False
    assert report.check("prediction_stability").severity == "warn"
    steady = validator.validate_model(Answers(sun), data.assign(load=1000 + hours / 1e3), "load")
    assert steady.check("prediction_stability").severity == "fail"


def test_a_training_profile_in_any_form(tmp_path: Path) -> None:
    profile = Profile.of(frame(2000, seed=1)[["temperature", "humidity"]])
    (tmp_path / "p.profile").write_bytes(profile.to_bytes())
    validator = ModelValidator("forecast")
    for given in (profile, profile.to_bytes(), tmp_path / "p.profile", str(tmp_path / "p.profile")):
        assert validator.validate_model(Linear(), frame(), "load", training_profile=given)["checks"][
            "data_drift"
        ]["passed"]
    moved = Profile.of(frame(2000, seed=1)[["temperature", "humidity"]] + 10)
    assert not validator.validate_model(Linear(), frame(), "load", training_profile=moved)["checks"][
        "data_drift"
    ]["passed"]
    with pytest.raises(DataError, match="no such file"):
        validator.validate_model(Linear(), frame(), "load", training_profile=tmp_path / "none")
    with pytest.raises(ArtifactError, match="changed or cut off"):
        validator.validate_model(Linear(), frame(), "load", training_profile=profile.to_bytes()[:-1])


def test_files_are_read(tmp_path: Path) -> None:
    frame().to_csv(tmp_path / "v.csv", index=False)
    frame().to_parquet(tmp_path / "v.parquet")
    for name in ("v.csv", "v.parquet"):
        assert (
            ModelValidator("forecast").validate_model(Linear(), tmp_path / name, "load")[
                "validation_data_size"
            ]
            == 500
        )
    with pytest.raises(DataError, match=r"none\.csv"):
        ModelValidator("forecast").validate_model(Linear(), tmp_path / "none.csv", "load")


def test_names_with_markup_and_emoji_are_just_names() -> None:
    data = frame().assign(**{"<script>alert(1)</script>": 1.0, "🌞": 2.0})
    results = ModelValidator("forecast").validate_model(
        Answers(data["load"].to_numpy() + 1), data, "load", training_data_stats={"🌞": {"mean": 9, "std": 1}}
    )
    assert results["checks"]["data_drift"]["drift_detected"]["🌞"]["drift"] is True


def test_thresholds_that_cannot_be_meant_are_refused() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'r2_score'"):
        ModelValidator("forecast", {"r2score": {"min": 0.7}})
    with pytest.raises(ConfigError, match="finite number"):
        ModelValidator("forecast", {"mae": {"max": math.nan}})


def test_the_report_cannot_be_written(tmp_path: Path) -> None:
    validator = ModelValidator("forecast")
    results = validator.validate_model(Linear(), frame(), "load")
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="cannot be written"):
        validator.generate_validation_report(results, tmp_path / "file" / "report.json")


def test_importing_the_guides_name_loads_nothing_heavy() -> None:
    code = (
        "import sys, app.services.model_validator as m; m.ModelValidator('forecast');"
        "heavy = {'mlflow', 'lightgbm', 'xgboost', 'sqlalchemy', 'fastapi', 'scipy', 'pandas', 'polars', 'pyarrow',"
        " 'sklearn', 'click', 'dbos'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
