"""Signs that a model saw the answers: the target among the features, or the validation rows in the training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from aihub.types import FloatArray

MIN_ROWS = 50
"""Rows below which an agreement may be chance."""


_REPEAT_ROWS = 20_000
_LAGS = 168  # a week of hours: how far back a target may repeat itself


@dataclass(frozen=True, slots=True)
class Copy:
    """A feature that holds the target.

    Attributes
    ----------
    feature
        Name of the column.
    steps
        How many steps ahead of its row the target is that the feature holds: 0 is the row's own target, 1 the next
        row's. Negative: a lag.
    share
        Share of rows that agree.
    """

    feature: str
    steps: int
    share: float


def target_copies(
    features: Mapping[str, FloatArray], y: FloatArray, *, steps: tuple[int, ...], share: float = 0.99
) -> list[Copy]:
    """Find features that equal the target, or a straight line of it, some steps away.

    A straight line is taken from two rows far apart and must hold for all others to 1e-9 of the target's range. The
    target's most frequent value is left out (a photovoltaic series is 0 half of the time, and so are its features). A
    feature that equals a lag of the target just as well is none: the target repeats itself, or is a straight line.
    Null behaviour: exact agreement of continuous measurements does not happen by chance.

    Parameters
    ----------
    features
        Numeric columns, shape (n,) each, of one series in time order.
    y
        Target, shape (n,), same order.
    steps
        Which shifts to look at.
    share
        Share of the rows that must agree.
    """
    usual = _mode(y)
    found = []
    for name, x in features.items():
        for step in steps:
            agreeing = _agreement(x, y, step, usual)
            if agreeing >= share:
                if not any(_agreement(x, y, -lag, usual) >= share for lag in range(1, _LAGS + 1)):
                    found.append(Copy(name, step, agreeing))
                break
    return found


def _mode(y: FloatArray) -> float:
    values, counts = np.unique(y[np.isfinite(y)], return_counts=True)
    return float(values[counts.argmax()]) if len(values) else float("nan")


def _agreement(x: FloatArray, y: FloatArray, step: int, usual: float) -> float:
    n = len(y)
    if abs(step) >= n:
        return 0.0
    ahead = y[max(step, 0) : n + min(step, 0)]
    here = x[max(-step, 0) : n - max(step, 0)]
    rows = np.isfinite(here) & np.isfinite(ahead) & (ahead != usual)
    here, ahead = here[rows], ahead[rows]
    if len(here) < MIN_ROWS or rows.mean() < 0.05:  # noqa: PLR2004 - a twentieth of the rows must have a say
        return 0.0
    low, high = int(here.argmin()), int(here.argmax())
    width, span = here[high] - here[low], float(ahead.max() - ahead.min())
    if not (0 < width < np.inf and 0 < span < np.inf) or len(np.unique(ahead[:1000])) < 10:  # noqa: PLR2004 - few values agree by chance
        return 0.0
    slope = (ahead[high] - ahead[low]) / width
    if slope == 0 or not np.isfinite(slope):
        return 0.0
    return float((np.abs(ahead[low] + slope * (here - here[low]) - ahead) <= 1e-9 * span).mean())


def explained_share(x: FloatArray, y: FloatArray, bins: int = 50) -> float:
    """Share of the target's variance that is explained by the feature alone, cut into bins of equal count.

    The share is corrected for the number of bins (adjusted correlation ratio), so that noise explains 0 on average.

    Parameters
    ----------
    x, y
        Shape (n,); rows where either is not finite are left out.

    Returns
    -------
    float
        At most 1; NaN for a constant target or fewer than `MIN_ROWS` rows.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.linspace(-1, 1, 2000)
    >>> explained_share(x, x**2) > 0.99, abs(explained_share(x, np.random.default_rng(0).normal(size=2000))) < 0.05
    (True, True)
    """
    known = np.isfinite(x) & np.isfinite(y)
    if not known.all():
        x, y = x[known], y[known]
    n = len(y)
    centred = y - y.mean() if n else y
    total = float(np.dot(centred, centred))
    if n < MIN_ROWS or not 0 < total < np.inf:
        return float("nan")
    order = np.argsort(x)
    x = x[order]
    # the bins' edges are quantiles, between neighbours of the sorted values
    position = np.linspace(0, 1, min(bins, n // 10) + 1)[1:-1] * (n - 1)
    below = position.astype(np.intp)
    edges = x[below] + (position - below) * (x[below + 1] - x[below])
    starts = np.unique(np.concatenate(([0], np.searchsorted(x, edges))))
    counts = np.diff(np.append(starts, n))
    sums = np.add.reduceat(centred[order], starts)
    between = float(np.dot(sums, sums / counts))
    return 1 - (1 - between / total) * (n - 1) / max(n - len(starts), 1)


def row_hashes(columns: Mapping[str, NDArray[Any]], names: tuple[str, ...]) -> NDArray[np.uint64]:
    """Hash each row over float columns, shape (n,); 0.0 and -0.0 are the same, and so are all NaN."""
    n = len(columns[names[0]])
    hashes = np.zeros(n, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for name in names:
            values = np.ascontiguousarray(columns[name], dtype=np.float64) + 0.0
            values = np.where(np.isnan(values), np.nan, values)
            hashes = (hashes ^ values.view(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
            hashes ^= hashes >> np.uint64(29)
    return hashes


TIME = "(time)"
"""Name under which `overlap` takes time stamps, as microseconds."""


def overlap(
    validation: Mapping[str, NDArray[Any]], reference: Mapping[str, NDArray[Any]], most_columns: int = 4
) -> tuple[float, float, tuple[str, ...]]:
    """Share of validation rows that are in the reference, share of reference rows that repeat, and the columns used.

    The columns with the most different values are compared, so that a handful of codes does not look like a match; a
    column `TIME` in both always is, since measurements with few decimals repeat by chance at another time. A
    reference that repeats itself makes an overlap meaningless; the second figure, from its first `_REPEAT_ROWS` rows,
    says so.

    Returns
    -------
    tuple
        NaN, NaN, () where fewer than two float columns with many values are in both.
    """
    candidates = {
        name: len(np.unique(values[:500]))
        for name, values in validation.items()
        if values.dtype.kind == "f" and name in reference and reference[name].dtype.kind == "f"
    }
    rich = sorted((k for k, count in candidates.items() if count >= MIN_ROWS), key=lambda k: -candidates[k])
    has_time = TIME in validation and TIME in reference
    names = (*((TIME,) if has_time else ()), *[name for name in rich if name != TIME][:most_columns])
    if len(names) < 2 or not len(reference[names[0]]):  # noqa: PLR2004 - one measurement may repeat by chance
        return float("nan"), float("nan"), ()
    wanted, where = np.unique(row_hashes(validation, names), return_inverse=True)
    held = row_hashes(reference, names)
    place = np.minimum(np.searchsorted(wanted, held), len(wanted) - 1)
    seen = np.zeros(len(wanted), dtype=bool)
    seen[place[wanted[place] == held]] = True
    some = held[:_REPEAT_ROWS]
    return float(seen[where].mean()), 1 - len(np.unique(some)) / len(some), names
