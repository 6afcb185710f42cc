"""Train a forecast from a prepared table, and judge it on rows that it has not seen."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from aihub.training.backtest import fold_figures, forecast_rows, point_metrics
from aihub.training.forecast.fitting import fit_forecaster
from aihub.training.progress import Watch

if TYPE_CHECKING:
    import polars as pl

    from aihub.training.config import TrainingConfig
    from aihub.training.data import PreparedTable
    from aihub.training.forecast.ensemble import Ensemble
    from aihub.training.progress import OnProgress, ShouldStop
    from aihub.training.trainer import TrainingResult


def train_forecast(
    config: TrainingConfig,
    table: PreparedTable,
    *,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> TrainingResult:
    """Fit on the rows before the split and forecast the rows after it, each from its own origin; see `trainer.train`."""
    from aihub.training.data import split  # noqa: PLC0415 - polars and its readers
    from aihub.training.trainer import TrainingResult  # noqa: PLC0415 - the trainer imports this module

    watch = Watch(on_progress, should_stop, "preparing")
    started = time.perf_counter()
    train, holdout = split(table, config.validation_split)
    fitted = fit_forecaster(config, table, train, watch=watch.part("training", 0.0, 0.95))
    trained = time.perf_counter()
    watch.part("judging", 0.95, 1.0)(0.0)
    model = fitted.forecaster.with_end_factors()
    rows = forecast_rows(model, holdout)
    actual, y_pred, lower, upper = (
        rows.get_column(name).to_numpy().astype(np.float64)
        for name in ("actual", "prediction", "lower", "upper")
    )
    backtest = (
        fold_figures(rows, config.timestamp, folds=config.backtest_folds) if config.backtest_folds else None
    )
    watch.part("judging", 0.95, 1.0)(1.0)
    return TrainingResult(
        model=model,
        holdout=holdout,
        y_pred=y_pred,
        lower=lower,
        upper=upper,
        metrics=point_metrics(actual, y_pred, lower, upper),
        train_frame=train,
        backtest=backtest,
        importances=importances(model.ensemble),
        notes=(*fitted.notes, *_unseen(config.series_id, train, holdout)),
        timings_s={"fit": trained - started, "judge": time.perf_counter() - trained},
    )


def _unseen(series: str | None, train: pl.DataFrame, holdout: pl.DataFrame) -> list[str]:
    """Say how many series the model is judged on without having learned from them."""
    if series is None:
        return []
    judged = holdout.get_column(series).unique()
    new = judged.filter(~judged.is_in(train.get_column(series).unique().implode())).sort()
    if not len(new):
        return []
    shown = ", ".join(map(repr, new.head(3).to_list())) + (", ..." if len(new) > 3 else "")  # noqa: PLR2004 - a glimpse
    return [
        f"{len(new)} of {len(judged)} series in the holdout begin after the split ({shown}): the model has never seen them"
    ]


def importances(ensemble: Ensemble) -> dict[str, float]:
    """Share of the gain of each feature over the two point models, each of them counting the same; largest first."""
    total: dict[str, float] = {}
    for name in ("level", "change"):
        gain = ensemble.boosters[name].gain
        whole = sum(gain.values()) or 1.0
        for feature, value in gain.items():
            total[feature] = total.get(feature, 0.0) + value / whole / 2
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))
