"""Settings of a gate: which checks, which thresholds, how severe, and who said so."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aihub.types import ModelType, Severity

DEFAULT_THRESHOLDS: dict[str, dict[str, dict[str, float]]] = {
    "forecast": {"mae": {"max": 50.0}, "rmse": {"max": 75.0}, "mape": {"max": 10.0}, "r2_score": {"min": 0.7}},
    "anomaly": {"precision": {"min": 0.8}, "recall": {"min": 0.75}, "f1_score": {"min": 0.77}, "auc_roc": {"min": 0.85}},
}


@dataclass(frozen=True)
class CheckSettings:
    """One check in force: its parameters and severity."""

    name: str
    severity: Severity
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class GateSettings:
    """Everything a gate needs to know beside the subject.

    Attributes
    ----------
    checks
        The checks to run, in order.
    provenance
        Dotted field -> {"value": .., "from": "spec" | "call" | "tenant" | "default"}, shown in the report.
    """

    model_type: ModelType
    checks: tuple[CheckSettings, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)


def resolve(
    model_type: ModelType | str,
    *,
    spec: Mapping[str, Any] | None = None,
    call: Mapping[str, Any] | None = None,
    tenant: Mapping[str, Any] | None = None,
) -> GateSettings:
    """Merge the ``validation:`` sections; the first of spec, call, tenant, defaults that says something wins.

    A section: ``{"thresholds": {metric: {"max"|"min"|"vs_champion"|"vs_naive": number}}, "checks": {name:
    {"enabled": bool, "severity": "fail"|"warn"|"info", <parameter>: value} | bool}}``.

    Raises
    ------
    ConfigError
        Unknown key, check, parameter or metric (with the nearest name), or a threshold that is not a finite number.
    """
    raise NotImplementedError
