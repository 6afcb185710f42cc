from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from aihub.errors import ArtifactError, DataError
from aihub.training.anomaly import Detector, load_anomaly
from aihub.training.model import TrainedModel, load_model

if TYPE_CHECKING:
    from aihub.training.trainer import TrainingResult


@pytest.fixture(scope="module", params=["labelled", "unlabelled"])
def result(request: pytest.FixtureRequest) -> TrainingResult:
    found: TrainingResult = request.getfixturevalue(request.param)
    return found


def _detector(result: TrainingResult) -> Detector:
    assert isinstance(result.model, Detector)
    return result.model


def test_is_a_trained_model_of_its_kind(result: TrainingResult) -> None:
    assert isinstance(result.model, TrainedModel)
    assert result.model.kind == "anomaly/1"


def test_survives_its_files_to_the_byte(result: TrainingResult) -> None:
    files = result.model.to_files()
    again = load_model(files)
    assert isinstance(again, Detector)
    assert again.to_files() == files
    assert np.array_equal(again.score(result.holdout), _detector(result).score(result.holdout))


def test_answers_in_row_order_whatever_the_order_and_library(result: TrainingResult) -> None:
    model = _detector(result)
    rows = result.holdout.select(model.feature_names)
    score = model.score(rows)
    order = np.random.default_rng(0).permutation(rows.height)
    for shuffled in (rows[order], rows[order].to_pandas(), rows[order].to_arrow()):
        assert np.array_equal(model.score(shuffled), score[order])
    text = rows.with_columns(pl.col("timestamp").dt.strftime("%Y-%m-%d %H:%M:%S"))
    assert np.array_equal(model.score(text.to_pandas()), score)


def test_carries_the_past_that_the_holdout_needs(result: TrainingResult) -> None:
    assert np.array_equal(_detector(result).score(result.holdout), result.score)


def test_flags_are_scores_at_the_threshold_and_nothing_else(result: TrainingResult) -> None:
    model = _detector(result)
    score, flags = model.score(result.holdout), model.predict(result.holdout)
    assert set(np.unique(flags)) == {0.0, 1.0}
    assert np.array_equal(flags == 1, score >= model.threshold)
    assert ((score >= 0) & (score <= 1)).all()


def test_one_row_alone_can_be_judged(result: TrainingResult) -> None:
    assert _detector(result).score(result.holdout[500:501]).shape == (1,)
    assert _detector(result).score(result.holdout[:0]).shape == (0,)


def test_the_future_changes_no_score(result: TrainingResult) -> None:
    model = _detector(result)
    cut = 300
    later = result.holdout.with_columns(
        pl.when(pl.int_range(pl.len()) >= cut)
        .then(pl.lit(1e6))
        .otherwise(pl.col("temperature"))
        .alias("temperature")
    )
    assert np.array_equal(model.score(later)[:cut], model.score(result.holdout)[:cut])


def test_a_missing_column_is_named_with_the_nearest(result: TrainingResult) -> None:
    with pytest.raises(DataError, match=r"'temperature'.*Did you mean 'temperatur'"):
        result.model.predict(result.holdout.rename({"temperature": "temperatur"}))


def test_text_where_numbers_were_learned_is_refused(result: TrainingResult) -> None:
    with pytest.raises(DataError, match=r"column 'humidity'.*convert"):
        result.model.predict(result.holdout.with_columns(humidity=pl.lit("wet")))


def test_missing_and_infinite_values_are_judged_without_failing(result: TrainingResult) -> None:
    broken = result.holdout.with_columns(temperature=pl.lit(None, pl.Float64), humidity=pl.lit(float("inf")))
    assert np.isfinite(_detector(result).score(broken)).all()


def test_a_missing_watched_value_is_no_alarm(unlabelled: TrainingResult) -> None:
    gone = unlabelled.holdout.with_columns(load=pl.lit(None, pl.Float64))
    assert _detector(unlabelled).predict(gone).sum() == 0


def _changed(files: dict[str, bytes], **changes: Any) -> dict[str, bytes]:
    return {**files, "model.json": json.dumps({**json.loads(files["model.json"]), **changes}).encode()}


@pytest.mark.parametrize(
    "changes", [{"mode": "magic"}, {"judge": {}}, {"past": None}, {"config": {"target": "x", "wrong": 1}}]
)
def test_files_that_do_not_fit_are_refused(labelled: TrainingResult, changes: dict[str, Any]) -> None:
    with pytest.raises(ArtifactError):
        load_anomaly(_changed(labelled.model.to_files(), **changes))


def test_a_missing_booster_is_refused(labelled: TrainingResult) -> None:
    with pytest.raises(ArtifactError, match="train the model again"):
        load_anomaly({"model.json": labelled.model.to_files()["model.json"]})


def test_the_last_rows_score_as_among_all_and_ask_for_little(
    result: TrainingResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = _detector(result).judge
    rows = _detector(result).past
    every = judge.score(rows)
    asked: list[int] = []
    for booster in judge.boosters.values():
        predict = type(booster).predict

        def counted(self: Any, x: Any, *, threads: int = 1, predict: Any = predict) -> Any:
            asked.append(len(x))
            return predict(self, x, threads=threads)

        monkeypatch.setattr(type(booster), "predict", counted)
        break
    for last in (1, 2, 40):
        asked.clear()
        assert judge.score(rows, last=last) == pytest.approx(every[-last:], rel=1e-9)
        assert max(asked) <= last + 12, "the past of a row is not judged again"
