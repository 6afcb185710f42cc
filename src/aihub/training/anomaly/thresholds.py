"""Where a probability becomes an alarm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aihub.types import FloatArray

PRECISION_FLOOR = 0.8
RECALL_FLOOR = 0.75
_FLAT = 0.02


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


def choose_threshold(
    score: FloatArray,
    label: FloatArray,
    *,
    precision_floor: float = PRECISION_FLOOR,
    recall_floor: float = RECALL_FLOOR,
) -> Threshold:
    """Choose the threshold with the best F1, among those that keep both floors where there are any.

    Parameters
    ----------
    score, label
        Held-out scores and 0/1 labels, shape (n,) each, with at least one 1.
    precision_floor, recall_floor
        What the gate will ask for.

    Returns
    -------
    Threshold
        F1 within 0.02 of the best. Its value lies halfway between two neighbouring scores, so that it does not hang on one row.

    Examples
    --------
    >>> import numpy as np
    >>> t = choose_threshold(np.array([0.1, 0.2, 0.7, 0.9]), np.array([0.0, 0, 1, 1]))
    >>> round(t.value, 2), t.precision, t.recall, t.rule
    (0.45, 1.0, 1.0, 'floors')
    """
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    hits = np.cumsum(label[order])
    is_last = np.append(ordered[1:] != ordered[:-1], True)
    alarms, hits, levels = np.arange(1, len(score) + 1)[is_last], hits[is_last], ordered[is_last]
    precision, recall = hits / alarms, hits / label.sum()
    f1 = 2 * hits / (alarms + label.sum())
    keeps = (precision >= precision_floor) & (recall >= recall_floor)
    rated = np.where(keeps, f1, -1.0) if keeps.any() else f1
    near_best = np.flatnonzero(rated >= rated.max() - _FLAT)
    # Held-out time cannot tell these thresholds apart. The lower part of them (in log-odds) travels best to new time:
    # anomalies of a kind that is new score lower than those that were learned from, normal rows hardly higher.
    odds = np.log(np.clip(levels, 1e-6, 1 - 1e-6) / (1 - np.clip(levels, 1e-6, 1 - 1e-6)))
    lower = 0.25 * odds[near_best[0]] + 0.75 * odds[near_best[-1]]
    best = int(near_best[np.argmin(np.abs(odds[near_best] - lower))])
    below = levels[best + 1] if best + 1 < len(levels) else 0.0
    return Threshold(
        value=float((levels[best] + below) / 2),
        precision=float(precision[best]),
        recall=float(recall[best]),
        rule="floors" if keeps.any() else "best_f1",
    )
