"""Watch one series, look after look: incremental, serialisable, and honest about its false alarms over a year."""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from aihub.types import Drift
from aihub.validation.drift.blocks import MIN_BLOCKS, windows
from aihub.validation.drift.clock import WEEK_S, YEAR_S, utc_seconds
from aihub.validation.drift.cusum import Cusum, cusum_thresholds
from aihub.validation.drift.evidence import EProcess

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from aihub.types import FloatArray
    from aihub.validation.drift.series import SeriesReference

SHIFTS = (0.5, 1.0, 2.0, 4.0)
"""Level shifts that are to be found fastest, in residual standard deviations."""
_HALF = 0.5
"""A week counts when at least this share of its looks has rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookResult:
    """What one look says about everything seen so far.

    Attributes
    ----------
    verdict
        Drift once an alarm is raised (it stays until `SeriesMonitor.acknowledge`); not enough data while the reference
        is too short to set a threshold.
    method
        ``"cusum"``, ``"e-process"``, ``"constant"`` or empty.
    at_s
        End of the data seen, seconds since 1970 in UTC.
    since_s
        When the change seems to have begun, seconds since 1970; None without an alarm.
    shift
        Mean residual since then in residual standard deviations; NaN without an alarm.
    wealth
        Evidence of the e-process against "nothing has changed"; 1 is none.
    cusum
        Largest cumulative sum as a share of its threshold; an alarm above 1.
    """

    verdict: Drift
    method: str
    at_s: float
    since_s: float | None
    shift: float
    wealth: float
    cusum: float


@dataclass(slots=True)
class SeriesMonitor:
    """State of the watch over one series; `SeriesMonitor.start` sets it up.

    Two detectors share the false-alarm budget: a CUSUM on six-hourly residual means, whose threshold comes from
    bootstrapped reference years (fast), and an e-process on the ranks of whole weeks among reference weeks and the
    quiet weeks seen since (valid at every look; a look in the middle of a week adds no evidence, and so cannot do
    harm). Rows are taken in time order and once: those at or before `seen_s` are ignored, which makes a repeated
    delivery harmless. Assumes reference years without drift that look like those to come. False alarms per series-year
    at a budget of 0.05: measured in ``benchmarks/drift.py``.

    Attributes
    ----------
    cusum, evidence
        The two detectors.
    weeks
        Absolute mean residuals of the reference weeks and of every quiet week since, ascending.
    alpha
        The e-process alarms at a wealth of 1 / alpha; 0 switches it off.
    seen_s
        Last stamp taken in, seconds since 1970 in UTC.
    """

    cusum: Cusum
    evidence: EProcess
    weeks: list[float]
    alpha: float
    seen_s: float = -math.inf
    look: int | None = None
    look_sum: float = 0.0
    look_rows: int = 0
    week: int | None = None
    week_sum: float = 0.0
    week_looks: int = 0
    alarm: str = ""
    alarm_since_s: float | None = None
    alarm_shift: float = field(default=math.nan)

    @classmethod
    def start(
        cls,
        reference: SeriesReference,
        *,
        false_alarms_per_year: float = 0.05,
        shifts: Sequence[float] = SHIFTS,
        evidence_share: float = 0.4,
        seed: int = 0,
    ) -> SeriesMonitor:
        """Set up a watch.

        Parameters
        ----------
        reference
            Season and residuals of the time without drift.
        false_alarms_per_year
            Budget of both detectors together.
        shifts
            Level shifts, in residual standard deviations, that are to be found fastest.
        evidence_share
            Part of the budget for the e-process, 0 (off) to 1 (only it).
        seed
            Of the bootstrap behind the threshold.
        """
        if not 0 <= evidence_share <= 1:
            raise ValueError(
                f"evidence_share must lie between 0 and 1, got {evidence_share}; 0.4 is the default"
            )
        looks_per_year = round(YEAR_S / reference.look_s)
        budget = false_alarms_per_year * (1 - evidence_share)
        allowances = tuple(shift / 2 for shift in shifts)
        thresholds = (math.inf,) * len(allowances)
        if budget > 0 and reference.scale > 0:
            thresholds = cusum_thresholds(
                reference.level,
                looks_per_year=looks_per_year,
                allowances=allowances,
                false_alarms_per_year=budget,
                fit_variance=reference.fit_variance,
                rng=np.random.default_rng(seed),
            )
        cut = windows(reference.level, max(1, round(WEEK_S / reference.look_s)))
        full = cut[np.isfinite(cut).mean(axis=1) >= _HALF] if len(cut) else cut
        weeks = sorted(float(value) for value in np.abs(np.nanmean(full, axis=1))) if len(full) else []
        alpha = 1 - math.exp(-false_alarms_per_year * evidence_share) if len(weeks) >= MIN_BLOCKS else 0.0
        return cls(
            cusum=Cusum.fresh(allowances, thresholds), evidence=EProcess(horizon=52), weeks=weeks, alpha=alpha
        )

    def update(
        self,
        reference: SeriesReference,
        timestamps: NDArray[np.datetime64],
        values: FloatArray,
        *,
        covariates: Mapping[str, FloatArray] | None = None,
    ) -> LookResult:
        """Take in new rows and say what they show; changes the state.

        Parameters
        ----------
        reference
            The one the watch was started with.
        timestamps, values, covariates
            New rows, any number (also none), any order.

        Returns
        -------
        LookResult
        """
        utc = utc_seconds(timestamps)
        order = np.argsort(utc, kind="stable")
        order = order[utc[order] > self.seen_s]
        utc, y = utc[order], np.asarray(values, dtype=np.float64)[order]
        if utc.size:
            self.seen_s = float(np.nanmax(utc))
        if reference.constant is not None:
            moved = np.isfinite(y) & (y != reference.constant)
            if moved.any() and not self.alarm:
                self._raise("constant", float(utc[moved][0]), math.nan)
        elif utc.size:
            given = {name: np.asarray(x)[order] for name, x in (covariates or {}).items()}
            residual = reference.residuals(np.asarray(timestamps)[order], y, given)
            self._take(utc, residual, reference.look_s)
        return self._result(reference)

    def acknowledge(self) -> None:
        """Deal with an alarm: both detectors start again, the budget of the year with them."""
        self.alarm, self.alarm_since_s, self.alarm_shift = "", None, math.nan
        self.cusum, self.evidence = self.cusum.restarted(), EProcess(horizon=self.evidence.horizon)

    def _take(self, utc: FloatArray, residual: FloatArray, look_s: float) -> None:
        seen = np.isfinite(residual)
        look = np.floor(utc[seen] / look_s).astype(np.int64)
        for number, value in zip(look.tolist(), residual[seen].tolist(), strict=True):
            if self.look is not None and number != self.look:
                self._end_look(look_s)
            self.look = number
            self.look_sum += value
            self.look_rows += 1

    def _end_look(self, look_s: float) -> None:
        if self.look is None or not self.look_rows:
            return
        mean = self.look_sum / self.look_rows
        self.look_sum, self.look_rows = 0.0, 0
        self.cusum = self.cusum.update(mean)
        if self.cusum.is_alarm and not self.alarm:
            since = (self.look + 1 - self.cusum.onset) * look_s
            self._raise("cusum", since, self.cusum.shift)
        week = math.floor(self.look * look_s / WEEK_S)
        if self.week is not None and week != self.week:
            self._end_week(look_s)
        self.week = week
        self.week_sum += mean
        self.week_looks += 1

    def _end_week(self, look_s: float) -> None:
        half_full = self.week_looks >= _HALF * WEEK_S / look_s
        mean = self.week_sum / max(1, self.week_looks)
        self.week_sum, self.week_looks = 0.0, 0
        if not half_full or self.alpha <= 0 or self.week is None:
            return
        score = abs(mean)
        beyond = len(self.weeks) - bisect.bisect_left(self.weeks, score)
        self.evidence = self.evidence.update((1 + beyond) / (len(self.weeks) + 1))
        if self.evidence.wealth >= 1 / self.alpha and not self.alarm:
            self._raise("e-process", self.week * WEEK_S, mean)
        if not self.alarm:
            # The calibration set grows with every quiet week: ranks stay independent, as the e-process needs them.
            bisect.insort(self.weeks, score)

    def _raise(self, method: str, since_s: float, shift: float) -> None:
        self.alarm, self.alarm_since_s, self.alarm_shift = method, since_s, shift

    def _result(self, reference: SeriesReference) -> LookResult:
        is_blind = reference.constant is None and not (
            any(map(math.isfinite, self.cusum.thresholds)) or self.alpha > 0
        )
        verdict = Drift.DRIFT if self.alarm else Drift.NOT_ENOUGH_DATA if is_blind else Drift.OK
        return LookResult(
            verdict=verdict,
            method=self.alarm,
            at_s=self.seen_s,
            since_s=self.alarm_since_s,
            shift=self.alarm_shift,
            wealth=self.evidence.wealth,
            cusum=self.cusum.level,
        )
