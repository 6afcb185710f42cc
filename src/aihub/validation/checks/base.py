"""What a check is: a name, a plain function over a `Subject`, its parameters, and one line on why it exists."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.types import ModelType, Severity
from aihub.validation.profile import Moments, Profile, finite_moments

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from aihub.types import FloatArray, Predictor
    from aihub.validation.results import CheckResult


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is validated, and everything it may be compared with. A check that misses something is skipped.

    Attributes
    ----------
    features
        The validation table's feature columns by name, without the target; numeric columns as float64 (missing is
        NaN), all others as object or string arrays, each of shape (n,).
    table
        Every column of the validation table in the same form, also target, timestamps and what the model never asks
        for; None where only the features are at hand.
    y_true, y_pred
        Target and prediction, shape (n,). `y_true` is None where the data has no labels.
    score
        Anomaly score in [0, 1], shape (n,).
    interval
        Lower bound, upper bound (shape (n,) each) and nominal level in (0, 1).
    timestamps
        UTC, ``datetime64[us]``, shape (n,).
    series
        Series id per row, shape (n,).
    baseline_metrics
        Metrics that the previous model promised or reached.
    champion_pred
        The champion's predictions of the same rows.
    training_stats
        The guide's ``{"column": {"mean": .., "std": ..}}``.
    training_profile
        Profile of the training table.
    reference
        Reference rows by column, same form as `features`, where they are at hand (small tables only).
    feature_importance
        Share of the model's gain per feature, sums to 1.
    predictor
        The model, to be asked again; takes the columns of `features` and `keys` that it names.
    keys
        Columns that say which row it is (time stamp in UTC, series id) by their names in the table.
    """

    model_type: ModelType
    features: Mapping[str, NDArray[Any]]
    y_pred: FloatArray
    y_true: FloatArray | None = None
    table: Mapping[str, NDArray[Any]] | None = None
    score: FloatArray | None = None
    interval: tuple[FloatArray, FloatArray, float] | None = None
    timestamps: NDArray[np.datetime64] | None = None
    series: NDArray[Any] | None = None
    baseline_metrics: Mapping[str, float] | None = None
    champion_pred: FloatArray | None = None
    training_stats: Mapping[str, Mapping[str, float]] | None = None
    training_profile: Profile | None = None
    reference: Mapping[str, NDArray[Any]] | None = None
    feature_importance: Mapping[str, float] | None = None
    predictor: Predictor | None = None
    keys: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    artifact_size_bytes: int | None = None
    time_zone: str = "UTC"
    horizon_steps: int | None = None
    season_steps: int | None = None
    seed: int = 0

    @property
    def n(self) -> int:
        """Rows validated."""
        return len(self.y_pred)

    @cached_property
    def profile(self) -> Profile:
        """Profile of the features, computed once for all checks that compare with `training_profile`."""
        return Profile.of(self.features, like=self.training_profile)

    @cached_property
    def target_moments(self) -> Moments:
        """Moments of the finite targets, which several checks look at; n is 0 without any."""
        return Moments() if self.y_true is None else finite_moments(self.y_true)

    @cached_property
    def answer_moments(self) -> Moments:
        """Moments of the finite predictions."""
        return finite_moments(self.y_pred)

    @cached_property
    def usable(self) -> NDArray[np.bool_]:
        """Rows with a finite target and a finite prediction, shape (n,); for reading only."""
        if self.y_true is None or len(self.y_true) != self.n:
            return np.zeros(self.n, dtype=bool)
        if self.target_moments.n == self.answer_moments.n == self.n:
            return np.ones(self.n, dtype=bool)
        return np.isfinite(self.y_true) & np.isfinite(self.y_pred)


@dataclass(frozen=True, kw_only=True)
class Check:
    """One kind of check; third parties add theirs through the entry-point group ``aihub.checks``.

    Attributes
    ----------
    run
        ``run(subject, parameters, severity) -> CheckResult``; pure, never raises for bad values in the data.
    parameters
        Defaults, all of them; unknown parameters in a spec are refused with the nearest name.
    severity
        Default severity, per model type where they differ.
    reason
        One line on why the check exists.
    is_default
        Whether the check runs without being asked for.
    """

    name: str
    run: Callable[[Subject, Mapping[str, Any], Severity], CheckResult]
    reason: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    severity: Severity | Mapping[ModelType, Severity] = Severity.FAIL
    is_default: bool = True

    def severity_for(self, model_type: ModelType) -> Severity:
        """Default severity for `model_type`."""
        return self.severity if isinstance(self.severity, Severity) else self.severity[model_type]
