"""Event metrics of anomaly detectors: what an operator who is called out at night would measure.

An anomaly is an interval, not a row: a detector that meets every event once and a detector that meets one long event
fully may have the same point recall. Four views, none of which lets a single lucky row count for a whole event (the
widespread *point-adjusted* F1 does; a random score reaches values near 1 under it [3]_, so it is not offered):

- range precision and recall [1]_: overlap of true and predicted ranges, with a reward for seeing an event at all and
  a price for fragments;
- affiliation precision and recall [2]_: how near in time alarms are to events and events to alarms, as the
  probability that a random answer would have been further away (0.5 is chance, 1 is perfect);
- detection delay: time from the start of an event to its first alarm;
- false alarms per day of normal operation.

All functions take flags in time order. NaN in the flags is refused rather than guessed.

References
----------
.. [1] Tatbul et al., "Precision and recall for time series", NeurIPS 2018.
.. [2] Huet, Navarro, Rossi, "Local evaluation of time series anomaly detection algorithms", KDD 2022.
.. [3] Kim et al., "Towards a rigorous evaluation of time-series anomaly detection", AAAI 2022.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from aihub.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

    from aihub.types import FloatArray

Bias = Literal["flat", "front"]

_DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class EventMetrics:
    """Event metrics of one detector on one table; ratios in [0, 1], higher is better unless said otherwise.

    Attributes
    ----------
    events, alarms
        True events and predicted events (after merging alarms closer than the hold-off).
    range_precision, range_recall, range_f1
        Tatbul et al.; NaN precision without alarms, NaN recall without events.
    affiliation_precision, affiliation_recall, affiliation_f1
        Huet et al.; 0.5 is what random alarms reach. NaN without events; precision NaN without alarms.
    detected_share
        Share of events with at least one alarm inside. NaN without events.
    delay_median_s, delay_max_s
        Seconds from the start of a detected event to its first alarm, lower is better. NaN where nothing was detected
        or no timestamps were given.
    false_alarms
        Alarms that touch no event.
    false_alarms_per_day
        False alarms per day of normal operation (rows outside events times the sampling step), lower is better. NaN
        without timestamps or without normal rows.
    """

    events: int
    alarms: int
    range_precision: float
    range_recall: float
    range_f1: float
    affiliation_precision: float
    affiliation_recall: float
    affiliation_f1: float
    detected_share: float
    delay_median_s: float
    delay_max_s: float
    false_alarms: int
    false_alarms_per_day: float

    def as_dict(self) -> dict[str, float]:
        """Every figure by name, counts as float."""
        return {name: float(getattr(self, name)) for name in self.__slots__}


def segments(flags: ArrayLike, *, merge_gap: int = 0) -> NDArray[np.int64]:
    """Return runs of ones as half-open index ranges.

    Parameters
    ----------
    flags
        0/1 or boolean, shape (n,), in time order.
    merge_gap
        Runs separated by at most this many zeros become one (an alarm's hold-off, in rows).

    Returns
    -------
    NDArray[np.int64]
        Shape (k, 2): start (included) and end (excluded) of each run.

    Raises
    ------
    DataError
        The flags hold anything but 0, 1, true or false, such as NaN.

    Examples
    --------
    >>> segments([0, 1, 1, 0, 1]).tolist()
    [[1, 3], [4, 5]]
    >>> segments([0, 1, 1, 0, 1], merge_gap=1).tolist()
    [[1, 5]]
    """
    on = _flags(flags, "flags")
    edges = np.flatnonzero(np.diff(np.concatenate(([0], on.astype(np.int8), [0]))))
    found = edges.reshape(-1, 2).astype(np.int64)
    if merge_gap > 0 and len(found) > 1:
        first = np.concatenate(([True], found[1:, 0] - found[:-1, 1] > merge_gap))
        last = np.concatenate((first[1:], [True]))
        found = np.column_stack((found[first, 0], found[last, 1]))
    return found


def range_precision_recall(
    y_true: ArrayLike, y_pred: ArrayLike, *, alpha: float = 0.5, bias: Bias = "flat"
) -> tuple[float, float]:
    """Range-based precision and recall of Tatbul et al. (2018).

    Each range is rewarded by the share of it that is overlapped, divided by the number of ranges that overlap it
    (fragments cost); recall adds `alpha` for having seen the event at all.

    Parameters
    ----------
    y_true, y_pred
        0/1 flags, shape (n,), in time order.
    alpha
        Weight in [0, 1] of existence against overlap in recall.
    bias
        ``"front"`` weights the rows of a true range linearly downwards, so that early detection counts more.

    Returns
    -------
    tuple[float, float]
        Precision (NaN without alarms) and recall (NaN without events), in [0, 1], higher is better.

    Raises
    ------
    DataError
        Flags that are not 0/1 or of different length.

    Examples
    --------
    >>> range_precision_recall([0, 1, 1, 1, 1, 0], [0, 0, 1, 1, 0, 0])
    (1.0, 0.75)
    """
    true, pred = _pair(y_true, y_pred)
    return _range_scores(segments(true), segments(pred), alpha=alpha, bias=bias)


def _range_scores(
    true: NDArray[np.int64], pred: NDArray[np.int64], *, alpha: float, bias: Bias
) -> tuple[float, float]:
    precision = [_overlap_reward(p, true, "flat") for p in pred]
    recall = []
    for event in true:
        reward = _overlap_reward(event, pred, bias)
        recall.append(alpha * float(reward > 0) + (1 - alpha) * reward)
    return _mean(precision), _mean(recall)


def _overlap_reward(one: NDArray[np.int64], others: NDArray[np.int64], bias: Bias) -> float:
    start, end = int(one[0]), int(one[1])
    touching = others[(others[:, 0] < end) & (others[:, 1] > start)]
    if not len(touching):
        return 0.0
    weight = np.ones(end - start) if bias == "flat" else np.arange(end - start, 0.0, -1.0)
    covered = np.zeros(end - start, dtype=bool)
    for a, b in touching:
        covered[max(a - start, 0) : max(b - start, 0)] = True
    return float(weight[covered].sum() / weight.sum() / len(touching))


def affiliation_precision_recall(y_true: ArrayLike, y_pred: ArrayLike) -> tuple[float, float]:
    """Affiliation precision and recall of Huet et al. (2022), on the sample grid.

    Time is divided into one zone per event (the rows nearest to it). Inside a zone, the distance of an alarm from the
    event counts as the probability that a uniformly random row of the zone would be at least as far away; recall
    likewise, with events and alarms exchanged.

    Parameters
    ----------
    y_true, y_pred
        0/1 flags, shape (n,), in time order. Distances are counted in rows.

    Returns
    -------
    tuple[float, float]
        Precision (NaN without alarms or events) and recall (NaN without events), in [0, 1], higher is better. Random
        alarms reach about 0.5, so read it against that.

    Raises
    ------
    DataError
        Flags that are not 0/1 or of different length.

    Examples
    --------
    >>> affiliation_precision_recall([0, 0, 1, 1, 0, 0], [0, 0, 1, 1, 0, 0])
    (1.0, 1.0)
    """
    true, pred = _pair(y_true, y_pred)
    precision, recall = _affiliation_zones(true, pred)
    return _mean(precision), _mean(recall)


def _affiliation_zones(true: NDArray[np.bool_], pred: NDArray[np.bool_]) -> tuple[list[float], list[float]]:
    """Return precision per zone that holds an alarm, and recall per zone."""
    events = segments(true)
    if not len(events):
        return [], []
    precision: list[float] = []
    recall: list[float] = []
    borders = [
        0,
        *[(int(a) + int(b) - 1) // 2 + 1 for a, b in zip(events[:-1, 1], events[1:, 0], strict=True)],
        len(true),
    ]
    for (start, end), low, high in zip(events, borders[:-1], borders[1:], strict=True):
        rows = np.arange(low, high)
        to_event = np.sort(np.maximum(np.maximum(start - rows, rows - (end - 1)), 0))
        alarms = low + np.flatnonzero(pred[low:high])
        if not len(alarms):
            recall.append(0.0)
            continue
        distance = np.maximum(np.maximum(start - alarms, alarms - (end - 1)), 0)
        precision.append(float(np.mean(1 - np.searchsorted(to_event, distance, side="left") / len(rows))))
        inside = np.arange(start, end)
        after = np.clip(np.searchsorted(alarms, inside), 0, len(alarms) - 1)
        before = np.clip(after - 1, 0, len(alarms) - 1)
        to_alarm = np.minimum(np.abs(alarms[after] - inside), np.abs(alarms[before] - inside))
        # Rows of the zone strictly nearer to the event's row than its nearest alarm, out of all rows of the zone.
        reach = np.maximum(to_alarm - 1, 0)
        nearer = np.minimum(inside + reach, high - 1) - np.maximum(inside - reach, low) + 1
        recall.append(float(np.mean(1 - np.where(to_alarm == 0, 0, nearer) / len(rows))))
    return precision, recall


def event_metrics(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    timestamps: ArrayLike | None = None,
    series: ArrayLike | None = None,
    hold_off: int = 0,
    alpha: float = 0.5,
) -> EventMetrics:
    """Compute all event metrics of one detector.

    Parameters
    ----------
    y_true, y_pred
        0/1 flags, shape (n,).
    timestamps
        Times, convertible to ``datetime64``, shape (n,). Rows are put in time order first; without timestamps they are
        taken as they come and figures in units of time are NaN.
    series
        Series id per row, shape (n,): events never cross from one series to the next; figures are pooled.
    hold_off
        Alarms at most this many rows apart count as one.
    alpha
        See `range_precision_recall`.

    Returns
    -------
    EventMetrics
        Metrics with no basis (no events, no alarms, no timestamps) are NaN, never a flattering 1.

    Raises
    ------
    DataError
        Flags that are not 0/1, lengths that differ, a missing timestamp.

    Examples
    --------
    >>> import numpy as np
    >>> hours = np.datetime64("2024-01-01") + np.arange(48) * np.timedelta64(1, "h")
    >>> truth = np.zeros(48); truth[10:14] = 1
    >>> alarm = np.zeros(48); alarm[[12, 30]] = 1
    >>> m = event_metrics(truth, alarm, timestamps=hours)
    >>> m.detected_share, m.delay_median_s, m.false_alarms, round(m.false_alarms_per_day, 2)
    (1.0, 7200.0, 1, 0.55)
    """
    true, pred = _pair(y_true, y_pred)
    precisions: list[float] = []
    recalls: list[float] = []
    zones_precision: list[float] = []
    zones_recall: list[float] = []
    delays: list[float] = []
    events = alarms = detected = false = 0
    normal_days = 0.0
    for rows, times in _per_series(len(true), timestamps, series):
        t, p = true[rows], pred[rows]
        true_ranges, pred_ranges = segments(t), segments(p, merge_gap=hold_off)
        events, alarms = events + len(true_ranges), alarms + len(pred_ranges)
        precisions += [_overlap_reward(r, true_ranges, "flat") for r in pred_ranges]
        for event in true_ranges:
            reward = _overlap_reward(event, pred_ranges, "flat")
            recalls.append(alpha * float(reward > 0) + (1 - alpha) * reward)
            hits = np.flatnonzero(p[event[0] : event[1]])
            detected += bool(len(hits))
            if len(hits) and times is not None:
                delays.append(float(times[event[0] + hits[0]] - times[event[0]]) / 1e6)
        in_zone, of_zone = _affiliation_zones(t, p)
        zones_precision, zones_recall = zones_precision + in_zone, zones_recall + of_zone
        false += sum(not t[a:b].any() for a, b in pred_ranges)
        if times is not None and len(times) > 1:
            normal_days += float(np.count_nonzero(~t) * np.median(np.diff(times))) / _DAY_US
    range_p, range_r = _mean(precisions), _mean(recalls)
    near_p, near_r = _mean(zones_precision), _mean(zones_recall)
    return EventMetrics(
        events=events,
        alarms=alarms,
        range_precision=range_p,
        range_recall=range_r,
        range_f1=_f1(range_p, range_r),
        affiliation_precision=near_p,
        affiliation_recall=near_r,
        affiliation_f1=_f1(near_p, near_r),
        detected_share=detected / events if events else float("nan"),
        delay_median_s=float(np.median(delays)) if delays else float("nan"),
        delay_max_s=max(delays, default=float("nan")),
        false_alarms=false,
        false_alarms_per_day=false / normal_days if normal_days > 0 else float("nan"),
    )


def _per_series(
    n: int, timestamps: ArrayLike | None, series: ArrayLike | None
) -> Iterator[tuple[NDArray[np.int64], FloatArray | None]]:
    """Yield row numbers in time order and their times in microseconds, series by series."""
    times: NDArray[Any] | None = None
    if timestamps is not None:
        times = np.asarray(timestamps, dtype="datetime64[us]")
        if times.shape != (n,):
            raise DataError(f"timestamps has shape {times.shape}, expected ({n},); pass one time per row")
        if np.isnat(times).any():
            raise DataError(
                "a timestamp is missing; drop the row or fill it", row=int(np.isnat(times).argmax()) + 1
            )
    ids = np.zeros(n, dtype=np.int64)
    if series is not None:
        labels = np.asarray(series).astype(str)
        if labels.shape != (n,):
            raise DataError(f"series has shape {labels.shape}, expected ({n},); pass one id per row")
        ids = np.unique(labels, return_inverse=True)[1].reshape(-1)
    for number in np.unique(ids):
        rows = np.flatnonzero(ids == number)
        if times is None:
            yield rows, None
        else:
            rows = rows[np.argsort(times[rows], kind="stable")]
            yield rows, times[rows].astype(np.int64).astype(np.float64)


def _flags(values: ArrayLike, name: str) -> NDArray[np.bool_]:
    array = np.asarray(values)
    if array.ndim != 1:
        raise DataError(f"{name} has shape {array.shape}, expected (n,); pass one flag per row")
    if array.dtype == np.bool_:
        return array
    numbers = array.astype(np.float64)
    wrong = ~((numbers == 0) | (numbers == 1))
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(f"{name} must be 0 or 1, found {array[row]!r}; set a threshold first", row=row + 1)
    on: NDArray[np.bool_] = numbers == 1
    return on


def _pair(y_true: ArrayLike, y_pred: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    true, pred = _flags(y_true, "y_true"), _flags(y_pred, "y_pred")
    if len(true) != len(pred):
        raise DataError(f"y_true has {len(true)} rows and y_pred {len(pred)}; pass the same rows to both")
    return true, pred


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _f1(precision: float, recall: float) -> float:
    if np.isnan(recall):
        return float("nan")
    if np.isnan(precision) or precision + recall == 0:
        return 0.0
    return 2 * precision * recall / (precision + recall)
