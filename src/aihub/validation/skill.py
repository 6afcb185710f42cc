"""References that need no model, and the reliability of scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aihub.types import FloatArray

DAY_US = 86_400_000_000
MIN_MATCHED = 0.2
"""Share of the rows that must have a value a season before them."""


@dataclass(frozen=True, slots=True)
class Reliability:
    """How often a score comes true.

    Attributes
    ----------
    error
        Debiased expected calibration error (root mean square over rows), 0 is perfect.
    score, frequency, count
        Mean score, frequency of the positive class and rows of each bin of about equal count.
    """

    error: float
    score: FloatArray
    frequency: FloatArray
    count: FloatArray


def seasonal_naive(
    y: FloatArray,
    timestamps: NDArray[np.datetime64],
    series: NDArray[Any] | None,
    *,
    season_steps: int | None = None,
    horizon_steps: int | None = None,
    max_rows: int = 100_000,
) -> tuple[NDArray[np.intp], FloatArray, float] | None:
    """Value of the same series a season before each row, by timestamp (gaps and any order of rows allowed).

    The season is the smallest multiple of `season_steps` (None: of a day, and of a week) that is at least the horizon,
    so that the value was known when the forecast was made; of day and week the one with the smaller error is taken.
    Beyond `max_rows` only the latest rows are looked at.

    Returns
    -------
    tuple or None
        Row numbers that have such a value, the values, and the season in seconds; None where less than a fifth of the
        rows have one.
    """
    rows = np.flatnonzero(np.isfinite(y) & ~np.isnat(timestamps))
    stamps = timestamps[rows].astype("datetime64[us]").astype(np.int64)
    if len(rows) > max_rows:
        cut = np.partition(stamps, len(rows) - max_rows)[len(rows) - max_rows]
        rows, stamps = rows[stamps >= cut], stamps[stamps >= cut]
    if len(rows) < 2:  # noqa: PLR2004 - a season takes two values
        return None
    codes = _codes(series, rows)
    order = np.lexsort((stamps, codes))
    rows, stamps, codes = rows[order], stamps[order], codes[order]
    step = _step(stamps, codes)
    if step <= 0:
        return None
    horizon = (horizon_steps or 1) * step
    seasons = (season_steps * step,) if season_steps else (DAY_US, 7 * DAY_US)
    best: tuple[float, NDArray[np.intp], FloatArray, int] | None = None
    for season in seasons:
        lag = season * max(-(-horizon // season), 1)
        here, there = _matches(stamps, codes, lag)
        if len(here) < MIN_MATCHED * len(rows) or len(here) < 2:  # noqa: PLR2004 - as above
            continue
        before = y[rows[there]]
        error = float(np.abs(y[rows[here]] - before).mean())
        if best is None or error < best[0]:
            best = (error, rows[here], before, lag)
    return None if best is None else (best[1], best[2], best[3] / 1e6)


def season_before(
    y: FloatArray,
    season_steps: int,
    *,
    timestamps: NDArray[np.datetime64] | None = None,
    series: NDArray[Any] | None = None,
) -> FloatArray:
    """Value of the same series `season_steps` before each row, in row order; NaN where there is none.

    With `timestamps` the value is looked up by time, so that gaps and any order of rows do no harm; else rows are steps.
    """
    found = np.full(y.shape, np.nan)
    rows = np.arange(y.size)
    if timestamps is not None:
        rows = np.flatnonzero(~np.isnat(timestamps))
    if season_steps < 1 or len(rows) < 2:  # noqa: PLR2004 - a season takes two values
        return found
    codes = _codes(series, rows)
    stamps = rows if timestamps is None else timestamps[rows].astype("datetime64[us]").astype(np.int64)
    order = np.lexsort((stamps, codes))
    rows, stamps, codes = rows[order], stamps[order], codes[order]
    if timestamps is None:
        stamps = np.arange(len(rows)) - np.searchsorted(codes, codes)
    here, there = _matches(stamps, codes, season_steps * _step(stamps, codes))
    found[rows[here]] = y[rows[there]]
    return found


def _codes(series: NDArray[Any] | None, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    if series is None or len(series) <= int(rows.max()):
        return np.zeros(len(rows), dtype=np.intp)
    numbers: dict[str, int] = {}
    return np.fromiter(
        (numbers.setdefault(str(v), len(numbers)) for v in series[rows].tolist()),
        dtype=np.intp,
        count=len(rows),
    )


def _step(stamps: NDArray[np.int64], codes: NDArray[np.intp]) -> int:
    gaps = np.diff(stamps)[codes[1:] == codes[:-1]]
    gaps = gaps[gaps > 0]
    return int(np.median(gaps)) if len(gaps) else 0


def _matches(
    stamps: NDArray[np.int64], codes: NDArray[np.intp], lag: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Positions that have a value exactly `lag` before, and where it is; input sorted by code and stamp."""
    start = stamps.min()
    span = int(stamps.max() - start) + lag + 1
    if span * (int(codes.max()) + 1) >= 2**62:  # centuries times thousands of series: no key fits
        return np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)
    key = codes * span + (stamps - start) + lag
    there = np.searchsorted(key, key - lag)
    found = key[np.minimum(there, len(key) - 1)] == key - lag
    return np.flatnonzero(found), there[found].astype(np.intp)


def reliability(y: FloatArray, score: FloatArray, bins: int = 15) -> Reliability:
    """Reliability of a score for a 0/1 label.

    Bins of equal count; the squared difference of frequency and mean score is reduced by the frequency's own sampling
    variance, so that few rows do not look like bad calibration. Null behaviour: error below .045 in 95 % of cases for a
    calibrated score and n = 1,000.

    Parameters
    ----------
    y
        0 or 1, shape (n,), n >= 1.
    score
        Shape (n,), finite; outside [0, 1] it is compared as it is.

    References
    ----------
    Kumar, A., Liang, P. and Ma, T. (2019), "Verified Uncertainty Calibration", NeurIPS (debiased estimator, section 5).

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> s = rng.random(5000)
    >>> y = (rng.random(5000) < s).astype(float)
    >>> reliability(y, s).error < 0.03 < 0.2 < reliability(y, s**3).error
    True
    """
    order = np.argsort(score, kind="stable")
    parts = np.array_split(order, min(bins, max(len(y) // 2, 1)))
    count = np.array([len(p) for p in parts], dtype=np.float64)
    mean = np.array([float(score[p].mean()) for p in parts])
    frequency = np.array([float(y[p].mean()) for p in parts])
    noise = frequency * (1 - frequency) / np.maximum(count - 1, 1)
    squared = float((count * ((frequency - mean) ** 2 - noise)).sum() / count.sum())
    return Reliability(float(np.sqrt(max(squared, 0.0))), mean, frequency, count)
