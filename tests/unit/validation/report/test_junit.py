from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from aihub.validation.report.junit import render_junit

if TYPE_CHECKING:
    from collections.abc import Callable

    from aihub.validation.results import ValidationReport


def parsed(report: ValidationReport) -> ET.Element:
    return ET.fromstring(render_junit(report).encode())  # noqa: S314 - our own document


def test_one_case_per_finding_and_the_counts_agree(failed_report: ValidationReport) -> None:
    root = parsed(failed_report)
    cases = root.findall(".//testcase")
    assert len(cases) == 1 + sum(max(len(c.findings), 1) for c in failed_report.checks_run)
    assert int(root.attrib["tests"]) == len(cases)
    assert int(root.attrib["failures"]) == len(root.findall(".//failure")) == 4
    assert int(root.attrib["skipped"]) == len(root.findall(".//skipped")) == 1
    for suite in root.findall("testsuite"):
        assert int(suite.attrib["tests"]) == len(suite.findall("testcase"))
        assert int(suite.attrib["failures"]) == len(suite.findall(".//failure"))


def test_it_fails_exactly_when_the_gate_does(failed_report: ValidationReport) -> None:
    assert parsed(replace(failed_report, checks_run=())).findall(".//failure")
    passed = replace(
        failed_report, checks_run=(failed_report.check("performance"), failed_report.check("data_drift"))
    )
    assert passed.passed
    assert not parsed(passed).findall(".//failure")
    assert "warn: temperature moved" in render_junit(passed)


def test_a_failure_says_what_to_do(failed_report: ValidationReport) -> None:
    failure = parsed(failed_report).find(".//testcase[@name='mae ratio']/failure")
    assert failure is not None
    assert failure.attrib["type"] == "failed"
    assert "Next: Keep the champion" in (failure.text or "")
    assert "observed 1.0830, limit 1.0500" in (failure.text or "")


def test_hostile_names_are_well_formed(hostile: str, named_report: Callable[[str], ValidationReport]) -> None:
    assert len(parsed(named_report(hostile)).findall(".//testcase")) == 2


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_well_formed(named_report: Callable[[str], ValidationReport], text: str) -> None:
    assert len(parsed(named_report(text)).findall(".//testcase")) == 2
