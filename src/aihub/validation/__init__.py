"""Validation: profiles, drift, checks, gate and reports. Pure: imports numpy and narwhals, nothing else eagerly.

The public names are loaded on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aihub.validation.checks.base import Check, Subject
    from aihub.validation.profile import Profile, ProfileSpec
    from aihub.validation.results import CheckResult, Finding, ValidationReport
    from aihub.validation.validator import ModelValidator

__all__ = [
    "Check",
    "CheckResult",
    "Finding",
    "ModelValidator",
    "Profile",
    "ProfileSpec",
    "Subject",
    "ValidationReport",
]

_HOMES = {
    "Check": "checks.base",
    "CheckResult": "results",
    "Finding": "results",
    "ModelValidator": "validator",
    "Profile": "profile",
    "ProfileSpec": "profile",
    "Subject": "checks.base",
    "ValidationReport": "results",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its home on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
