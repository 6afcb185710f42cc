"""Checks: one module per family, each exporting `CHECKS`; third parties add theirs by the group ``aihub.checks``."""

from __future__ import annotations

import importlib
from functools import cache
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
    """Return the checks that ship with the hub; imported when asked for, because a report alone needs none of them."""
    modules = (importlib.import_module(f"{__name__}.{family}") for family in FAMILIES)
    return tuple(check for module in modules for check in module.CHECKS)


@cache
def plugins() -> PluginSet[Check]:
    """Return every check that is installed; looked for once, as that reads a file of every installed package."""
    return PluginSet("check", "aihub.checks", builtins())
