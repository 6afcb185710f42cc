"""Sums of a window as one row of numbers: computed for many windows at once, merged for any range, read as metrics.

A row holds counts and totals that add, moments that merge (Chan, Golub and LeVeque 1979) and extremes, for forecasts and
for anomaly models alike. `aihub.validation.profile.sums` computes the metrics from them, so that a figure of monitoring
and one of the gate mean the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.validation.estimation import expected_absolute_error
from aihub.validation.profile import FloatHistogram, Moments
from aihub.validation.profile.sums import ClassificationSums, RegressionSums

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aihub.types import FloatArray

FIELDS = (
    "predictions",  # rows predicted
    "unanswered",  # of them, rows whose prediction is no finite number
    "pred_n", "pred_mean", "pred_m2", "pred_min", "pred_max",
    "intervals", "width",  # rows with an interval, and its summed width
    "estimate",  # summed absolute error that the intervals imply
    "flagged", "scores", "score_sum", "score_flagged",  # anomaly models: what calibrated scores imply
    "n", "bad", "zeros",  # rows with an actual and a finite prediction; with an actual and none; actual is zero
    "err_mean", "err_m2", "err_min", "err_max",
    "true_mean", "true_m2", "true_min", "true_max",
    "abs_err", "abs_true", "pct", "smape",
    "covered", "coverable",  # actuals inside their interval, and actuals that had one
    "tp", "fp", "fn", "tn",
)  # fmt: skip
AT = {name: index for index, name in enumerate(FIELDS)}
WIDTH = len(FIELDS)
_MOMENTS = (("pred_n", "pred"), ("n", "err"), ("n", "true"))
_LOWEST = tuple(AT[f"{name}_min"] for _, name in _MOMENTS)
_HIGHEST = tuple(AT[f"{name}_max"] for _, name in _MOMENTS)
_MEANS = tuple(AT[f"{name}_{what}"] for _, name in _MOMENTS for what in ("mean", "m2"))
_ADD = tuple(i for i in range(WIDTH) if i not in {*_LOWEST, *_HIGHEST, *_MEANS})
SCORE_BINS = 64
"""Bins of an anomaly score, 0 to 1, in a window; the area under the curve counts scores of one bin as ties."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What a model answered, by row; NaN where it gives no interval or no score."""

    prediction: FloatArray
    lower: FloatArray
    upper: FloatArray
    score: FloatArray

    def take(self, index: NDArray[Any]) -> Answers:
        """Give some of the rows."""
        return Answers(self.prediction[index], self.lower[index], self.upper[index], self.score[index])


def empty(rows: int) -> FloatArray:
    """Return `rows` windows of nothing, shape (rows, `WIDTH`)."""
    found = np.zeros((rows, WIDTH))
    found[:, _LOWEST], found[:, _HIGHEST] = np.inf, -np.inf
    return found


