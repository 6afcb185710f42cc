"""Plots of a model's errors, made from what every gate has at hand: target, prediction, time, interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.validation.report import plots

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from aihub.types import FloatArray

MAX_ROWS = 50_000
"""Most rows looked at, the latest: a figure cannot show more, and a gate over millions of rows should not pay for it."""

RECENT = np.timedelta64(14, "D")
HOUR_US = 3_600_000_000


def error_plots(
    y_true: FloatArray,
    y_pred: FloatArray,
    *,
    timestamps: NDArray[np.datetime64] | None = None,
    series: NDArray[Any] | None = None,
    interval: tuple[FloatArray, FloatArray, float] | None = None,
    time_zone: str = "UTC",
    unit: str = "",
) -> dict[str, Mapping[str, Any]]:
    """Return the plots of a forecast's check: predictions, the last two weeks, residuals over time and by hour.

    Parameters
    ----------
    y_true, y_pred
        Shape (n,), unit of the target; NaN rows become gaps.
    timestamps
        UTC, ``datetime64[us]``, shape (n,), any order. Without them only predicted against actual is drawn.
    series
        Series id per row; of several the one with most rows is drawn over time, and named in the caption.
    interval
        Lower bound, upper bound (shape (n,) each) and nominal level in (0, 1).
    time_zone
        IANA zone in which the hour of day is read.
    unit
        Of the target, for the axis.

    Examples
    --------
    >>> import numpy as np
    >>> stamps = np.datetime64("2024-01-01", "us") + np.arange(48) * np.timedelta64(1, "h")
    >>> sorted(error_plots(np.ones(48), np.zeros(48), timestamps=stamps))
    ['predictions', 'residuals', 'residuals_by_hour']
    """
    if timestamps is None or np.isnat(timestamps).all():  # true of no row at all
        keep = slice(-MAX_ROWS, None)
        note = {"x_label": "actual", "y_label": "predicted", "unit": unit}
        return {"calibration": plots.scatter(y_true[keep], y_pred[keep], diagonal=True, **note)}
    rows = _latest(timestamps)
    drawn: dict[str, Mapping[str, Any]] = {
        "residuals_by_hour": _by_hour(np.abs(y_pred[rows] - y_true[rows]), timestamps[rows], time_zone, unit)
    }
    rows, name = _longest(series, rows)
    stamps = timestamps[rows]
    of: dict[str, Any] = {"note": f"Series {name}, the longest of several."} if name else {}
    lines = {"actual": y_true[rows], "prediction": y_pred[rows]}
    band = None
    if interval is not None:
        lower, upper, level = interval
        band = (f"{level:.0%} interval", lower[rows], upper[rows])
    drawn["predictions"] = plots.series(stamps, lines, band=band, unit=unit, **of)
    recent = stamps > stamps[-1] - RECENT
    if not recent.all():
        cut = None if band is None else (band[0], band[1][recent], band[2][recent])
        near = {key: values[recent] for key, values in lines.items()}
        drawn["predictions_recent"] = plots.series(stamps[recent], near, band=cut, unit=unit, **of)
    residual = y_pred[rows] - y_true[rows]
    drawn["residuals"] = plots.series(
        stamps, {"residual": residual}, zero=True, y_label=f"{unit} predicted minus actual".strip(), **of
    )
    order = ("predictions_recent", "predictions", "residuals", "residuals_by_hour")
    return {key: drawn[key] for key in order if key in drawn}


def _latest(timestamps: NDArray[np.datetime64]) -> NDArray[np.intp]:
    """Return the latest rows in the order of time; a table in order is not sorted again, of a long one not all."""
    if np.all(timestamps[:-1] <= timestamps[1:]):
        return np.arange(max(0, len(timestamps) - MAX_ROWS), len(timestamps))
    known = np.flatnonzero(~np.isnat(timestamps))
    if len(known) > MAX_ROWS:
        micros = timestamps[known].astype("datetime64[us]").astype(np.int64)
        known = known[np.argpartition(micros, -MAX_ROWS)[-MAX_ROWS:]]
    return known[np.argsort(timestamps[known], kind="stable")]


def _longest(series: NDArray[Any] | None, rows: NDArray[np.intp]) -> tuple[NDArray[np.intp], str]:
    if series is None:
        return rows, ""
    texts = np.array([str(value) for value in series[rows].tolist()])  # ids may be of mixed types
    names, index, counts = np.unique(texts, return_inverse=True, return_counts=True)
    if len(names) == 1:
        return rows, ""
    longest = int(counts.argmax())
    return rows[index == longest], str(names[longest])


def _by_hour(error: FloatArray, stamps: NDArray[np.datetime64], time_zone: str, unit: str) -> dict[str, Any]:
    """Return the mean absolute error per hour of the local day, with the middle half of the errors as whiskers."""
    known = np.isfinite(error) & ~np.isnat(stamps)
    error, hours = error[known], _local_hours(stamps[known], time_zone)
    per_hour = [error[hours == hour] for hour in range(24)]
    middle = [np.quantile(e, [0.25, 0.75]) if e.size else np.full(2, np.nan) for e in per_hour]
    return plots.bars(
        [f"{hour:02d}" for hour in range(24)],
        np.array([e.mean() if e.size else np.nan for e in per_hour]),
        spread=(np.array([m[0] for m in middle]), np.array([m[1] for m in middle])),
        title="Mean absolute error by hour of day",
        note=f"Hours in {time_zone}; the whiskers hold the middle half of the errors.",
        unit=unit,
    )


def _local_hours(stamps: NDArray[np.datetime64], time_zone: str) -> NDArray[np.int64]:
    """Return the local hour of each stamp; zones are looked up once per distinct hour."""
    hours = stamps.astype("datetime64[us]").astype(np.int64) // HOUR_US
    if time_zone == "UTC":
        return hours % 24
    from datetime import UTC, datetime  # noqa: PLC0415 - only for local time
    from zoneinfo import ZoneInfo  # noqa: PLC0415

    zone = ZoneInfo(time_zone)
    distinct, index = np.unique(stamps.astype("datetime64[m]").astype(np.int64) // 15, return_inverse=True)
    local = [datetime.fromtimestamp(int(quarter) * 900, UTC).astimezone(zone).hour for quarter in distinct]
    return np.array(local, dtype=np.int64)[index]
