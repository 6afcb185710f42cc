"""Many columns over one time axis: fit a reference for each, test each, adjust together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from aihub.validation.drift.report import DriftReport, DriftSettings, adjusted, weighted
from aihub.validation.drift.series import SeriesReference, SeriesSettings
from aihub.validation.drift.verdict import DriftResult, certain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from aihub.types import FloatArray


def fit_references(
    timestamps: NDArray[np.datetime64],
    columns: Mapping[str, FloatArray],
    *,
    covariates: tuple[str, ...] = (),
    time_zone: str = "UTC",
) -> dict[str, SeriesReference]:
    """Fit a `SeriesReference` for every numeric column that has a value.

    Parameters
    ----------
    timestamps
        UTC, shape (n,); rows of several series may share a stamp (the season is then that of their mean).
    columns
        Float64 columns of shape (n,); others are left out.
    covariates
        Columns that explain the others, such as the temperature explains the load; they are tested without.
    time_zone
        In which the hour of the week is read.
    """
    known = {
        name: values
        for name, values in columns.items()
        if np.asarray(values).dtype.kind == "f" and np.isfinite(values).any()
    }
    explaining = {name: known[name] for name in covariates if name in known}
    return {
        name: SeriesReference.fit(
            timestamps,
            values,
            column=name,
            covariates={} if name in explaining else explaining,
            time_zone=time_zone,
        )
        for name, values in known.items()
    }


def compare_series(
    references: Mapping[str, SeriesReference],
    timestamps: NDArray[np.datetime64],
    columns: Mapping[str, FloatArray],
    *,
    settings: SeriesSettings | None = None,
    importance: Mapping[str, float] | None = None,
    seed: int = 0,
) -> DriftReport:
    """Test one window of every column that has a reference, with one Benjamini-Hochberg adjustment.

    Parameters
    ----------
    references
        By column, of `fit_references`.
    timestamps, columns
        Rows of the window.
    settings
        Level and effects of each test; the level is that of the adjustment over all columns.
    importance
        Share of the model's importance per column.
    seed
        Of the bootstrap.

    Returns
    -------
    DriftReport
        A column that is missing is drift.
    """
    settings = settings or SeriesSettings()
    found: list[DriftResult] = []
    for name, reference in references.items():
        if name not in columns or any(cause not in columns for cause in reference.covariates):
            gone = next(c for c in (name, *reference.covariates) if c not in columns)
            found.append(
                certain(name, "schema", n_reference=reference.rows, note=f"the column {gone!r} is missing")
            )
            continue
        given = {cause: columns[cause] for cause in reference.covariates}
        found.append(
            reference.test(timestamps, columns[name], covariates=given, settings=settings, seed=seed)
        )
    decided = adjusted(weighted(found, importance), DriftSettings(alpha=settings.alpha, power=settings.power))
    return DriftReport(results=decided, settings=DriftSettings(alpha=settings.alpha, power=settings.power))