def prediction_sums(
    cell: NDArray[np.intp],
    cells: int,
    answers: Answers,
    *,
    level: float,
) -> FloatArray:
    """Return the sums of predictions alone, by `cell` (0 to `cells` - 1), shape (cells, `WIDTH`); NaN where there is no value."""
    out = empty(cells)
    prediction, lower, upper, score = answers.prediction, answers.lower, answers.upper, answers.score
    answered = np.isfinite(prediction)
    out[:, AT["predictions"]] = np.bincount(cell, minlength=cells)
    if not answered.all():
        out[:, AT["unanswered"]] = np.bincount(cell[~answered], minlength=cells)
    _moments(out, "pred", "pred_n", cell[answered], prediction[answered])
    known = np.isfinite(lower) & np.isfinite(upper)
    if known.any():
        inside, low, high = cell[known], lower[known], upper[known]
        out[:, AT["intervals"]] = np.bincount(inside, minlength=cells)
        out[:, AT["width"]] = np.bincount(inside, high - low, cells)
        expected = np.nan_to_num(expected_absolute_error(low, high, level))
        out[:, AT["estimate"]] = np.bincount(inside, expected, cells)
    ranked = np.isfinite(score)
    if ranked.any():
        inside, likely = cell[ranked], np.clip(score[ranked], 0.0, 1.0)
        is_flagged = prediction[ranked] >= 0.5  # noqa: PLR2004 - labels are 0 and 1
        out[:, AT["scores"]] = np.bincount(inside, minlength=cells)
        out[:, AT["score_sum"]] = np.bincount(inside, likely, cells)
        out[:, AT["flagged"]] = np.bincount(inside, is_flagged, cells)
        out[:, AT["score_flagged"]] = np.bincount(inside, likely * is_flagged, cells)
    return out


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def error_sums(
    cell: NDArray[np.intp],
    cells: int,
    actual: FloatArray,
    answers: Answers,
    *,
    classes: bool = False,
) -> FloatArray:
    """Return the sums of predictions with finite actuals, by `cell`, shape (cells, `WIDTH`).

    `classes`: 0/1 labels are counted, and there is no error to sum.
    """
    out = empty(cells)
    answered = np.isfinite(answers.prediction)
    if not answered.all():
        out[:, AT["bad"]] = np.bincount(cell[~answered], minlength=cells)
        cell, actual, answers = cell[answered], actual[answered], answers.take(answered)
    prediction, lower, upper = answers.prediction, answers.lower, answers.upper
    if classes:
        return _confusion(out, cell, cells, actual >= 0.5, prediction >= 0.5)  # noqa: PLR2004 - as above
    error, size = prediction - actual, np.abs(actual)
    absolute, both = np.abs(error), np.abs(prediction) + size
    _moments(out, "err", "n", cell, error)
    _moments(out, "true", "n", cell, actual)
    for name, weights in (
        ("zeros", size == 0),
        ("abs_err", absolute),
        ("abs_true", size),
        ("pct", np.where(size > 0, absolute / size, 0.0)),
        ("smape", np.where(both > 0, 2.0 * absolute / both, 0.0)),
    ):
        out[:, AT[name]] = np.bincount(cell, weights, cells)
    known = np.isfinite(lower) & np.isfinite(upper)
    if known.any():
        inside = (actual >= lower) & (actual <= upper)
        out[:, AT["covered"]] = np.bincount(cell, inside, cells)
        out[:, AT["coverable"]] = np.bincount(cell, known, cells)
    return out


def _confusion(
    out: FloatArray,
    cell: NDArray[np.intp],
    cells: int,
    label: NDArray[np.bool_],
    positive: NDArray[np.bool_],
) -> FloatArray:
    out[:, AT["n"]] = np.bincount(cell, minlength=cells)
    for name, hit in (
        ("tp", label & positive), ("fp", ~label & positive), ("fn", label & ~positive), ("tn", ~label & ~positive)
    ):  # fmt: skip
        out[:, AT[name]] = np.bincount(cell, hit, cells)
    return out


def score_counts(cell: NDArray[np.intp], cells: int, label: FloatArray, score: FloatArray) -> FloatArray:
    """Count the scores per class, shape (cells, 2 x `SCORE_BINS`): rows labelled 0 first."""
    known = np.isfinite(score)
    bins = np.minimum((np.clip(score[known], 0.0, 1.0) * SCORE_BINS).astype(np.intp), SCORE_BINS - 1)
    index = cell[known] * 2 * SCORE_BINS + (label[known] >= 0.5) * SCORE_BINS + bins  # noqa: PLR2004
    return np.bincount(index, minlength=cells * 2 * SCORE_BINS).reshape(cells, -1).astype(np.float64)


def _moments(out: FloatArray, name: str, count: str, cell: NDArray[np.intp], values: FloatArray) -> None:
    """Write count, mean, m2 and extremes of `values` by cell."""
    if not values.size:
        return
    cells = len(out)
    n = np.bincount(cell, minlength=cells)
    shift = float(values.mean())
    centred = values - shift
    mean = np.bincount(cell, centred, cells) / np.maximum(n, 1)
    centred -= mean[cell]
    out[:, AT[count]] = n
    out[:, AT[f"{name}_mean"]] = np.where(n > 0, mean + shift, 0.0)
    out[:, AT[f"{name}_m2"]] = np.bincount(cell, centred * centred, cells)
    np.minimum.at(out[:, AT[f"{name}_min"]], cell, values)
    np.maximum.at(out[:, AT[f"{name}_max"]], cell, values)


