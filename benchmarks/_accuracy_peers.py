"""Peers on the same rows: recursive LightGBM by mlforecast and skforecast, with calendar columns and either loss."""

from __future__ import annotations

import importlib.metadata
import warnings
from typing import TYPE_CHECKING, Any

import holidays
import numpy as np
import polars as pl
from lightgbm import LGBMRegressor

if TYPE_CHECKING:
    from _accuracy_sets import Case
    from aihub.training.backtest import BacktestResult

LAGS = [1, 2, 3, 24, 25, 48, 72, 96, 120, 144, 168, 336]
LOSSES = ("l2", "l1")
"""Each peer is run with both and stands with the better one: no peer loses by a loss that was chosen for it."""
SETTINGS: dict[str, Any] = {
    "n_estimators": 500,
    "learning_rate": 0.05,
    "num_leaves": 31,
    "subsample": 0.8,
    "subsample_freq": 1,
    "colsample_bytree": 0.5,
    "n_jobs": 1,
    "verbosity": -1,
    "random_state": 0,
}


def versions() -> dict[str, str | None]:
    """Which peers this interpreter has."""
    found: dict[str, str | None] = {}
    for name in ("mlforecast", "skforecast"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def peer_errors(case: Case, ours: BacktestResult, *, refit: int) -> dict[str, dict[str, float] | str]:
    """Mean absolute error of each peer by loss over the rows of our backtest, or why there is none."""
    rows = ours.rows
    days = round(rows.height / 24)
    frame = _calendar_frame(case)
    actual = rows.get_column("actual").to_numpy()
    answers: dict[str, dict[str, float] | str] = {}
    for name, forecast in (("mlforecast", _mlforecast), ("skforecast", _skforecast)):
        errors: dict[str, float] = {}
        try:
            for loss in LOSSES:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    predicted = forecast(frame, LGBMRegressor(**SETTINGS, objective=loss), days, refit)
                errors[loss] = float(np.nanmean(np.abs(predicted - actual[-len(predicted) :])))
        except ImportError as error:
            answers[name] = f"not installed ({error.name})"
        else:
            answers[name] = errors
    return answers


def _calendar_frame(case: Case) -> Any:
    """Pandas frame on a UTC grid without gaps, with the local calendar as columns known ahead."""
    stamp = pl.col(case.config.timestamp)
    local = stamp.dt.convert_time_zone(case.table.time_zone)
    known = holidays.country_holidays("US")
    frame = case.table.frame.select(
        ds=stamp.dt.replace_time_zone(None),
        y=pl.col(case.config.target).interpolate().forward_fill().backward_fill(),
        hour=local.dt.hour(),
        weekday=local.dt.weekday(),
        year_day=local.dt.ordinal_day(),
        day=local.dt.date(),
    )
    is_holiday = pl.Series("holiday", [int(day in known) for day in frame["day"].to_list()])
    pandas = frame.drop("day").with_columns(is_holiday).to_pandas()
    # Both peers extend the index themselves, which pandas does in nanoseconds.
    return pandas.assign(ds=pandas["ds"].astype("datetime64[ns]"))


def _mlforecast(frame: Any, regressor: LGBMRegressor, days: int, refit: int) -> np.ndarray:
    from mlforecast import MLForecast  # noqa: PLC0415 - may not be installed
    from mlforecast.lag_transforms import RollingMean  # noqa: PLC0415 - may not be installed

    model = MLForecast(
        models={"lgb": regressor},
        freq="h",
        lags=LAGS,
        lag_transforms={1: [RollingMean(24), RollingMean(168)]},
    )
    found = model.cross_validation(
        frame.assign(unique_id="one"), n_windows=days, h=24, step_size=24, refit=refit, static_features=[]
    )
    return np.asarray(found.sort_values("ds")["lgb"])


def _skforecast(frame: Any, regressor: LGBMRegressor, days: int, refit: int) -> np.ndarray:
    from skforecast.model_selection import TimeSeriesFold, backtesting_forecaster  # noqa: PLC0415 - may not be installed
    from skforecast.preprocessing import RollingFeatures  # noqa: PLC0415 - may not be installed
    from skforecast.recursive import ForecasterRecursive  # noqa: PLC0415 - may not be installed

    indexed = frame.set_index("ds").asfreq("h")
    model = ForecasterRecursive(
        regressor,
        lags=LAGS,
        window_features=RollingFeatures(stats=["mean", "mean"], window_sizes=[24, 168]),
    )
    folds = TimeSeriesFold(
        steps=24, initial_train_size=len(indexed) - days * 24, refit=refit, fixed_train_size=False
    )
    _, found = backtesting_forecaster(
        forecaster=model,
        y=indexed["y"],
        exog=indexed[["hour", "weekday", "year_day", "holiday"]],
        cv=folds,
        metric="mean_absolute_error",
        n_jobs=1,
        show_progress=False,
    )
    return np.asarray(found["pred"])
