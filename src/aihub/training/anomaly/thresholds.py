"""Where a probability becomes an alarm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from aihub.types import FloatArray

PRECISION_FLOOR = 0.8
RECALL_FLOOR = 0.75
_FLAT = 0.1
_EVEN_EPISODES = 20


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """A score from which a row is an alarm, and what it reached on held-out time.

    Attributes
    ----------
    rule
        ``floors``: best F1 among the thresholds that keep both floors; ``best_f1``: no threshold keeps both.
    """

    value: float
    precision: float
    recall: float
    rule: str

    def to_state(self) -> dict[str, Any]:
        """Return JSON-able values for `from_state`."""
        return {"value": self.value, "precision": self.precision, "recall": self.recall, "rule": self.rule}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Threshold:
        """Inverse of `to_state`."""
        return cls(**state)


def episodes(label: FloatArray, series: NDArray[np.str_]) -> int:
    """Count the runs of ones; rows in time order, series may alternate.

    Examples
    --------
    >>> episodes(np.array([1.0, 1, 0, 1]), np.array(["a"] * 4))
    2
    """
    order = np.argsort(series, kind="stable")
    on, owner = label[order] > 0, series[order]
    is_start = on & ~(np.append(False, on[:-1]) & np.append(False, owner[1:] == owner[:-1]))
    return int(is_start.sum())


def choose_threshold(
    score: FloatArray,
    label: FloatArray,
    *,
    episodes: int,
    precision_floor: float = PRECISION_FLOOR,
    recall_floor: float = RECALL_FLOOR,
) -> Threshold:
    """Choose the threshold that is farthest from failing, as far as held-out scores tell.

    Held-out time cannot tell apart the thresholds that keep both floors with nearly the best F1. Of this range the middle
    in log-odds is taken: the widest margin to lost precision on one side and to lost recall on the other, as anomalies of
    a new kind score lower than those that were learned from, and normal rows of a new season higher. The range hangs on
    its rarest rows, whose number is that of the episodes rather than of the rows; so the middle is drawn towards even odds,
    where the classifier itself decides, as if that had been seen on 20 episodes. It never leaves the range.

    Parameters
    ----------
    score, label
        Held-out raw probabilities and 0/1 labels, shape (n,) each, with at least one 1.
    episodes
        Runs of ones that the label holds; see `episodes`.
    precision_floor, recall_floor
        What the gate will ask for.

    Returns
    -------
    Threshold
        ``floors``, or ``best_f1`` where no threshold keeps both floors. F1 within 0.1 of the best; precision and recall are
        those of the threshold on the held-out rows.

    Examples
    --------
    >>> import numpy as np
    >>> t = choose_threshold(np.array([0.1, 0.2, 0.7, 0.9]), np.array([0.0, 0, 1, 1]), episodes=1)
    >>> round(t.value, 2), t.precision, t.recall, t.rule
    (0.5, 1.0, 1.0, 'floors')
    """
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    is_last = np.append(ordered[1:] != ordered[:-1], True)
    hits = np.cumsum(label[order])[is_last]
    alarms, levels = np.arange(1, len(score) + 1)[is_last], ordered[is_last]
    f1 = 2 * hits / (alarms + label.sum())
    keeps = (hits / alarms >= precision_floor) & (hits / label.sum() >= recall_floor)
    rated = np.where(keeps, f1, -1.0) if keeps.any() else f1
    best, value = _widest(levels, np.flatnonzero(rated >= rated.max() - _FLAT), episodes)
    return Threshold(
        value=value,
        precision=float(hits[best] / alarms[best]),
        recall=float(hits[best] / label.sum()),
        rule="floors" if keeps.any() else "best_f1",
    )


def _widest(levels: FloatArray, good: NDArray[np.int64], episodes: int) -> tuple[int, float]:
    """Give the position among `levels` (falling) down to which rows are alarms, and a threshold that parts it from the next.

    `good` are the positions to choose from: the middle of their range in log-odds, drawn towards 0 where few episodes
    tell of it.
    """
    odds = _log_odds(levels)
    below = np.append(odds[1:], odds[-1] - 1)
    middles = (odds + below) / 2
    high, low = float(odds[good[0]]), float(middles[good[-1]])
    drawn = (high + low) / 2 * episodes / (episodes + _EVEN_EPISODES)
    wanted = min(max(drawn, low), high)
    gap = np.maximum(np.maximum(below[good] - wanted, wanted - odds[good]), 0.0)
    best = int(good[np.argmin(gap)])
    if not below[best] < wanted <= odds[best]:
        wanted = float(middles[best])
    value = min(1 / (1 + float(np.exp(-wanted))), float(levels[best]))
    is_parted = best + 1 == len(levels) or value > levels[best + 1]
    return best, value if is_parted else float(levels[best])


def _log_odds(p: FloatArray) -> FloatArray:
    clipped = np.clip(p, 1e-7, 1 - 1e-7)
    return np.asarray(np.log(clipped / (1 - clipped)))