def merged(rows: FloatArray, group: NDArray[np.intp], groups: int) -> FloatArray:
    """Merge windows by `group` (0 to `groups` - 1), shape (groups, `WIDTH`)."""
    out = empty(groups)
    for column in _ADD:
        out[:, column] = np.bincount(group, rows[:, column], groups)
    for count, name in _MOMENTS:
        n, mean, m2 = rows[:, AT[count]], rows[:, AT[f"{name}_mean"]], rows[:, AT[f"{name}_m2"]]
        total = out[:, AT[count]]
        whole = np.bincount(group, n * mean, groups) / np.maximum(total, 1)
        between = n * (mean - whole[group]) ** 2
        out[:, AT[f"{name}_mean"]] = np.where(total > 0, whole, 0.0)
        out[:, AT[f"{name}_m2"]] = np.bincount(group, m2 + between, groups)
    for column in _LOWEST:
        np.minimum.at(out[:, column], group, rows[:, column])
    for column in _HIGHEST:
        np.maximum.at(out[:, column], group, rows[:, column])
    return out


def total(rows: FloatArray) -> FloatArray:
    """Merge windows into one, shape (`WIDTH`,)."""
    found: FloatArray = merged(rows, np.zeros(len(rows), np.intp), 1)[0]
    return found


def value(row: FloatArray, name: str) -> float:
    """One field of a window."""
    return float(row[AT[name]])


def regression(row: FloatArray) -> RegressionSums:
    """Give a window as the sums of the gate."""
    n = int(value(row, "n"))
    return RegressionSums(
        n=n,
        bad=int(value(row, "bad")),
        zeros=int(value(row, "zeros")),
        error=_as_moments(row, "err", n),
        true=_as_moments(row, "true", n),
        absolute_error=value(row, "abs_err"),
        absolute_true=value(row, "abs_true"),
        percentage_error=value(row, "pct"),
        symmetric_error=value(row, "smape"),
    )


def classification(row: FloatArray, scores: FloatArray | None) -> ClassificationSums:
    """Give a window of an anomaly model as the sums of the gate."""
    tp, fp, fn, tn = (int(value(row, name)) for name in ("tp", "fp", "fn", "tn"))
    halves = np.zeros((2, SCORE_BINS)) if scores is None else scores.reshape(2, SCORE_BINS)
    negative, positive = (_as_histogram(half) for half in halves)
    return ClassificationSums(
        tp, fp, fn, tn, bad=int(value(row, "bad")), positive=positive, negative=negative
    )


def _as_histogram(counts: FloatArray) -> FloatHistogram:
    centres = (np.arange(SCORE_BINS) + 0.5) / SCORE_BINS
    used = np.flatnonzero(counts)
    found = FloatHistogram.of(centres[used])
    return FloatHistogram(found.shift, found.keys, counts[used].astype(np.int64), found.grain)


def _as_moments(row: FloatArray, name: str, n: int) -> Moments:
    if not n:
        return Moments()
    mean, m2, low, high = (value(row, f"{name}_{what}") for what in ("mean", "m2", "min", "max"))
    return Moments(n, mean, max(m2, 0.0), low, high)


def coverage(row: FloatArray) -> float:
    """Share of actuals inside their interval, 0 to 1; NaN where none had one."""
    return value(row, "covered") / value(row, "coverable") if value(row, "coverable") else math.nan


def expected_error(row: FloatArray) -> float:
    """Mean absolute error that the model's own intervals imply; NaN without intervals."""
    return value(row, "estimate") / value(row, "intervals") if value(row, "intervals") else math.nan
