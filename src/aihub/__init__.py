"""CI/CD for machine-learning models: train, validate, approve, deploy, watch and roll back.

The public names are loaded on first use, so that a script which needs one of them does not pay for the others.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aihub.client import Client
    from aihub.training.config import TrainingConfig
    from aihub.types import ModelType
    from aihub.validation.results import ValidationReport
    from aihub.validation.validator import ModelValidator

    __version__: str

__all__ = ["Client", "ModelType", "ModelValidator", "TrainingConfig", "ValidationReport", "__version__"]

_HOMES = {
    "Client": "aihub.client",
    "ModelType": "aihub.types",
    "ModelValidator": "aihub.validation.validator",
    "TrainingConfig": "aihub.training.config",
    "ValidationReport": "aihub.validation.results",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its home on first use (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 - 20 ms that only those pay who ask

        return version("aihub")
    if name not in _HOMES:
        raise AttributeError(f"module 'aihub' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
