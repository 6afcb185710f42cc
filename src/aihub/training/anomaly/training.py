"""Train a detector from a prepared table."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from aihub.errors import DataError
from aihub.training.anomaly.classifier import fit_classifier
from aihub.training.anomaly.clock import Clock
from aihub.training.anomaly.labels import check_labels, is_labelled
from aihub.training.anomaly.model import Detector
from aihub.training.anomaly.past import Pace
from aihub.training.anomaly.surprise import Surprise, fit_surprise
from aihub.training.anomaly.table import MAX_LEVELS, Columns, Rows, read_rows
from aihub.training.progress import Watch

if TYPE_CHECKING:
    import polars as pl

    from aihub.training.config import TrainingConfig
    from aihub.training.data import PreparedTable
    from aihub.training.progress import OnProgress, ShouldStop
    from aihub.training.trainer import TrainingResult
    from aihub.types import FloatArray


def train_anomaly(
    config: TrainingConfig,
    table: PreparedTable,
    *,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> TrainingResult:
    """Train a classifier where the target is a 0/1 label, else learn what to expect of the target and watch it.

    Rows whose target is missing are neither learned from nor judged. The threshold, the calibration and the model come
    from the rows before the split; the rows after it are judged out of sample, each with the past that it had.

    Raises
    ------
    DataError
        Too few rows or anomalies before the split, a label that is not 0/1, a value that never moves, or no time to
        watch a value over.
    ConfigError
        The algorithm or one of its hyperparameters is not known.
    StoppedError
        `should_stop` answered True.
    """
    from aihub.training.data import split  # noqa: PLC0415 - polars and its readers
    from aihub.training.trainer import TrainingResult  # noqa: PLC0415 - the trainer imports this module

    started = time.perf_counter()
    watch = Watch(on_progress, should_stop, "preparing")
    watch(0.0)
    train, holdout = (_with_target(part, config.target) for part in split(table, config.validation_split))
    detector, notes = fit_detector(config, table, train, holdout, watch=watch.part("training", 0.0, 0.9))
    fitted = time.perf_counter()
    score = detector.score(holdout, history=train)
    y_pred = (score >= detector.threshold).astype(np.float64)
    metrics = _metrics(detector, table, holdout, score)
    watch.part("judging the holdout", 0.9, 1.0)(1.0)
    return TrainingResult(
        model=detector,
        holdout=holdout,
        y_pred=y_pred,
        score=score,
        metrics=metrics,
        train_frame=train,
        importances=detector.importances(),
        notes=notes,
        timings_s={"fit": fitted - started, "holdout": time.perf_counter() - fitted},
    )


def fit_detector(
    config: TrainingConfig, table: PreparedTable, train: pl.DataFrame, rest: pl.DataFrame, *, watch: Watch
) -> tuple[Detector, tuple[str, ...]]:
    """Fit on `train` only; `rest` is carried as the past of rows to come. Returns the detector and notes.

    Raises
    ------
    DataError, ConfigError, StoppedError
        See `train_anomaly`.
    """
    target = _target(train, config.target)
    labelled = is_labelled(config, np.concatenate((target, _target(rest, config.target))))
    columns = _columns(config, table, train, watched=None if labelled else config.target)
    if not labelled and columns.timestamp is None:
        raise DataError(
            f"to watch a value without labels its time must be known, and there is no column {config.timestamp!r}; "
            "name the time column, or give labels"
        )
    if labelled and not (columns.numeric or columns.categorical):
        raise DataError(
            "a classifier needs at least one feature beside the label; name the measured columns in features",
            column=config.target,
        )
    rows = read_rows(train, columns)
    step_us = round(table.frequency.total_seconds() * 1e6)
    pace = Pace.of(rows, step_us)
    clock = Clock(zone=table.time_zone, country=config.calendar)
    if labelled:
        check_labels(config, target)
        judge, notes = fit_classifier(
            config, rows, target, columns=columns, pace=pace, clock=clock, watch=watch
        )
        return Detector(config, judge, _past(rows, read_rows(rest, columns), pace)), notes
    watcher, notes = fit_surprise(config, rows, columns=columns, pace=pace, clock=clock, watch=watch)
    return Detector(config, watcher, _past(rows, read_rows(rest, columns), pace)), notes


def _with_target(frame: pl.DataFrame, target: str) -> pl.DataFrame:
    return frame.filter(frame.get_column(target).is_not_null())


def _target(frame: pl.DataFrame, target: str) -> FloatArray:
    import polars as pl  # noqa: PLC0415 - 0.1 s that `aihub --help` must not pay

    return frame.get_column(target).cast(pl.Float64).to_numpy().astype(np.float64)


def _columns(
    config: TrainingConfig, table: PreparedTable, train: pl.DataFrame, *, watched: str | None
) -> Columns:
    numeric, categorical = [], {}
    for name in table.features:
        column = train.get_column(name)
        if column.dtype.is_numeric():
            numeric.append(name)
        else:
            # The most frequent levels; ties by name, so that the same data give the same codes.
            counts = column.drop_nulls().value_counts(name="n").sort(["n", name], descending=[True, False])
            categorical[name] = tuple(counts.get_column(name).head(MAX_LEVELS).to_list())
    return Columns(
        timestamp=table.timestamp if table.timestamp in train.columns else None,
        series_id=table.series_id,
        numeric=tuple(numeric),
        categorical=categorical,
        watched=watched,
        stamp_zone=config.stamp_zone,
    )


def _past(train: Rows, rest: Rows, pace: Pace) -> Rows:
    """Last rows before the split and last rows of the data, per series, as far as features look back."""
    reach_us = pace.reach * pace.step_us
    parts = []
    for rows in (train, train.before(rest)):
        kept = np.zeros(len(rows), dtype=bool)
        for name in np.unique(rows.series):
            of_series = np.flatnonzero(rows.series == name)
            if pace.is_regular:
                kept[of_series[rows.times[of_series] > rows.times[of_series].max() - reach_us]] = True
            else:
                newest = np.argsort(rows.times[of_series], kind="stable")[-pace.reach :]
                kept[of_series[newest]] = True
        parts.append(rows.take(kept))
    both = parts[0].before(parts[1])
    return both.take(np.lexsort((both.times, both.series)))


def _metrics(
    detector: Detector, table: PreparedTable, holdout: pl.DataFrame, score: FloatArray
) -> dict[str, float]:
    """Give figures of the holdout: against labels where there are any, else how often it raised an alarm."""
    from aihub.validation.events import event_metrics  # noqa: PLC0415 - keeps the import of training light
    from aihub.validation.metrics import classification_metrics  # noqa: PLC0415 - as above

    times = holdout.get_column(table.timestamp).to_numpy() if table.timestamp in holdout.columns else None
    series = holdout.get_column(table.series_id).to_numpy() if table.series_id else None
    y_pred = (score >= detector.threshold).astype(np.float64)
    label = _target(holdout, table.target) if detector.mode == "labelled" else np.zeros(len(y_pred))
    events = event_metrics(label, y_pred, timestamps=times, series=series).as_dict()
    figures: dict[str, float] = {"threshold": detector.threshold, "alarm_share": float(y_pred.mean())}
    if isinstance(detector.judge, Surprise):
        expected = {"expected_false_alarms_per_day": detector.judge.false_alarms_per_day}
        return {
            **figures,
            **expected,
            "alarms": events["alarms"],
            "alarms_per_day": events["false_alarms_per_day"],
        }
    return {**classification_metrics(label, y_pred, score), **events, **figures}
