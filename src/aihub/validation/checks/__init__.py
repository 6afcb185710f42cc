"""Checks: one module per family, each exporting `CHECKS`; third parties add theirs by the group ``aihub.checks``."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from aihub.plugins import PluginSet

if TYPE_CHECKING:
    from aihub.validation.checks.base import Check

FAMILIES = (
    "performance",
    "baseline",
    "data_drift",
    "stability",
    "range",
    "champion",
    "slices",
    "intervals",
    "leakage",
    "predictions",
    "skill",
    "budgets",
    "estimation",
)
"""Modules of this package, in the order in which a report shows their checks."""


def builtins() -> tuple[Check, ...]:
    """Return the checks that ship with the hub; imported on the first call, because a report alone needs none of them."""
    found: list[Check] = []
    for family in FAMILIES:
        try:
            module = importlib.import_module(f"{__name__}.{family}")
        except ModuleNotFoundError as error:
            if error.name != f"{__name__}.{family}":
                raise
            if family == "data_drift":
                from aihub.validation.checks.mean_drift import MEAN_DRIFT  # noqa: PLC0415

                found.append(MEAN_DRIFT)
            continue
        found += getattr(module, "CHECKS", ())
    return tuple(found)


def plugins() -> PluginSet[Check]:
    """Return every check that is installed."""
    return PluginSet("check", "aihub.checks", builtins())
