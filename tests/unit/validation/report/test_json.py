from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aihub.errors import InputError
from aihub.types import Outcome
from aihub.validation.report.json import read_json, render_json
from aihub.validation.report.schema import report_schema
from aihub.validation.results import Finding, ValidationReport

if TYPE_CHECKING:
    from collections.abc import Callable

PUBLISHED = Path(__file__).parents[4] / "schemas" / "validation-report.schema.json"
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def strict(text: str) -> Any:
    """Read JSON as a strict reader does: no NaN, no infinity."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_the_published_schema_is_the_one_in_the_code() -> None:
    expected = json.dumps(report_schema(), indent=2, ensure_ascii=False) + "\n"
    assert PUBLISHED.read_text(encoding="utf-8") == expected, (
        "aihub schema report > schemas/validation-report.schema.json"
    )


def test_reports_satisfy_the_schema(failed_report: ValidationReport, wide_report: ValidationReport) -> None:
    schema = report_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    for report in (failed_report, wide_report, replace(failed_report, checks_run=())):
        jsonschema.validate(strict(render_json(report)), schema)


def test_the_schema_refuses_another_outcome(failed_report: ValidationReport) -> None:
    document = strict(render_json(failed_report))
    document["results"][0]["outcome"] = "maybe"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, report_schema())


def test_the_guides_keys_are_at_the_top(failed_report: ValidationReport) -> None:
    document = strict(render_json(failed_report))
    assert document["passed"] is False
    assert document["failures"] == failed_report.failures
    assert document["checks"]["performance"]["metrics"]["mae"] == 96.4


def test_a_report_comes_back_equal(failed_report: ValidationReport) -> None:
    back = read_json(render_json(failed_report))
    assert back == failed_report
    assert str(back) == str(failed_report)
    assert back.passed is failed_report.passed


@settings(max_examples=100, deadline=None)
@given(VALUES, st.text())
def test_nothing_is_lost(failed_report: ValidationReport, value: Any, name: str) -> None:
    report = replace(
        failed_report, context={name: value, "numbers": [math.nan, math.inf, -math.inf, {"a/b~": math.nan}]}
    )
    text = render_json(report)
    strict(text)
    back = read_json(text)
    assert repr(back.context) == repr(report.context)
    assert render_json(back) == text


def test_numpy_dates_and_sets_become_json(failed_report: ValidationReport) -> None:
    finding = Finding(
        subject="mae",
        outcome=Outcome.FAILED,
        observed=np.float64("nan"),
        extra={
            "array": np.arange(2),
            "when": datetime(2026, 1, 1, tzinfo=UTC),
            "set": {"b", "a"},
            "path": Path("x"),
            "flag": np.True_,
        },
    )
    check = replace(failed_report.checks_run[0], findings=(finding,))
    document = strict(render_json(replace(failed_report, checks_run=(check,))))
    seen = document["results"][0]["findings"][0]
    assert seen["observed"] is None
    assert document["non_finite"] == {"/results/0/findings/0/observed": "nan"}
    assert seen["extra"] == {
        "array": [0, 1],
        "when": "2026-01-01T00:00:00Z",
        "set": ["a", "b"],
        "path": "x",
        "flag": True,
    }


def test_hostile_names_come_back(hostile: str, named_report: Callable[[str], ValidationReport]) -> None:
    report = named_report(hostile)
    text = render_json(report)
    text.encode()
    assert read_json(text) == report


def test_a_plain_mapping_is_written_in_the_envelope() -> None:
    document = strict(
        render_json(
            {"passed": True, "failures": [], "checks": {"performance": {"metrics": {"mae": math.nan}}}}
        )
    )
    assert document["passed"] is True
    assert document["checks"]["performance"]["metrics"]["mae"] is None
    assert document["schema_version"] == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "not JSON"),
        ("[]", "not a validation report"),
        ('{"passed": true}', "not a validation report"),
        ('{"kind": "aihub.validation-report", "results": [], "schema_version": 99}', "version 99"),
        ('{"kind": "aihub.validation-report", "results": [], "schema_version": 1}', "damaged"),
        (
            '{"kind": "aihub.validation-report", "results": [3], "schema_version": 1, "model_type": "forecast"}',
            "damaged",
        ),
        (
            '{"kind": "aihub.validation-report", "results": [], "schema_version": 1, "non_finite": {"/x/0": "nan"}}',
            "damaged",
        ),
        (
            '{"kind": "aihub.validation-report", "results": [], "schema_version": 1, "non_finite": 3}',
            "damaged",
        ),
    ],
)
def test_what_is_no_report_is_refused(text: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        read_json(text)
