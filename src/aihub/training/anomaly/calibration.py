"""From a raw score to a probability, as small tables that are stored as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aihub.types import FloatArray

_ENOUGH_FOR_ISOTONIC = 60
"""Events of the rarer class from which the shape of the curve is learned instead of assumed."""
_RAW_SHARE = 1e-3
_TAIL_FROM = 0.9
_LARGEST = 1e12
_FAR = 8 / 0.6745
"""Medians of a statistic's size that are far: eight standard deviations of a normal one; an exponential reaches it with
a share of 0.0003, Student's t of three degrees with 0.003."""
_FAR_SHARE, _MOST_FAR = 0.01, 0.35


@dataclass(frozen=True)
class ProbabilityTable:
    """A non-decreasing map from a raw probability to a calibrated one, linear between its knots.

    Attributes
    ----------
    raw, calibrated
        Knots, shape (k,) each, both non-decreasing, in [0, 1].
    method
        ``isotonic`` (pool adjacent violators) or ``platt`` (logistic, with the prior of Platt 1999 for few events).
    """

    raw: FloatArray
    calibrated: FloatArray
    method: str

    def __call__(self, score: FloatArray) -> FloatArray:
        """Calibrate, shape (n,). A thousandth of the raw score stays in, so that no ranking is lost on flat pieces."""
        mapped = np.interp(score, self.raw, self.calibrated)
        return np.clip((1 - _RAW_SHARE) * mapped + _RAW_SHARE * score, 0.0, 1.0)

    @classmethod
    def fit(cls, score: FloatArray, label: FloatArray) -> ProbabilityTable:
        """Fit to held-out scores and 0/1 labels, both of shape (n,), with at least one row of each class.

        References
        ----------
        Platt, "Probabilistic outputs for support vector machines", 1999. Zadrozny and Elkan, "Transforming classifier
        scores into accurate multiclass probability estimates", KDD 2002.

        Examples
        --------
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> raw = rng.random(4000)
        >>> label = (rng.random(4000) < raw**2).astype(float)
        >>> bool(abs(ProbabilityTable.fit(raw, label)(np.array([0.5]))[0] - 0.25) < 0.06)
        True
        """
        rarer = min(label.sum(), len(label) - label.sum())
        if rarer >= _ENOUGH_FOR_ISOTONIC:
            return cls(*_isotonic(score, label), "isotonic")
        return cls(*_platt(score, label), "platt")

    def to_state(self) -> dict[str, Any]:
        """Return JSON-able values for `from_state`."""
        return {"raw": self.raw.tolist(), "calibrated": self.calibrated.tolist(), "method": self.method}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> ProbabilityTable:
        """Inverse of `to_state`."""
        return cls(
            np.asarray(state["raw"], float), np.asarray(state["calibrated"], float), str(state["method"])
        )


def _isotonic(score: FloatArray, label: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Pool adjacent violators; knots are the blocks' mean scores and their shares of ones (one pseudo-row each side)."""
    order = np.argsort(score, kind="stable")
    blocks: list[list[float]] = []  # sum of labels, sum of scores, rows
    for value, one in zip(score[order].tolist(), label[order].tolist(), strict=True):
        blocks.append([one, value, 1.0])
        while len(blocks) > 1 and blocks[-2][0] * blocks[-1][2] >= blocks[-1][0] * blocks[-2][2]:
            last = blocks.pop()
            blocks[-1] = [a + b for a, b in zip(blocks[-1], last, strict=True)]
    table = np.array(blocks)
    rate = (table[:, 0] + label.mean()) / (table[:, 2] + 1.0)
    return np.clip(table[:, 1] / table[:, 2], 0, 1), np.maximum.accumulate(rate)


def _platt(score: FloatArray, label: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Logistic regression on the log-odds by Newton's method, written down at 64 knots."""
    positive, negative = label.sum(), len(label) - label.sum()
    target = np.where(label > 0, (positive + 1) / (positive + 2), 1 / (negative + 2))
    logit = _logit(score)
    slope, offset = 1.0, 0.0
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(slope * logit + offset, -50, 50)))
        weight = np.maximum(p * (1 - p), 1e-9)
        error = p - target
        # A ridge towards the uncalibrated curve keeps separable scores finite.
        gradient = np.array([(error * logit).sum() + 0.1 * (slope - 1), error.sum() + 1e-3 * offset])
        cross = (weight * logit).sum()
        hessian = np.array([[(weight * logit**2).sum() + 0.1, cross], [cross, weight.sum() + 1e-3]])
        change = np.linalg.solve(hessian, gradient)
        slope, offset = max(slope - change[0], 1e-3), offset - change[1]
        if np.abs(change).max() < 1e-9:  # noqa: PLR2004 - far below what a probability shows
            break
    knots = 1 / (1 + np.exp(-np.linspace(-12, 12, 64)))
    return knots, 1 / (1 + np.exp(-np.clip(slope * _logit(knots) + offset, -50, 50)))


