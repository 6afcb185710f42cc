"""Whether the challenger is better than, as good as, or worse than the champion on the same rows, or nobody can tell.

Two models that predict the same rows make correlated errors, and errors of neighbouring hours resemble each other.
The fixed rule "MAE at most 5 % above the champion's" ignores both; the comparison here respects both.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.validation import longrun
from aihub.validation.paired import bootstrap_ratio, fieller, per_timestamp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aihub.types import FloatArray

POWER = 0.8
"""Probability with which the n named by `not enough data` shows an equal challenger to be within the margin."""


class Verdict(StrEnum):
    """What the comparison shows."""

    BETTER_OR_EQUIVALENT = "better or equivalent"
    """The challenger's loss is below (1 + margin) times the champion's, beyond doubt."""
    WORSE = "worse"
    """The challenger's loss is above the champion's beyond doubt, and not shown to be within the margin."""
    NOT_ENOUGH_DATA = "not enough data"
    """Neither is shown; `n_needed` says how many time steps would do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Champion against challenger on the same rows.

    Attributes
    ----------
    ratio, interval
        Challenger's loss over the champion's and its confidence interval, which decides the verdict. An infinite bound
        means that the data do not bound the ratio.
    bootstrap_interval
        The paired circular block bootstrap's interval of the same ratio: shown, never decisive (it is too narrow on
        short series). NaN where it was not computed.
    p_value
        Two-sided, of equal loss.
    n
        Time steps compared (rows of one timestamp count as one).
    n_needed
        Time steps that would show an equal challenger to be within the margin four times in five; None when the
        verdict is clear or cannot be extrapolated.
    dropped
        Rows left out because target, champion or timestamp is missing.
    unanswered
        Rows where the champion answers and the challenger does not. They are left out of the ratio, so a comparison
        with any of them flatters the challenger.
    """

    verdict: Verdict
    ratio: float
    interval: tuple[float, float]
    bootstrap_interval: tuple[float, float]
    p_value: float
    n: int
    n_needed: int | None
    margin: float
    level: float
    persistence: float
    degrees_of_freedom: float
    champion_loss: float
    challenger_loss: float
    dropped: int = 0
    unanswered: int = 0

    @property
    def next_step(self) -> str:
        """What would bring a verdict where there is none: a number of time steps, if it is one that can be had."""
        if self.n_needed is None or self.n_needed > _OUT_OF_REACH * max(self.n, 1000):
            return "the errors vary too much to tell the two apart: improve the model rather than wait for more rows"
        if (
            self.n_needed <= self.n + 1
        ):  # by their spread these rows should have done: they lie just on the edge
            return f"validate on more than these {self.n} time steps"
        return f"validate on at least {self.n_needed} time steps"


def compare_losses(
    champion: FloatArray,
    challenger: FloatArray,
    *,
    timestamps: NDArray[Any] | None = None,
    margin: float = 0.05,
    level: float = 0.9,
    resamples: int = 499,
    seed: int = 0,
) -> Comparison:
    """Compare two models by their losses per row.

    The confidence interval of the ratio is the set of ratios r at which the paired test does not reject
    "challenger's loss = r times champion's" (Fieller's theorem with the long-run covariance of `paired_tests`): it
    agrees with the test, and it keeps its coverage where the bootstrap's is too narrow. Upper bound at most
    1 + margin: better or equivalent. Otherwise lower bound above 1: worse. Otherwise not enough data.

    With the default 90 % interval each side errs at most 5 % of the time: an equal challenger is called worse, and one
    that is worse by exactly the margin is let through, in at most 5 % of cases (measured: see
    ``benchmarks/comparison.py``).

    Parameters
    ----------
    champion, challenger
        Losses (>= 0) of the same rows, shape (n,). A row with a non-finite loss of the champion is left out; one where
        only the challenger's is non-finite is counted as unanswered.
    timestamps
        ``datetime64`` per row; rows in any order, gaps allowed, several rows per timestamp are summed. None: the rows
        are in time order.
    margin
        Relative loss that is tolerated.
    level
        Two-sided level of the interval.
    resamples
        Bootstrap draws; 0 leaves the bootstrap out.

    Raises
    ------
    ValueError
        The arrays differ in length, or `margin` is negative, or `level` is not in (0, 1).

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> champion = np.abs(rng.normal(size=2000))
    >>> compare_losses(champion, 0.9 * champion).verdict.value
    'better or equivalent'
    >>> compare_losses(champion, 1.2 * champion).verdict.value
    'worse'
    >>> compare_losses(champion[:5], champion[5:10]).verdict.value
    'not enough data'
    """
    if len(champion) != len(challenger):
        raise ValueError(
            f"{len(champion)} losses of the champion, {len(challenger)} of the challenger: give both the same rows"
        )
    if margin < 0 or not 0 < level < 1:
        raise ValueError(f"margin {margin!r} must be >= 0 and level {level!r} in (0, 1)")
    known = np.isfinite(champion)
    if timestamps is not None:
        known &= ~np.isnat(timestamps)
    answered = np.isfinite(challenger)
    keep = known & answered
    n_known, rows = int(np.count_nonzero(known)), int(np.count_nonzero(keep))
    if rows < len(champion):
        champion, challenger = champion[keep], challenger[keep]
        timestamps = None if timestamps is None else timestamps[keep]
    counts = {"dropped": len(known) - n_known, "unanswered": n_known - rows}
    summed = per_timestamp(champion, challenger, timestamps)
    return _compare(summed, rows, counts, margin=margin, level=level, resamples=resamples, seed=seed)


def _compare(
    summed: tuple[FloatArray, FloatArray],
    rows: int,
    counts: dict[str, int],
    *,
    margin: float,
    level: float,
    resamples: int,
    seed: int,
) -> Comparison:
    from scipy.special import ndtri, stdtr, stdtrit  # noqa: PLC0415 - not paid by those who only import the package

    champion, challenger = summed
    n = len(champion)
    total_a, total_b = float(challenger.sum()), float(champion.sum())
    a, b = (total_a / n, total_b / n) if n else (float("nan"), float("nan"))
    interval, boot, p, needed = (0.0, float("inf")), (float("nan"), float("nan")), float("nan"), None
    persistence = freedom = float("nan")
    if n >= longrun.MIN_N:
        x, y = longrun.thin(challenger)[None], longrun.thin(champion)[None]
        how = longrun.choose(x - y)
        points = x.shape[1]
        v = [float(longrun.spectrum(p_, q_, how)[0]) / points for p_, q_ in ((x, x), (x, y), (y, y))]
        freedom, persistence = float(how.degrees_of_freedom[0]), float(how.persistence[0])
        t = float(stdtrit(freedom, 0.5 + level / 2))
        error = float(np.sqrt(max(float(longrun.spectrum(x - y, x - y, how)[0]), 0.0) / points))
        p = 1.0 if a == b else 0.0 if error == 0 else 2 * float(stdtr(freedom, -abs(a - b) / error))
        interval = (1.0, 1.0) if np.array_equal(x, y) else fieller((a, b), (v[0], v[1], v[2]), t)
        if b > 0 and margin > 0:
            steps = n * ((float(ndtri(0.5 + level / 2)) + float(ndtri(POWER))) * error / (margin * b)) ** 2
            needed = max(int(np.ceil(steps)), longrun.MIN_N) if np.isfinite(steps) else None
        if resamples and b > 0:
            rho = min(persistence, 0.95)
            block = int(np.clip(max(points ** (1 / 3), (1 + rho) / (1 - rho)), 1, max(points // 4, 1)))
            boot = bootstrap_ratio(y[0], x[0], block=block, level=level, resamples=resamples, seed=seed)
    verdict = _verdict(interval, margin)
    return Comparison(
        verdict=verdict,
        ratio=a / b if b > 0 else (1.0 if a == b else float("inf") if a > 0 else float("nan")),
        interval=interval,
        bootstrap_interval=boot,
        p_value=p,
        n=n,
        n_needed=None if verdict is not Verdict.NOT_ENOUGH_DATA else max(needed or 0, n + 1, longrun.MIN_N),
        margin=margin,
        level=level,
        persistence=persistence,
        degrees_of_freedom=freedom,
        champion_loss=total_b / rows if rows else float("nan"),
        challenger_loss=total_a / rows if rows else float("nan"),
        **counts,
    )


def _verdict(interval: tuple[float, float], margin: float) -> Verdict:
    lower, upper = interval
    if upper <= 1 + margin:
        return Verdict.BETTER_OR_EQUIVALENT
    return Verdict.WORSE if lower > 1 else Verdict.NOT_ENOUGH_DATA


_OUT_OF_REACH = 20
"""No one waits for so many times the rows that are there."""
LOSSES = ("absolute", "squared", "balanced")
"""Losses known by name: |error|, error squared, and |error| with both classes of a 0/1 target weighing the same."""


def row_losses(y_true: FloatArray, y_pred: FloatArray, loss: str = "absolute") -> FloatArray:
    """Loss of each row, shape (n,); NaN where target or prediction is not finite.

    Raises
    ------
    ValueError
        Unknown loss.
    """
    if loss not in LOSSES:
        raise ValueError(f"loss {loss!r} is not one of {', '.join(LOSSES)}")
    with np.errstate(invalid="ignore", over="ignore"):
        error = y_pred - y_true  # in place from here on: a million rows are 8 MB each time
        np.abs(error, out=error)
        if loss == "squared":
            np.square(error, out=error)
    if loss == "balanced":
        share = float(np.nanmean(y_true > 0)) if len(y_true) else 0.0
        if 0 < share < 1:
            error = error * np.where(y_true > 0, 0.5 / share, 0.5 / (1 - share))
    finite = np.isfinite(error)
    if not finite.all():
        error[~finite] = np.nan
    return np.asarray(error)


def compare(
    y_true: FloatArray,
    champion: FloatArray,
    challenger: FloatArray,
    *,
    loss: str = "absolute",
    timestamps: NDArray[Any] | None = None,
    margin: float = 0.05,
    level: float = 0.9,
    resamples: int = 499,
    seed: int = 0,
) -> Comparison:
    """Compare two models by their predictions of the same rows; see `compare_losses`.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.random.default_rng(0).normal(size=500)
    >>> compare(y, y + 0.5, y + 0.5).verdict.value
    'better or equivalent'
    """
    return compare_losses(
        row_losses(y_true, champion, loss),
        row_losses(y_true, challenger, loss),
        timestamps=timestamps,
        margin=margin,
        level=level,
        resamples=resamples,
        seed=seed,
    )
