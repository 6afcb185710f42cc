"""Train a model from a prepared table: fit, calibrate, and predict the part that it has not seen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aihub.types import ModelType

if TYPE_CHECKING:
    import polars as pl

    from aihub.training.backtest import BacktestResult
    from aihub.training.config import TrainingConfig
    from aihub.training.data import PreparedTable
    from aihub.training.model import TrainedModel
    from aihub.training.progress import OnProgress, ShouldStop
    from aihub.types import FloatArray


@dataclass(frozen=True)
class TrainingResult:
    """A trained model and what is known about it.

    Attributes
    ----------
    model
        The model that was judged on `holdout`; it is not refitted afterwards. Its history reaches to the end of the
        data, so that tomorrow can be asked for.
    holdout
        Rows after the split, with the target, in the order of the table.
    y_pred
        Prediction per row of `holdout`, made out of sample from an origin before the row.
    lower, upper
        Interval per row of `holdout` at the config's level; None for an anomaly model.
    score
        Calibrated anomaly score per row of `holdout`; None for a forecast.
    metrics
        Figures on the holdout by name, such as ``mae``, ``mape``, ``coverage``.
    train_frame
        Rows before the split: what drift is later measured against.
    backtest
        Rolling-origin folds, where the config asked for them.
    importances
        Share of the total gain per feature, over all boosters, largest first; sums to 1.
    notes
        What the reader of the report should know (fewer lags than asked for, series too short, ...).
    timings_s
        Seconds per stage.
    """

    model: TrainedModel
    holdout: pl.DataFrame
    y_pred: FloatArray
    metrics: dict[str, float]
    train_frame: pl.DataFrame
    lower: FloatArray | None = None
    upper: FloatArray | None = None
    score: FloatArray | None = None
    backtest: BacktestResult | None = None
    importances: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    timings_s: dict[str, float] = field(default_factory=dict)


def train(
    config: TrainingConfig,
    table: PreparedTable,
    *,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> TrainingResult:
    """Fit on the rows before the split, calibrate on the last part of those, predict the holdout out of sample.

    Raises
    ------
    DataError
        The table is too short for the horizon, or a column is missing.
    ConfigError
        The algorithm or one of its hyperparameters is not known.
    StoppedError
        `should_stop` answered True.
    """
    if config.model_type == ModelType.ANOMALY:
        from aihub.training.anomaly import train_anomaly  # noqa: PLC0415 - each family loads only what it needs

        return train_anomaly(config, table, on_progress=on_progress, should_stop=should_stop)
    from aihub.training.forecast.training import train_forecast  # noqa: PLC0415 - as above

    return train_forecast(config, table, on_progress=on_progress, should_stop=should_stop)
