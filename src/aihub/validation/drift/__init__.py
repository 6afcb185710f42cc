"""Drift: whether the data changed by more than nothing, and whether there is enough of it to tell.

Tables without a time axis: `compare_profiles`. Series: `SeriesReference` (one window), `SeriesMonitor` (look after
look). Only means and standard deviations: `mean_std_drift`. ``docs/explanation/drift.md`` says which runs when and why.
"""

from aihub.validation.drift.moments import mean_std_drift
from aihub.validation.drift.monitor import LookResult, SeriesMonitor
from aihub.validation.drift.multivariate import kernel_drift
from aihub.validation.drift.panel import compare_series, fit_references
from aihub.validation.drift.profiles import compare_profiles
from aihub.validation.drift.report import DriftReport, DriftSettings
from aihub.validation.drift.series import SeriesReference, SeriesSettings
from aihub.validation.drift.verdict import DriftResult

__all__ = [
    "DriftReport",
    "DriftResult",
    "DriftSettings",
    "LookResult",
    "SeriesMonitor",
    "SeriesReference",
    "SeriesSettings",
    "compare_profiles",
    "compare_series",
    "fit_references",
    "kernel_drift",
    "mean_std_drift",
]
