"""Rolling-origin backtests: what the forecasts of past days would have been worth."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from aihub.errors import ConfigError, DataError
from aihub.training.progress import Watch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    import polars as pl

    from aihub.training.config import TrainingConfig
    from aihub.training.data import PreparedTable
    from aihub.training.progress import OnProgress, ShouldStop
    from aihub.types import FloatArray


@dataclass(frozen=True)
class Fold:
    """Figures of one stretch of time.

    Attributes
    ----------
    start, end
        First and last stamp, UTC.
    rows
        Rows with an actual.
    metrics
        ``mae``, ``rmse``, ``mape`` (%), ``bias`` and, where there are intervals, ``coverage`` (0 to 1) and ``width``.
    """

    start: datetime
    end: datetime
    rows: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class BacktestResult:
    """A backtest.

    Attributes
    ----------
    folds
        In order of time.
    metrics
        Over all rows of all folds.
    lead_mae
        Mean absolute error by steps ahead.
    is_refitted
        Whether a model was fitted for each fold on everything before it; otherwise one model forecast them all, each row
        from its own origin.
    y_true, y_pred, lower, upper
        Rows of all folds, in order of folds; kept for plots and tests, not in `to_dict`.
    """

    folds: tuple[Fold, ...]
    metrics: dict[str, float]
    lead_mae: dict[int, float]
    is_refitted: bool
    y_true: FloatArray
    y_pred: FloatArray
    lower: FloatArray
    upper: FloatArray

    def to_dict(self) -> dict[str, Any]:
        """JSON-able figures."""
        folds = [
            {**asdict(fold), "start": fold.start.isoformat(), "end": fold.end.isoformat()}
            for fold in self.folds
        ]
        return {
            "folds": folds,
            "metrics": self.metrics,
            "lead_mae": {str(lead): value for lead, value in self.lead_mae.items()},
            "is_refitted": self.is_refitted,
        }


def point_metrics(
    actual: FloatArray,
    predicted: FloatArray,
    lower: FloatArray | None = None,
    upper: FloatArray | None = None,
) -> dict[str, float]:
    """Figures of forecasts against actuals.

    Parameters
    ----------
    actual, predicted, lower, upper
        Float64 ``(n,)``. Rows without an actual are left out. A missing prediction makes every figure NaN: it is no
        reason to judge a model on the other rows only.

    Returns
    -------
    dict
        ``mae`` and ``rmse`` (units of the target, 0 is best), ``mape`` (% of the actual, rows with an actual of 0 left
        out; NaN if that leaves none), ``bias`` (mean of predicted minus actual), ``r2_score`` (1 is best), ``coverage``
        (share inside the interval) and ``width`` (mean). Empty where there is no actual.

    Examples
    --------
    >>> point_metrics(np.array([100.0, 200.0]), np.array([110.0, 190.0]))["mape"]
    7.5
    """
    known = np.isfinite(actual)
    if not known.any():
        return {}
    y, error = actual[known], (predicted - actual)[known]
    share = np.abs(error[y != 0]) / np.abs(y[y != 0])
    spread = float(((y - y.mean()) ** 2).sum())
    figures = {
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "mape": float(100 * share.mean()) if len(share) else float("nan"),
        "bias": float(error.mean()),
        "r2_score": 1 - float((error**2).sum()) / spread if spread > 0 else float("nan"),
    }
    if lower is not None and upper is not None:
        figures["coverage"] = float(((lower[known] <= y) & (y <= upper[known])).mean())
        figures["width"] = float((upper - lower)[known].mean())
    return figures


def fold_figures(
    stamps: pl.Series,
    actual: FloatArray,
    predicted: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
    *,
    leads: Any,
    folds: int,
) -> BacktestResult:
    """Cut forecasts that were already made out of sample into `folds` stretches of the same length of time."""
    seconds = stamps.dt.epoch("s").to_numpy()
    edges = np.linspace(seconds.min(), seconds.max() + 1, folds + 1)
    number = np.clip(np.searchsorted(edges, seconds, side="right") - 1, 0, folds - 1)
    order = np.argsort(number, kind="stable")
    pieces = [np.flatnonzero(number == at) for at in range(folds)]
    made = tuple(
        _fold(stamps.gather(which), actual[which], predicted[which], lower[which], upper[which])
        for which in pieces
        if len(which)
    )
    return _result(
        made, tuple(column[order] for column in (leads, actual, predicted, lower, upper)), refitted=False
    )


def backtest(
    config: TrainingConfig,
    table: PreparedTable,
    *,
    folds: int | None = None,
    fold_length: timedelta = timedelta(days=14),
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> BacktestResult:
    """Fit on everything before each of the last `folds` stretches of time, and forecast it from rolling origins.

    Features count as known at the time of the row where the config says so (actual weather instead of its forecast).

    Parameters
    ----------
    config, table
        As for `aihub.training.trainer.train`; the split plays no part.
    folds
        Default: the config's.
    fold_length
        Time between two fits.
    on_progress, should_stop
        See `aihub.training.progress`.

    Raises
    ------
    ConfigError
        `folds` is less than 1.
    DataError
        The table is too short.
    StoppedError
        `should_stop` answered True.
    """
    count = config.backtest_folds if folds is None else folds
    if count < 1:
        raise ConfigError(f"folds is {count}; ask for one fold or more.", field="backtest_folds")
    watch = Watch(on_progress, should_stop, "backtest")
    made: list[Fold] = []
    parts: list[tuple[Any, ...]] = []
    for at, (before, inside) in enumerate(_stretches(config, table, count, fold_length)):
        part = watch.part(f"fold {at + 1} of {count}", at / count, (at + 1) / count)
        fold, rows = _forecast_fold(config, table, before, inside, part)
        made.append(fold)
        parts.append(rows)
    return _result(
        tuple(made), tuple(np.concatenate(column) for column in zip(*parts, strict=True)), refitted=True
    )


def _forecast_fold(
    config: TrainingConfig, table: PreparedTable, before: pl.DataFrame, inside: pl.DataFrame, watch: Watch
) -> tuple[Fold, tuple[Any, ...]]:
    from aihub.training.forecast.fitting import fit_forecaster  # noqa: PLC0415 - the boosters' libraries

    model = fit_forecaster(config, table, before, watch=watch).forecaster
    predicted, lower, upper = model.predict_with_interval(inside)
    actual = np.array(inside.get_column(config.target).fill_null(float("nan")).to_numpy(), dtype=np.float64)
    fold = _fold(inside.get_column(config.timestamp), actual, predicted, lower, upper)
    return fold, (model.leads(inside), actual, predicted, lower, upper)


def _stretches(
    config: TrainingConfig, table: PreparedTable, folds: int, length: timedelta
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Rows before and in each fold, oldest first. Folds begin on the same local time of day, whatever the clock did."""
    import polars as pl  # noqa: PLC0415 - 0.1 s that only training and prediction pay

    stamp = pl.col(config.timestamp)
    end = table.frame.get_column(config.timestamp).max()
    local = (
        pl.Series([end])
        .dt.offset_by(f"{int(table.frequency.total_seconds())}s")
        .dt.convert_time_zone(table.time_zone)
    )
    seconds = int(length.total_seconds())
    by = f"{seconds // 86_400}d" if seconds % 86_400 == 0 else f"{seconds}s"
    edges = [local]
    for _ in range(folds):
        edges.append(edges[-1].dt.offset_by(f"-{by}"))
    moments = [edge.dt.convert_time_zone("UTC")[0] for edge in reversed(edges)]
    for begin, until in pairwise(moments):
        before, inside = (
            table.frame.filter(stamp < begin),
            table.frame.filter((stamp >= begin) & (stamp < until)),
        )
        if not before.height or not inside.height:
            raise DataError(
                f"the file has no rows before {begin:%Y-%m-%d}, where a fold begins. Use fewer or shorter folds.",
                file=str(table.path),
            )
        yield before, inside


def _fold(
    stamps: pl.Series, actual: FloatArray, predicted: FloatArray, lower: FloatArray, upper: FloatArray
) -> Fold:
    return Fold(
        start=cast("datetime", stamps.min()),
        end=cast("datetime", stamps.max()),
        rows=int(np.isfinite(actual).sum()),
        metrics=point_metrics(actual, predicted, lower, upper),
    )


def _result(
    folds: tuple[Fold, ...],
    rows: tuple[Any, ...],
    *,
    refitted: bool,
) -> BacktestResult:
    leads, actual, predicted, lower, upper = rows
    known = np.isfinite(actual)
    error = np.abs(predicted - actual)
    lead_mae = {int(lead): float(error[known & (leads == lead)].mean()) for lead in np.unique(leads[known])}
    return BacktestResult(
        folds,
        point_metrics(actual, predicted, lower, upper),
        lead_mae,
        refitted,
        actual,
        predicted,
        lower,
        upper,
    )
