"""The report as one JSON document and back, without loss.

The document holds the guide's keys (``passed``, ``failures``, ``checks``, ...) and everything else a report has under
``results``, ``settings`` and ``context``. JSON has no NaN and no infinity: such a number is written as null, and
``non_finite`` says by JSON pointer (RFC 6901) what stood there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from aihub.errors import InputError
from aihub.types import ModelType, Outcome, Severity, iso
from aihub.validation.results import SCHEMA_VERSION, CheckResult, Finding, ValidationReport

KIND = "aihub.validation-report"
_FLOATS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def render_json(report: Mapping[str, Any], *, indent: int | None = 2) -> str:
    """Return the report as a JSON document.

    Parameters
    ----------
    report
        A `ValidationReport`; the guide's plain mapping is written as it is, in the same envelope.
    """
    non_finite: dict[str, str] = {}
    document = _plain(to_document(report), "", non_finite)
    document["non_finite"] = non_finite
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, indent=indent)
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate in a column's name: escaped, it survives the round trip
        return json.dumps(document, ensure_ascii=True, allow_nan=False, indent=indent)
    return text


def to_document(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document before numbers and other types are made fit for JSON."""
    envelope = {"schema_version": SCHEMA_VERSION, "kind": KIND}
    if not isinstance(report, ValidationReport):
        return {**envelope, **report}
    return {
        **envelope,
        **report,
        "warnings": report.warnings,
        "results": [_result(check) for check in report.checks_run],
        "settings": report.settings,
        "context": report.context,
    }


def _result(check: CheckResult) -> dict[str, Any]:
    return {
        "name": check.name,
        "outcome": str(check.outcome),
        "severity": str(check.severity),
        "lets_through": check.lets_through,
        "reason": check.reason,
        "duration_s": check.duration_s,
        "findings": [_finding(finding) for finding in check.findings],
        "details": check.details,
        "plots": check.plots,
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "subject": finding.subject,
        "outcome": str(finding.outcome),
        "observed": finding.observed,
        "limit": finding.limit,
        "message": finding.message,
        "next_step": finding.next_step,
        "extra": finding.extra,
    }


def read_json(text: str | bytes) -> ValidationReport:
    """Return the report that `render_json` wrote.

    Raises
    ------
    InputError
        The text is no JSON, no validation report, incomplete, or of a version this program does not know.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise InputError(f"this is not JSON ({error}); give a report.json that the hub wrote") from error
    if not isinstance(document, dict) or document.get("kind") != KIND or "results" not in document:
        raise InputError("this JSON is not a validation report; give a report.json that the hub wrote")
    version = document.get("schema_version")
    if version != SCHEMA_VERSION:
        raise InputError(
            f"the report has schema version {version!r} and this program reads version {SCHEMA_VERSION}; "
            "read it with the version of aihub that wrote it, or validate again"
        )
    try:
        for pointer, name in document.get("non_finite", {}).items():
            _put(document, pointer, _FLOATS[name])
        return _report(document)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise InputError(f"the report is incomplete or damaged ({error!r}); validate again") from error


def _report(document: dict[str, Any]) -> ValidationReport:
    return ValidationReport(
        model_type=ModelType(document["model_type"]),
        model_path=document["model_path"],
        validation_timestamp=datetime.fromisoformat(document["validation_timestamp"]),
        validation_data_size=document["validation_data_size"],
        checks_run=tuple(_read_result(result) for result in document["results"]),
        settings=document["settings"],
        context=document["context"],
    )


def _read_result(result: dict[str, Any]) -> CheckResult:
    fields = {key: result[key] for key in ("name", "reason", "duration_s", "details", "plots")}
    return CheckResult(
        outcome=Outcome(result["outcome"]),
        severity=Severity(result["severity"]),
        findings=tuple(
            Finding(**{**finding, "outcome": Outcome(finding["outcome"])}) for finding in result["findings"]
        ),
        **fields,
    )


def _put(document: Any, pointer: str, value: float) -> None:
    *path, last = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    for part in path:
        document = document[int(part)] if isinstance(document, list) else document[part]
    document[int(last) if isinstance(document, list) else last] = value


def _plain(value: Any, pointer: str, non_finite: dict[str, str]) -> Any:
    """Return `value` in JSON's own types and note where a number was not finite."""
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        non_finite[pointer] = str(float(value))
        return None
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{pointer}/{_token(key)}", non_finite) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        value = sorted(value, key=str)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(item, f"{pointer}/{i}", non_finite) for i, item in enumerate(value)]
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return _plain(value.tolist(), pointer, non_finite)
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, datetime):
        # Rows of a user's own table may have times without a zone; these stay as they are.
        return iso(value) if value.tzinfo else value.isoformat()
    return str(value)


def _token(key: object) -> str:
    return str(key).replace("~", "~0").replace("/", "~1")
