"""Settings of a gate: which checks, which thresholds, how severe, and who said so.

A ``validation:`` section (of a spec file, a call or a tenant) looks like this; every part may be left out::

    validation:
      thresholds:
        mae: {max: 40.0, max_vs_champion: 1.02, max_vs_naive: 0.9}
        skill: {min: 0.1}
      checks:
        prediction_stability: false
        data_drift: {severity: warn, threshold: 0.01}
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aihub.errors import ConfigError, did_you_mean
from aihub.types import ModelType, Severity
from aihub.validation.checks import plugins
from aihub.validation.checks.performance import LIMITS
from aihub.validation.metrics import CLASSIFICATION_METRICS, REGRESSION_METRICS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aihub.validation.checks.base import Check

DEFAULT_THRESHOLDS: Mapping[ModelType, Mapping[str, Mapping[str, float]]] = {
    ModelType.FORECAST: {
        "mae": {"max": 50.0},
        "rmse": {"max": 75.0},
        "mape": {"max": 10.0},
        "r2_score": {"min": 0.7},
    },
    ModelType.ANOMALY: {
        "precision": {"min": 0.8},
        "recall": {"min": 0.75},
        "f1_score": {"min": 0.77},
        "auc_roc": {"min": 0.85},
    },
}
"""The guide's thresholds. mae and rmse are in the unit of the target: set your own for your data."""

METRICS: Mapping[ModelType, tuple[str, ...]] = {
    ModelType.FORECAST: REGRESSION_METRICS,
    ModelType.ANOMALY: CLASSIFICATION_METRICS,
}

SOURCES = ("spec", "call", "tenant")
"""Who may say something, strongest first; then come the defaults of the model type."""

