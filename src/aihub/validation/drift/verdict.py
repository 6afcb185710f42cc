"""What a drift test answers: one of three verdicts, with the effect behind it and the rows that would settle it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aihub.types import Drift

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftResult:
    """One hypothesis about one column.

    Attributes
    ----------
    column
        The column looked at.
    test
        ``distribution``, ``categories``, ``missing``, ``range``, ``new categories``, ``vanished categories``,
        ``schema``, ``level``, ``spread``, ``multivariate``.
    verdict
        Ok, drift, or not enough data.
    statistic
        The test's own statistic (D, chi-square, z, ...); NaN where none could be computed.
    effect, effect_low, effect_high
        Size of the change in the unit named by `effect_unit`, with an interval of the run's confidence.
    min_effect
        The largest effect that counts as nothing.
    p_value, p_adjusted
        P-value of the hypothesis "effect at most `min_effect`", alone and after Benjamini-Hochberg over the run.
    n_reference, n_current
        Rows (non-missing where the test is about values).
    n_needed
        Current rows that would find an effect of the run's target size with 80 % power; None where no number of
        current rows would do (the reference itself is too small) or where the question does not arise.
    explain
        Figures that explain and never decide: ``w1_sd``, ``psi``, ``js``, means.
    importance
        Share of the model's importance that the column carries, where known.
    note
        One clause for a person: what was seen.
    """

    column: str
    test: str
    verdict: Drift
    statistic: float
    effect: float
    effect_low: float
    effect_high: float
    effect_unit: str
    min_effect: float
    p_value: float
    p_adjusted: float
    n_reference: int
    n_current: int
    n_needed: int | None = None
    explain: Mapping[str, float] = field(default_factory=dict)
    importance: float | None = None
    note: str = ""


NAN = float("nan")


def measured(
    column: str,
    test: str,
    *,
    statistic: float,
    effect: tuple[float, float, float],
    unit: str,
    min_effect: float,
    p_value: float,
    rows: tuple[int, int],
    needed: int | None,
    note: str = "",
    explain: Mapping[str, float] | None = None,
) -> DriftResult:
    """Return the result of one test of many: `aihub.validation.drift.report.adjusted` gives the verdict.

    Parameters
    ----------
    effect
        With the ends of its interval.
    rows
        Of the reference and now.
    """
    return DriftResult(
        column=column,
        test=test,
        verdict=Drift.OK,
        statistic=statistic,
        effect=effect[0],
        effect_low=effect[1],
        effect_high=effect[2],
        effect_unit=unit,
        min_effect=min_effect,
        p_value=p_value,
        p_adjusted=p_value,
        n_reference=rows[0],
        n_current=rows[1],
        n_needed=needed,
        note=note,
        explain=explain or {},
    )


def undecided(
    column: str, test: str, *, n_reference: int, n_current: int, note: str, n_needed: int | None = None
) -> DriftResult:
    """Return the result of a test that could not be computed: never ok."""
    return _without_test(
        column,
        test,
        Drift.NOT_ENOUGH_DATA,
        p_value=NAN,
        n_reference=n_reference,
        n_current=n_current,
        note=note,
        n_needed=n_needed,
    )


def certain(column: str, test: str, *, n_reference: int = 0, n_current: int = 0, note: str) -> DriftResult:
    """Return drift that needs no statistics: a column gone, a type changed, a constant that is another constant."""
    return _without_test(
        column,
        test,
        Drift.DRIFT,
        p_value=0.0,
        n_reference=n_reference,
        n_current=n_current,
        note=note,
        n_needed=None,
    )


def _without_test(
    column: str,
    test: str,
    verdict: Drift,
    *,
    p_value: float,
    n_reference: int,
    n_current: int,
    note: str,
    n_needed: int | None,
) -> DriftResult:
    return DriftResult(
        column=column,
        test=test,
        verdict=verdict,
        statistic=NAN,
        effect=NAN,
        effect_low=NAN,
        effect_high=NAN,
        effect_unit="",
        min_effect=NAN,
        p_value=p_value,
        p_adjusted=p_value,
        n_reference=n_reference,
        n_current=n_current,
        n_needed=n_needed,
        note=note,
    )


_ORDER = (Drift.DRIFT, Drift.NOT_ENOUGH_DATA, Drift.OK)


def worst_drift(verdicts: Iterable[Drift]) -> Drift:
    """Return drift before not enough data before ok; nothing looked at is not enough data.

    >>> worst_drift([])
    <Drift.NOT_ENOUGH_DATA: 'not enough data'>
    """
    found = set(verdicts)
    return next((verdict for verdict in _ORDER if verdict in found), Drift.NOT_ENOUGH_DATA)
