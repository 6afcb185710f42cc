"""The published JSON schema of a report (``schemas/validation-report.schema.json``)."""

from __future__ import annotations

from typing import Any

from aihub.types import ModelType, Outcome, Severity
from aihub.validation.report.json import KIND
from aihub.validation.results import SCHEMA_VERSION

_TEXT: dict[str, Any] = {"type": "string"}
_TEXTS: dict[str, Any] = {"type": "array", "items": _TEXT}
_FLAG: dict[str, Any] = {"type": "boolean"}
_VALUE: dict[str, Any] = {"type": ["number", "string", "boolean", "null"]}
_OPEN: dict[str, Any] = {"type": "object"}


def report_schema() -> dict[str, Any]:
    """Return the schema (JSON Schema 2020-12) that every ``report.json`` of this version satisfies."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:aihub:validation-report:{SCHEMA_VERSION}",
        "title": "AI Hub validation report",
        "description": "What one validation of one model on one table found. Unknown keys may be added within a version.",
        **_object(
            {
                "schema_version": {"const": SCHEMA_VERSION},
                "kind": {"const": KIND},
                "passed": {**_FLAG, "description": "Whether the gate is open."},
                "failures": {**_TEXTS, "description": "One sentence per finding that stops the gate."},
                "warnings": {
                    **_TEXTS,
                    "description": "One sentence per finding of a check at severity warn.",
                },
                "checks": {
                    "type": "object",
                    "description": "The mapping of each check that ran, by name.",
                    "additionalProperties": {
                        "type": "object",
                        "properties": {"passed": _FLAG},
                        "required": ["passed"],
                    },
                },
                "model_type": _enum(ModelType),
                "model_path": _TEXT,
                "validation_timestamp": {**_TEXT, "format": "date-time"},
                "validation_data_size": {"type": "integer", "minimum": 0, "description": "Rows validated."},
                "results": {"type": "array", "items": {"$ref": "#/$defs/result"}},
                "settings": {
                    **_OPEN,
                    "description": "Thresholds and parameters in force and where each came from.",
                },
                "context": {**_OPEN, "description": "What was compared with what, and what was repaired."},
                "non_finite": {
                    "type": "object",
                    "description": "JSON pointer of each null that stands for a number JSON cannot write.",
                    "additionalProperties": {"enum": ["nan", "inf", "-inf"]},
                },
            }
        ),
        "$defs": {"result": _result(), "finding": _finding()},
    }


def _result() -> dict[str, Any]:
    return _object(
        {
            "name": _TEXT,
            "outcome": _enum(Outcome),
            "severity": {**_enum(Severity), "description": "What not passing does to the gate."},
            "lets_through": _FLAG,
            "reason": {**_TEXT, "description": "Why the check exists, or why it was skipped."},
            "duration_s": {"type": "number", "minimum": 0},
            "findings": {"type": "array", "items": {"$ref": "#/$defs/finding"}},
            "details": _OPEN,
            "plots": {"type": "object", "additionalProperties": _OPEN},
        }
    )


def _finding() -> dict[str, Any]:
    return _object(
        {
            "subject": {**_TEXT, "description": "A metric, a column, a slice."},
            "outcome": _enum(Outcome),
            "observed": _VALUE,
            "limit": _VALUE,
            "message": _TEXT,
            "next_step": {**_TEXT, "description": "What to do about it; empty where nothing is to be done."},
            "extra": _OPEN,
        }
    )


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _enum(kind: type[ModelType | Outcome | Severity]) -> dict[str, Any]:
    return {"enum": [str(member) for member in kind]}
