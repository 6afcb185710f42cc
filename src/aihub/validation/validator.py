"""The guide's `ModelValidator`: one call from a model file and a table to a report."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aihub.errors import DataError, ValidationError
from aihub.types import ModelType, Severity
from aihub.validation import gate
from aihub.validation.checks.base import Subject
from aihub.validation.checks.baseline import baseline_result
from aihub.validation.checks.mean_drift import mean_drift_result
from aihub.validation.checks.performance import run_performance
from aihub.validation.checks.range import range_result
from aihub.validation.checks.stability import stability_result
from aihub.validation.frames import columns
from aihub.validation.results import CheckResult, ValidationReport
from aihub.validation.settings import resolve
from aihub.validation.subject import subject_of
from aihub.validation.vectors import floats

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from os import PathLike

    from aihub.types import Predictor
    from aihub.validation.profile import Profile

__all__ = ["ModelType", "ModelValidator", "ValidationError"]


class ModelValidator:
    """Validates models of one type against thresholds.

    Parameters
    ----------
    model_type
        ``"forecast"`` or ``"anomaly"``, as text or `ModelType`.
    thresholds
        ``{metric: {"max" | "min" | "max_vs_champion" | "min_vs_champion" | "max_vs_naive": number}}``; merged over the
        defaults per metric, None removes one.
    spec, tenant
        ``validation:`` sections of a spec file and of a tenant (see `aihub.validation.settings`); what the spec says
        wins over `thresholds`, which win over the tenant, which wins over the defaults.
    call
        A whole section of whoever calls, in place of `thresholds`.
    loader
        Function ``(path, *, trust) -> Predictor``; default is the one installed under ``aihub.model_loaders``.

    Raises
    ------
    ConfigError
        Unknown model type, metric, check or parameter (with the nearest name), or a limit that is no finite number.

    Examples
    --------
    >>> validator = ModelValidator("forecast", thresholds={"mae": {"max": 40.0}})
    >>> validator.thresholds["mae"], validator.thresholds["r2_score"]
    ({'max': 40.0}, {'min': 0.7})
    """

    def __init__(
        self,
        model_type: ModelType | str,
        thresholds: Mapping[str, Mapping[str, float] | None] | None = None,
        *,
        spec: Mapping[str, Any] | None = None,
        tenant: Mapping[str, Any] | None = None,
        call: Mapping[str, Any] | None = None,
        loader: Callable[..., Predictor] | None = None,
    ) -> None:
        said = {**(call or {}), **({"thresholds": thresholds} if thresholds else {})}
        self.settings = resolve(model_type, spec=spec, call=said, tenant=tenant)
        self.model_type = self.settings.model_type
        self.thresholds = {name: dict(limits) for name, limits in self.settings.thresholds().items()}
        self._loader = loader

    def validate_model(
        self,
        model_path: str | PathLike[str] | Predictor,
        validation_data: Any,
        target_column: str | None,
        baseline_metrics: Mapping[str, float] | None = None,
        training_data_stats: Mapping[str, Mapping[str, float]] | None = None,
        *,
        champion: Any = None,
        training_profile: Profile | bytes | str | PathLike[str] | None = None,
        reference: Any = None,
        history: Any = None,
        timestamps: str | None = None,
        series: str | None = None,
        season_steps: int | None = None,
        trust: bool = False,
        seed: int = 0,
        now: datetime | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> ValidationReport:
        """Load a model, let it predict `validation_data` and run every check.

        Parameters
        ----------
        model_path
            Path of a model file, or a predictor in memory.
        validation_data
            pandas, polars or Arrow table, a mapping of arrays, or the path of a CSV or Parquet file.
        target_column
            Column with the actual values; None where there are no labels (performance is then not checked).
        baseline_metrics
            Metrics of the previous model.
        training_data_stats
            ``{"column": {"mean": .., "std": ..}}`` of the training data.
        champion
            Path or predictor of the model in use, or its predictions of the same rows.
        training_profile
            Profile of the training data, its bytes or its path; default what the model carries.
        reference
            Table of reference rows, where they are at hand.
        history
            Table with the target's past, for models that look at it; default is the validation data itself.
        timestamps, series
            Column of time stamps, and of series ids; default what the model's configuration names.
        season_steps
            Steps of the seasonal naive forecast; default is one day, or the horizon where that is longer.
        trust
            Whether a pickle may name more than the allow-list; shown in the report.
        seed
            For checks that resample.
        now
            Time of the report; default is the clock.
        context
            Facts for the report (data fingerprint, notes of repairs); JSON-able.

        Raises
        ------
        ValidationError
            "Failed to load model: ..." or "Failed to generate predictions: ...".
        DataError
            The table cannot be used, is empty, or lacks a column that was named.
        """
        with subject_of(
            self.model_type,
            model_path,
            validation_data,
            target_column,
            loader=self._loader,
            baseline_metrics=baseline_metrics,
            training_stats=training_data_stats,
            champion=champion,
            training_profile=training_profile,
            reference=reference,
            history=history,
            timestamps=timestamps,
            series=series,
            season_steps=season_steps,
            trust=trust,
            seed=seed,
        ) as built:
            checks_run = gate.run_checks(built.subject, self.settings)
        given = dict(context or {})
        given["notes"] = [*built.context["notes"], *given.get("notes", ())]
        return ValidationReport(
            model_type=self.model_type,
            model_path=built.name,
            validation_timestamp=(now or datetime.now(UTC)).astimezone(UTC),
            validation_data_size=built.subject.n,
            checks_run=checks_run,
            settings=self.settings.provenance,
            context={**built.context, **given},
        )

    def generate_validation_report(
        self, results: Mapping[str, Any], output_path: str | PathLike[str] | None = None
    ) -> str:
        """Return the results as the guide's text; writes them as JSON where `output_path` is given.

        Raises
        ------
        DataError
            The file cannot be written.
        """
        from aihub.validation.report.text import render_text  # noqa: PLC0415 - a check alone needs no report

        if output_path is not None:
            from aihub.validation.report.json import render_json  # noqa: PLC0415 - as above

            path = Path(output_path)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(render_json(results) + "\n", encoding="utf-8")
            except OSError as error:
                raise DataError(
                    f"the report cannot be written: {error}. Give another path.", file=str(path)
                ) from error
        return render_text(results)

    def check_performance(self, y_true: Any, y_pred: Any) -> dict[str, Any]:
        """Hold the metrics of predictions against the thresholds.

        Returns
        -------
        dict
            ``passed``, ``metrics``, ``failures``; see `aihub.validation.metrics` for what is NaN and why.

        Raises
        ------
        DataError
            Not numbers, or of different lengths.
        """
        actual, predicted = _pair(y_true, y_pred)
        subject = Subject(model_type=self.model_type, features={}, y_true=actual, y_pred=predicted)
        return _plain(run_performance(subject, {"thresholds": self.thresholds}, Severity.FAIL))

    def check_baseline_comparison(
        self,
        current_metrics: Mapping[str, float],
        baseline_metrics: Mapping[str, float],
        tolerance: float = 0.05,
    ) -> dict[str, Any]:
        """Compare metrics with those of the previous model.

        Returns
        -------
        dict
            ``passed`` and ``comparisons``: per metric ``current``, ``baseline``, ``degradation_pct`` (positive is worse)
            and ``acceptable``.
        """
        return _plain(baseline_result(current_metrics, baseline_metrics, tolerance, Severity.FAIL))

    def check_data_drift(
        self, data: Any, training_stats: Mapping[str, Mapping[str, float]], threshold: float = 0.05
    ) -> dict[str, Any]:
        """Test each column's mean against the training mean and standard deviation by a z-test.

        Returns
        -------
        dict
            ``passed`` and ``drift_detected``: per column ``drift``, ``p_value`` and ``z_score``. A column that cannot be
            judged (``drift`` is None) is not passed.
        """
        return _plain(mean_drift_result(columns(data), training_stats, threshold, Severity.FAIL))

    def check_prediction_stability(self, predictions: Any, cv_threshold: float = 0.5) -> dict[str, Any]:
        """Hold the predictions' coefficient of variation against `cv_threshold`.

        Returns
        -------
        dict
            ``passed`` and ``coefficient_of_variation``: standard deviation over the absolute mean; infinite for a mean
            of zero, NaN (not passed) for predictions that are missing, not finite or all zero.
        """
        return _plain(stability_result(floats(predictions, "predictions"), cv_threshold, Severity.FAIL))

    def check_prediction_range(
        self, y_true: Any, y_pred: Any, outlier_threshold: float = 3.0
    ) -> dict[str, Any]:
        """Count predictions more than `outlier_threshold` standard deviations of the targets from their mean.

        Returns
        -------
        dict
            ``passed`` (less than 5 %) and ``outlier_percentage``.
        """
        actual, predicted = _pair(y_true, y_pred)
        return _plain(range_result(actual, predicted, outlier_threshold, 5.0, Severity.FAIL))


def _pair(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    actual, predicted = floats(y_true, "y_true"), floats(y_pred, "y_pred")
    if len(actual) != len(predicted):
        raise DataError(
            f"{len(actual)} targets but {len(predicted)} predictions; give one prediction per row"
        )
    return actual, predicted


def _plain(result: CheckResult) -> dict[str, Any]:
    """Give the guide's mapping of one check."""
    return {**result.details, "passed": bool(result.outcome == "passed")}