def _logit(p: FloatArray) -> FloatArray:
    clipped = np.clip(p, 1e-7, 1 - 1e-7)
    return np.asarray(np.log(clipped / (1 - clipped)))


@dataclass(frozen=True)
class TailTable:
    """How surprising a statistic is: ``-log`` of the share of normal rows that are at least as large.

    Empirical up to the 90 % quantile. Beyond, an exponential tail whose scale is the median excess: its slope does not
    see the last 5 % of the reference rows, so that a few per cent of anomalies among them do not teach it that anomalies
    are normal, and what lies beyond every reference row still gets a rank. Where more of them than heavy tails would
    explain are far out, as many as that are left out first.

    Attributes
    ----------
    knots, surprise
        Statistic and ``-log p`` at reference quantiles, shape (k,) each, non-decreasing.
    scale
        By how much the statistic grows where the tail falls by a factor e.
    """

    knots: FloatArray
    surprise: FloatArray
    scale: float

    @classmethod
    def fit(cls, reference: FloatArray) -> TailTable:
        """Fit to a statistic (not negative, higher is more unusual) of reference rows, shape (n,); NaN is left out.

        Examples
        --------
        >>> import numpy as np
        >>> waiting = np.random.default_rng(0).exponential(size=20_000)
        >>> TailTable.fit(waiting)(np.array([1.0, 5.0])).round(1).tolist()
        [1.0, 5.0]
        """
        values = _without_far(reference[np.isfinite(reference)])
        if not len(values):
            return cls(np.zeros(1), np.zeros(1), 1.0)
        shares = 1 - np.linspace(0.0, _TAIL_FROM, 65)
        knots = np.maximum.accumulate(np.quantile(values, 1 - shares))
        excess = values[values > knots[-1]] - knots[-1]
        scale = float(np.median(excess)) / np.log(2) if len(excess) else 0.0
        return cls(knots, -np.log(shares), max(scale, 1e-9 * max(1.0, float(knots[-1]))))

    def __call__(self, statistic: FloatArray) -> FloatArray:
        """Return ``-log p`` per row, shape (n,); NaN (nothing to judge) is 0."""
        x = np.nan_to_num(statistic, nan=0.0, posinf=_LARGEST)
        inside = np.interp(x, self.knots, self.surprise)
        beyond = self.surprise[-1] + np.minimum((x - self.knots[-1]) / self.scale, _LARGEST)
        return np.where(x > self.knots[-1], beyond, inside)

    def to_state(self) -> dict[str, Any]:
        """Return JSON-able values for `from_state`."""
        return {"knots": self.knots.tolist(), "surprise": self.surprise.tolist(), "scale": self.scale}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> TailTable:
        """Inverse of `to_state`."""
        return cls(
            np.asarray(state["knots"], float), np.asarray(state["surprise"], float), float(state["scale"])
        )


def _without_far(values: FloatArray) -> FloatArray:
    """Leave out as many of the largest as are far beyond what one in a hundred normal rows would be, at most 35 %.

    What is far is told by the median of the rest, which is why it is asked again until it stays.
    """
    ordered = np.sort(values)
    kept = len(ordered)
    for _ in range(10):
        limit = _FAR * np.median(ordered[:kept]) if kept else 0.0
        if limit <= 0:
            break
        far = float((ordered > limit).mean())
        left_out = min(max(far - _FAR_SHARE, 0.0), _MOST_FAR)
        now = len(ordered) - int(left_out * len(ordered))
        if now >= kept:
            break
        kept = now
    return ordered[:kept]