_SECTION = ("thresholds", "checks")
_OF_EVERY_CHECK = ("enabled", "severity")


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
        Dotted field -> ``{"value": .., "from": "spec" | "call" | "tenant" | "default"}``; JSON-able, for the report.
    """

    model_type: ModelType
    checks: tuple[CheckSettings, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def thresholds(self) -> Mapping[str, Mapping[str, float]]:
        """Limits per metric of the performance check; empty where it does not run."""
        return next((c.parameters["thresholds"] for c in self.checks if c.name == "performance"), {})


def resolve(
    model_type: ModelType | str,
    *,
    spec: Mapping[str, Any] | None = None,
    call: Mapping[str, Any] | None = None,
    tenant: Mapping[str, Any] | None = None,
    checks: Iterable[Check] | None = None,
) -> GateSettings:
    """Merge the ``validation:`` sections; the first of spec, call, tenant and defaults that says something wins.

    Thresholds merge per metric: ``{"mae": {"max": 40}}`` replaces the default of mae and keeps the others;
    ``{"mae": None}`` removes it.

    Parameters
    ----------
    checks
        The checks there are; default all that are installed.

    Raises
    ------
    ConfigError
        Unknown key, check, parameter, metric or limit (with the nearest name), or a limit that is no finite number.
    """
    kind = _model_type(model_type)
    known = {check.name: check for check in (plugins().all() if checks is None else checks)}
    given = [
        (source, section) for source, section in zip(SOURCES, (spec, call, tenant), strict=True) if section
    ]
    for source, section in given:
        # A spec says `validation:`, and that is where its author has to look.
        _validate("validation" if source == "spec" else source, section, kind, known)
    provenance: dict[str, Any] = {}
    chosen = []
    for check in known.values():
        settings = _check_settings(check, kind, given, provenance)
        if settings is not None:
            chosen.append(settings)
    return GateSettings(kind, tuple(chosen), provenance)


def _model_type(value: ModelType | str) -> ModelType:
    try:
        return ModelType(value)
    except ValueError as error:
        hint = did_you_mean(str(value), [str(kind) for kind in ModelType])
        raise ConfigError(f"unknown model_type {value!r}.{hint}", field="model_type") from error


def _check_settings(
    check: Check, kind: ModelType, given: Sequence[tuple[str, Mapping[str, Any]]], provenance: dict[str, Any]
) -> CheckSettings | None:
    """Return the settings of one check, or None where it is switched off; writes down where each value came from."""
    sections = [(source, _of_check(section, check.name)) for source, section in given]
    prefix = f"checks.{check.name}"

    def first(key: str, default: Any) -> Any:
        found = next(((source, s[key]) for source, s in sections if key in s), ("default", default))
        provenance[f"{prefix}.{key}"] = {"value": _json(found[1]), "from": found[0]}
        return found[1]

    is_named = any(section for _, section in sections)
    if not first("enabled", check.is_default or is_named):
        return None
    severity = Severity(first("severity", check.severity_for(kind)))
    parameters = {
        name: _thresholds(kind, given, provenance)
        if name == "thresholds" and check.name == "performance"
        else first(name, value)
        for name, value in check.parameters.items()
    }
    return CheckSettings(check.name, severity, parameters)


def _of_check(section: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    said = section.get("checks", {}).get(name, {})
    return {"enabled": said} if isinstance(said, bool) else said


def _thresholds(
    kind: ModelType, given: Sequence[tuple[str, Mapping[str, Any]]], provenance: dict[str, Any]
) -> dict[str, Mapping[str, float]]:
    sources = [(source, section.get("thresholds", {})) for source, section in given]
    sources.append(("default", DEFAULT_THRESHOLDS[kind]))
    merged: dict[str, Mapping[str, float]] = {}
    for metric in dict.fromkeys([*DEFAULT_THRESHOLDS[kind], *(m for _, t in sources for m in t)]):
        source, limits = next((source, table[metric]) for source, table in sources if metric in table)
        provenance[f"thresholds.{metric}"] = {"value": _json(limits), "from": source}
        if limits is not None:
            merged[metric] = {name: float(limit) for name, limit in limits.items()}
    return merged


def _validate(source: str, section: Mapping[str, Any], kind: ModelType, known: Mapping[str, Check]) -> None:
    _mapping(section, source)
    _known_keys(section, _SECTION, source)
    thresholds = _mapping(section.get("thresholds", {}), f"{source}.thresholds")
    for metric, limits in thresholds.items():
        _validate_limits(f"{source}.thresholds", metric, limits, METRICS[kind])
    checks = _mapping(section.get("checks", {}), f"{source}.checks")
    _known_keys(checks, known, f"{source}.checks")
    for name, said in checks.items():
        where = f"{source}.checks.{name}"
        if isinstance(said, bool):
            continue
        _mapping(said, where)
        allowed = [p for p in known[name].parameters if (name, p) != ("performance", "thresholds")]
        _known_keys(said, [*_OF_EVERY_CHECK, *allowed], where)
        for key, value in said.items():
            _validate_value(f"{where}.{key}", key, value, known[name].parameters.get(key))


def _validate_limits(where: str, metric: str, limits: Any, metrics: Sequence[str]) -> None:
    _known_keys({metric: limits}, metrics, where)
    if limits is None:
        return
    field_name = f"{where}.{metric}"
    _known_keys(_mapping(limits, field_name), LIMITS, field_name)
    if not limits:
        raise ConfigError(
            f"{field_name} has no limit; give 'max' or 'min', or null to remove it", field=field_name
        )
    for name, limit in limits.items():
        if not _is_number(limit):
            raise ConfigError(
                f"{field_name}.{name} is {limit!r}; give a finite number, because nothing passes any other limit",
                field=f"{field_name}.{name}",
            )


def _validate_value(where: str, key: str, value: Any, default: Any) -> None:
    """Refuse a value of another type than the default's."""
    if key == "severity" or key.startswith("severity_"):
        if value not in list(Severity):
            hint = did_you_mean(str(value), [str(kind) for kind in Severity])
            raise ConfigError(f"{where} is {value!r}, which is no severity.{hint}", field=where)
        return
    if key == "enabled" or isinstance(default, bool):
        if not isinstance(value, bool):
            raise ConfigError(f"{where} is {value!r}; give true or false", field=where)
    elif isinstance(default, int | float) and not _is_number(value):
        raise ConfigError(f"{where} is {value!r}; give a finite number such as {default}", field=where)


def _is_number(value: Any) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond every float
        return False


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where} is {value!r}; give a mapping", field=where)
    return value


def _known_keys(section: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    names = list(known)
    for key in section:
        if key not in names:
            raise ConfigError(
                f"unknown key {key!r} in {where}.{did_you_mean(str(key), names)}", field=f"{where}.{key}"
            )


def _json(value: Any) -> Any:
    """Copy with plain types."""
    if isinstance(value, Mapping):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json(item) for item in value]
    return str(value) if isinstance(value, Severity) else value
