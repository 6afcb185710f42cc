"""Rolling-origin backtests: what the forecasts of past days would have been worth."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from aihub.errors import ConfigError, DataError
from aihub.training.progress import Watch
from aihub.types import iso

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    import polars as pl

    from aihub.training.config import TrainingConfig
    from aihub.training.data import PreparedTable
    from aihub.training.forecast.forecaster import Forecaster
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
    rows
        Every forecast: ``timestamp`` (and series id where there is one), ``fold``, ``lead``, ``actual``, ``prediction``,
        ``lower``, ``upper``; for plots and other figures, not in `to_dict`.
    """

    folds: tuple[Fold, ...]
    metrics: dict[str, float]
    lead_mae: dict[int, float]
    is_refitted: bool
    rows: pl.DataFrame

    def to_dict(self) -> dict[str, Any]:
        """JSON-able figures."""
        folds = [{**asdict(fold), "start": iso(fold.start), "end": iso(fold.end)} for fold in self.folds]
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


def fold_figures(rows: pl.DataFrame, timestamp: str, *, folds: int) -> BacktestResult:
    """Cut forecasts that were already made out of sample (see `forecast_rows`) into stretches of the same length of time."""
    import polars as pl  # noqa: PLC0415 - 0.1 s that only training and prediction pay

    seconds = rows.get_column(timestamp).dt.epoch("s").to_numpy()
    edges = np.linspace(seconds.min(), seconds.max() + 1, folds + 1)
    number = np.clip(np.searchsorted(edges, seconds, side="right") - 1, 0, folds - 1)
    return _result(rows.with_columns(fold=pl.Series(number)), timestamp, is_refitted=False)


def forecast_rows(model: Forecaster, rows: pl.DataFrame) -> pl.DataFrame:
    """Forecast `rows` (with the target) and return ``actual``, ``prediction``, ``lower``, ``upper``, ``lead`` per row."""
    import polars as pl  # noqa: PLC0415 - as above

    config = model.config
    prediction, lower, upper = model.predict_with_interval(rows)
    keys = [config.timestamp, *(() if config.series_id is None else (config.series_id,))]
    return rows.select(keys).with_columns(
        lead=pl.Series(model.leads(rows)),
        actual=rows.get_column(config.target).cast(pl.Float64).fill_null(float("nan")),
        prediction=pl.Series(prediction),
        lower=pl.Series(lower),
        upper=pl.Series(upper),
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
    import polars as pl  # noqa: PLC0415 - as above

    from aihub.training.forecast.fitting import fit_forecaster  # noqa: PLC0415 - the boosters' libraries

    count = config.backtest_folds if folds is None else folds
    if count < 1:
        raise ConfigError(f"folds is {count}; ask for one fold or more.", field="backtest_folds")
    watch = Watch(on_progress, should_stop, "backtest")
    parts = []
    for at, (before, inside) in enumerate(_stretches(config, table, count, fold_length)):
        part = watch.part(f"fold {at + 1} of {count}", at / count, (at + 1) / count)
        model = fit_forecaster(config, table, before, watch=part).forecaster
        parts.append(forecast_rows(model, inside).with_columns(fold=pl.lit(at)))
    return _result(pl.concat(parts), config.timestamp, is_refitted=True)


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


def _result(rows: pl.DataFrame, timestamp: str, *, is_refitted: bool) -> BacktestResult:
    folds = tuple(
        Fold(
            start=cast("datetime", part.get_column(timestamp).min()),
            end=cast("datetime", part.get_column(timestamp).max()),
            rows=int(part.get_column("actual").is_not_nan().sum()),
            metrics=_metrics(part),
        )
        for part in rows.partition_by("fold", maintain_order=True)
    )
    lead, actual, predicted = (rows.get_column(name).to_numpy() for name in ("lead", "actual", "prediction"))
    known, error = np.isfinite(actual), np.abs(predicted - actual)
    lead_mae = {int(one): float(error[known & (lead == one)].mean()) for one in np.unique(lead[known])}
    return BacktestResult(folds, _metrics(rows), lead_mae, is_refitted, rows)


def _metrics(rows: pl.DataFrame) -> dict[str, float]:
    return point_metrics(*(rows.get_column(n).to_numpy() for n in ("actual", "prediction", "lower", "upper")))
