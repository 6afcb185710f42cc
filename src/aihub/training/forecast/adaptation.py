"""Intervals in use: what the model's own errors since training say about their width.

A calibration is as old as the training. Once actuals of later days are known, the errors of the forecasts that would have
been made on those days say whether the intervals still hold; every row is adapted by what was known at its origin, and
by rows that the model was not fitted to. In the spirit of Gibbs and Candès (2021), "Adaptive conformal inference under
distribution shift", with a window of recent scores in place of a running level.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from aihub.training.forecast.conformal import RECENT_DAYS, recent_stretch
from aihub.training.forecast.features import TARGET

if TYPE_CHECKING:
    from aihub.training.forecast.conformal import Calibration
    from aihub.training.forecast.ensemble import Ensemble
    from aihub.training.forecast.features import Rows
    from aihub.training.forecast.panel import IntArray
    from aihub.training.forecast.path import Path
    from aihub.types import FloatArray

MAX_ROWS = 20_000
"""Rows that are forecast again to see how wide the recent errors were; of more series, fewer days are looked at."""


def stretches(
    path: Path,
    ensemble: Ensemble,
    calibration: Calibration,
    rows: Rows,
    *,
    trained_until: int,
    level: float,
    threads: int,
) -> FloatArray:
    """Return the factor by which the interval of each row is stretched, float64 ``(n,)``; 1 where nothing is known.

    Parameters
    ----------
    path, ensemble, calibration
        What forecasts the rows.
    rows
        Rows that were asked for, with their origins.
    trained_until
        Last step that the model was fitted to; only later errors are honest.
    level
        Level of the interval.
    threads
        Threads of the boosters.
    """
    series, step = _recent_rows(path, rows.origin, trained_until)
    if not len(step):
        return np.ones(len(rows))
    answer = path.forecast(series, step, ensemble, threads=threads)
    actual = path.panel.gather(path.panel.columns[TARGET], series, step)
    excess = calibration.excess(actual - answer.point, answer.band, level)
    order = np.argsort(step, kind="stable")
    step, excess = step[order], excess[order]
    day = path.layout.steps(24)
    origins, which = np.unique(rows.origin, return_inverse=True)
    factors = np.ones(len(origins))
    for at, origin in enumerate(origins.tolist()):
        first = max(origin - RECENT_DAYS * day, trained_until) + 1
        begin, end = np.searchsorted(step, [first, origin + 1])
        factors[at] = recent_stretch(excess[begin:end], level, (origin + 1 - first) / day)
    return factors[which]


def _recent_rows(path: Path, origin: IntArray, trained_until: int) -> tuple[IntArray, IntArray]:
    """Rows with a known target after the training and up to four weeks before the first origin."""
    if not len(origin) or int(origin.max()) <= trained_until:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    day = path.layout.steps(24)
    series, step = path.panel.rows()
    known = np.isfinite(path.panel.columns[TARGET])
    first = max(int(origin.min()) - RECENT_DAYS * day, trained_until) + 1
    wanted = known & (step >= first) & (step <= int(origin.max()))
    span = int(origin.max()) - int(origin.min()) + RECENT_DAYS * day
    if int(wanted.sum()) > max(MAX_ROWS, len(origin)):
        per_step = wanted.sum() / max(span, 1)
        newest = int(origin.max()) - int(MAX_ROWS / per_step)
        wanted &= step > min(newest, int(origin.min()) - day)
    return series[wanted], step[wanted]
