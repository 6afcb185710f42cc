"""Drift of a series with a time axis: what is left after the season, ranked among reference windows of equal length."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.types import Drift
from aihub.validation.drift.blocks import MIN_BLOCKS, circular_block_bootstrap, conformal_p, tail_p, windows
from aihub.validation.drift.clock import DAY_S, WEEK_S, YEAR_S, local_seconds, median_step, utc_seconds
from aihub.validation.drift.held_out import long_run_variance, look_means, out_of_sample, robust_sd
from aihub.validation.drift.normal import normal_quantile
from aihub.validation.drift.seasonal import SeasonalModel, cell_width, fit_season, is_plausible
from aihub.validation.drift.spread import LocalSpread
from aihub.validation.drift.verdict import DriftResult, undecided

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from aihub.types import FloatArray

LOOK_S = 6 * 3600
"""Residuals are kept as means over six hours: the interval at which a deployment is looked at."""
_CLIP_SD = 4.0
"""A residual counts as at most this many standard deviations: one broken row is a fault, not a drift."""
_MIN_SPREAD = 0.25
"""Log ratio of the spreads that counts as nothing: a season fitted on more years leaves a little less."""
_LEVEL_SHARE = 0.9
"""Share of the error level spent on the level; the rest is spent on the spread."""


@dataclass(frozen=True, slots=True)
class SeriesSettings:
    """How sure, and what counts.

    Attributes
    ----------
    alpha
        Level of one window's test.
    min_effect
        Level shifts up to this many residual standard deviations are no drift.
    target
        Level shift that must be found with `power` before "ok" is said.
    """

    alpha: float = 0.05
    power: float = 0.8
    min_effect: float = 0.25
    target: float = 1.5


@dataclass(frozen=True, eq=False)
class SeriesReference:
    """All that is kept of a reference series: its season and its residuals in steps of six hours.

    Build it with `fit`; `to_dict` and `from_dict` carry it through JSON (about 25 kB for two hourly years).

    Attributes
    ----------
    season
        Fitted on the whole reference.
    scale
        Standard deviation of the out-of-sample residuals, in the column's unit, where `spread` is 1.
    spread
        How the residuals' standard deviation depends on the expected value.
    step_s, look_s
        Seconds between rows, and between two kept residual means.
    level, square
        Mean and mean square of the standardised residuals per look, shape (looks,), NaN where there were no rows. Each
        year's residuals come from a season fitted on the other years.
    fit_variance
        Variance of the season's own level error, which all later windows share, in squared residual sd.
    constant
        The one value of a reference that never varied, else None.
    """

    column: str
    season: SeasonalModel
    scale: float
    step_s: float
    look_s: float
    level: FloatArray
    square: FloatArray
    fit_variance: float
    rows: int
    time_zone: str = "UTC"
    covariates: tuple[str, ...] = ()
    constant: float | None = None
    years: float = field(default=0.0)
    spread: LocalSpread = field(default_factory=LocalSpread.flat)

    @classmethod
    def fit(
        cls,
        timestamps: NDArray[np.datetime64],
        values: FloatArray,
        *,
        column: str = "value",
        covariates: Mapping[str, FloatArray] | None = None,
        time_zone: str = "UTC",
    ) -> SeriesReference:
        """Learn the season and the size of what it leaves.

        Parameters
        ----------
        timestamps
            UTC, shape (n,), any order.
        values
            Shape (n,); NaN and infinite values are left out.
        covariates
            Columns that explain the series at the same time (weather), shape (n,) each.
        time_zone
            In which the hour of the week is read.

        Raises
        ------
        ValueError
            No row has a value, a stamp and every covariate.
        """
        names = tuple(covariates or ())
        utc = utc_seconds(timestamps)
        order = np.argsort(utc, kind="stable")
        utc, y = utc[order], np.asarray(values, dtype=np.float64)[order]
        x = (
            None
            if not names
            else np.stack([np.asarray((covariates or {})[c], np.float64)[order] for c in names], axis=1)
        )
        local = local_seconds(utc, time_zone)
        step = median_step(utc)
        step = step if math.isfinite(step) else 3600.0
        cell = cell_width(step)
        season = fit_season(utc, local, y, covariates=x, cell_s=cell)
        residual = out_of_sample(utc, local, y, x, season)
        noise = LocalSpread.of(y - residual, residual)
        if noise.matters:
            # Once more with weights: or the noise of the winter would set the error of the summer's level.
            relative = noise.at(season.predict(utc, local, x))
            season = fit_season(utc, local, y, covariates=x, cell_s=cell, spread=relative)
            residual = out_of_sample(utc, local, y, x, season, spread=relative)
            noise = LocalSpread.of(y - residual, residual)
        residual = residual / noise.at(y - residual)
        finite = np.isfinite(residual)
        used = y[np.isfinite(y)]
        constant = float(used[0]) if used.size and used.min() == used.max() else None
        spread = robust_sd(residual[finite])
        look = max(LOOK_S, step)
        first = math.floor(utc[0] / look)
        clipped = np.clip(residual / spread, -_CLIP_SD, _CLIP_SD) if spread > 0 else np.zeros_like(residual)
        level, square = look_means(utc, clipped, look, first)
        span = float(utc[np.isfinite(utc)].max() - utc[0]) / YEAR_S
        return cls(
            column=column,
            season=season,
            scale=spread,
            step_s=step,
            look_s=look,
            level=level,
            square=square,
            fit_variance=long_run_variance(level, round(4 * WEEK_S / look))
            / max(1, np.isfinite(level).sum()),
            rows=int(used.size),
            time_zone=time_zone,
            covariates=names,
            constant=constant,
            years=span,
            spread=noise,
        )

    def residuals(
        self,
        timestamps: NDArray[np.datetime64],
        values: FloatArray,
        covariates: Mapping[str, FloatArray] | None = None,
    ) -> FloatArray:
        """Give standardised, clipped residuals of new rows, shape (n,); NaN where nothing can be said.

        A covariate far outside its reference range (another unit, a broken sensor) leaves no residual.

        Raises
        ------
        KeyError
            A covariate of the reference is missing.
        """
        return self._split(timestamps, np.asarray(values, dtype=np.float64), covariates)[0]

    def _split(
        self,
        timestamps: NDArray[np.datetime64],
        values: FloatArray,
        covariates: Mapping[str, FloatArray] | None,
    ) -> tuple[FloatArray, FloatArray]:
        """Residuals, and the standard deviation by which each was divided."""
        utc = utc_seconds(timestamps)
        local = local_seconds(utc, self.time_zone)
        x = None
        if self.covariates:
            given = covariates or {}
            x = np.stack([np.asarray(given[name], dtype=np.float64) for name in self.covariates], axis=1)
        known = np.isfinite(utc)
        if x is not None:
            known &= is_plausible(x, self.season.knots)
        expected = np.full(utc.shape, np.nan)
        expected[known] = self.season.predict(utc[known], local[known], None if x is None else x[known])
        unit = self.scale * self.spread.at(expected)
        if not self.scale > 0:
            return np.full(utc.shape, np.nan), unit
        return np.clip((values - expected) / unit, -_CLIP_SD, _CLIP_SD), unit

    def test(
        self,
        timestamps: NDArray[np.datetime64],
        values: FloatArray,
        *,
        covariates: Mapping[str, FloatArray] | None = None,
        settings: SeriesSettings | None = None,
        seed: int = 0,
    ) -> DriftResult:
        """Test whether one window's level or spread is unusual among reference windows of its length.

        The score of a window is its mean residual (and the log of its residual standard deviation); the p-value is the
        rank among the non-overlapping reference windows, or the share of circular block bootstrap windows beyond it
        where fewer than 20 fit into the reference. Assumes that a year without drift looks like the reference years
        after the season is off: windows exchangeable, no trend. Null false-alarm rate of weekly windows at 0.05,
        measured in ``benchmarks/drift.py`` on 30 two-year references with AR(0.97) weather: 0.040 of 1,560 windows.

        Parameters
        ----------
        timestamps, values, covariates
            The window's rows, in any order.
        settings
            Level and effects.
        seed
            Of the bootstrap.

        Returns
        -------
        DriftResult
            Effect in residual standard deviations.

        Examples
        --------
        >>> rng = np.random.default_rng(0)
        >>> hours = np.arange(2 * 8766).astype("timedelta64[h]") + np.datetime64("2022-01-01")
        >>> load = 100 + 20 * np.sin(np.arange(hours.size) * 2 * np.pi / 24) + rng.normal(0, 3, hours.size)
        >>> reference = SeriesReference.fit(hours, load)
        >>> week = slice(1000, 1168)
        >>> str(reference.test(hours[week], load[week]).verdict), str(reference.test(hours[week], load[week] + 5).verdict)
        ('ok', 'drift')
        """
        settings = settings or SeriesSettings()
        y = np.asarray(values, dtype=np.float64)
        finite = y[np.isfinite(y)]
        if finite.size == 0:
            return self._undecided(0, "no usable value in the window")
        if self.constant is not None:
            return self._against_constant(finite)
        residual, unit = self._split(timestamps, y, covariates)
        utc = utc_seconds(timestamps)
        seen = np.isfinite(residual)
        if not seen.any():
            return self._undecided(0, "no residual could be computed; a covariate is missing throughout")
        looks = max(1, round((utc[seen].max() - utc[seen].min() + self.step_s) / self.look_s))
        typical = float(unit[seen].mean())
        return self._judge(residual[seen], looks, settings, np.random.default_rng(seed), unit=typical)

    def _judge(
        self,
        residual: FloatArray,
        looks: int,
        settings: SeriesSettings,
        rng: np.random.Generator,
        *,
        unit: float,
    ) -> DriftResult:
        levels, spreads, is_ranked = self._scores(looks, rng)
        if levels.size < 5:  # noqa: PLR2004 - no idea of how such windows vary
            return self._undecided(residual.size, "the reference is too short for windows of this length")
        level = float(residual.mean())
        spread = 0.5 * math.log(max(float(residual.var()), 1e-12)) - float(np.median(spreads))
        about = spreads - np.median(spreads)
        p_level = conformal_p(np.abs(levels), abs(level))
        if p_level * (levels.size + 1) < 1.5 and is_ranked:  # noqa: PLR2004 - beyond every reference window
            p_level = min(p_level, tail_p(levels, level))
        p_spread = conformal_p(np.abs(about), abs(spread)) if looks > 1 and abs(spread) > _MIN_SPREAD else 1.0
        if p_spread * (levels.size + 1) < 1.5 and is_ranked:  # noqa: PLR2004 - as above
            p_spread = min(p_spread, max(tail_p(about, spread), 1e-6))
        by_level, by_spread = p_level / _LEVEL_SHARE, p_spread / (1 - _LEVEL_SHARE)
        p = min(1.0, by_level, by_spread)
        deviation = float(np.sqrt(np.mean(levels**2)))
        is_large = abs(level) > settings.min_effect or by_spread < by_level
        z = normal_quantile(1 - settings.alpha / 2) + normal_quantile(settings.power)
        needed = math.ceil(residual.size * (z * deviation / settings.target) ** 2)
        found = p <= settings.alpha and is_large
        verdict = Drift.DRIFT if found else Drift.NOT_ENOUGH_DATA if residual.size < needed else Drift.OK
        half = float(np.quantile(np.abs(levels), 1 - settings.alpha))
        what = "level" if by_level <= by_spread else "spread"
        return DriftResult(
            column=self.column,
            test="season-adjusted",
            verdict=verdict,
            statistic=level / deviation if deviation > 0 else float("nan"),
            effect=level,
            effect_low=level - half,
            effect_high=level + half,
            effect_unit="residual standard deviations",
            min_effect=settings.min_effect,
            p_value=p if is_large else 1.0,
            p_adjusted=p if is_large else 1.0,
            n_reference=self.rows,
            n_current=residual.size,
            n_needed=needed,
            explain={
                "p_level": p_level,
                "p_spread": p_spread,
                "spread_ratio": math.exp(spread),
                "level_shift": level * unit,
                "windows": float(levels.size),
            },
            note=f"{what}: {level * unit:+.4g} against the season, {level:+.2f} residual sd",
        )

    def _scores(self, looks: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray, bool]:
        cut, squares = windows(self.level, looks), windows(self.square, looks)
        covered = np.isfinite(cut).sum(axis=1) * 2 >= looks
        is_ranked = int(covered.sum()) >= MIN_BLOCKS
        shift: FloatArray | float = 0.0
        if is_ranked:
            cut, squares = cut[covered], squares[covered]
        else:
            known = np.isfinite(self.level)
            if known.sum() < 2 * WEEK_S / self.look_s:
                return np.empty(0), np.empty(0), False
            block = max(1, round((4 * WEEK_S if self.years > 1 else DAY_S * 4) / self.look_s))
            both = np.stack([self.level[known], self.square[known]])
            at = circular_block_bootstrap(
                np.arange(both.shape[1], dtype=np.float64), looks, block=block, draws=999, rng=rng
            )
            cut, squares = both[:, at.astype(np.intp)]
            shift = rng.normal(0.0, math.sqrt(self.fit_variance), 999)
        level = np.nanmean(cut, axis=1)
        spread = 0.5 * np.log(np.maximum(np.nanmean(squares, axis=1) - level**2, 1e-12))
        return level + shift, spread, is_ranked

    def _against_constant(self, finite: FloatArray) -> DriftResult:
        changed = float(np.mean(finite != self.constant))
        return DriftResult(
            column=self.column,
            test="constant",
            verdict=Drift.DRIFT if changed > 0 else Drift.OK,
            statistic=changed,
            effect=changed,
            effect_low=changed,
            effect_high=changed,
            effect_unit="share of rows that left the constant",
            min_effect=0.0,
            p_value=0.0 if changed > 0 else 1.0,
            p_adjusted=0.0 if changed > 0 else 1.0,
            n_reference=self.rows,
            n_current=finite.size,
            n_needed=1,
            note=f"always {self.constant:g} in the reference, {changed:.1%} of the rows are something else",
        )

    def _undecided(self, n: int, note: str) -> DriftResult:
        return undecided(self.column, "season-adjusted", n_reference=self.rows, n_current=n, note=note)

    def to_dict(self) -> dict[str, Any]:
        """Form for JSON; read back by `from_dict`."""
        from aihub.validation.drift.storage import reference_to_dict  # noqa: PLC0415 - storage imports this module

        return reference_to_dict(self)

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> SeriesReference:
        """Read what `to_dict` wrote.

        Raises
        ------
        ValueError
            Of another version, or a field is missing.
        """
        from aihub.validation.drift.storage import reference_from_dict  # noqa: PLC0415 - as above

        return reference_from_dict(form)
