from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from aihub.types import Outcome
from aihub.validation.report.github import MAX_PER_KIND, command, render_annotations
from aihub.validation.results import Finding, ValidationReport

if TYPE_CHECKING:
    from collections.abc import Callable

LINE = re.compile(r"::(error|warning|notice)(?: ([^:]*))?::(.*)")


def decoded(text: str) -> str:
    return (
        text.replace("%2C", ",")
        .replace("%3A", ":")
        .replace("%0D", "\r")
        .replace("%0A", "\n")
        .replace("%25", "%")
    )


def test_what_stops_is_an_error_and_what_warns_a_warning(failed_report: ValidationReport) -> None:
    lines = render_annotations(failed_report, file="models/vic.yaml", line=3).splitlines()
    assert [line.split(" ")[0] for line in lines] == ["::error"] * 3 + ["::warning"] * 2
    assert lines[0].startswith(
        "::error title=Baseline comparison%3A mae,file=models/vic.yaml,line=3::mae is 8.31 %25 worse"
    )
    assert all(LINE.fullmatch(line) for line in lines)


def test_of_many_the_last_counts_the_rest(failed_report: ValidationReport) -> None:
    findings = tuple(Finding(subject=f"c{i}", outcome=Outcome.FAILED, message=f"m{i}") for i in range(25))
    report = replace(failed_report, checks_run=(replace(failed_report.check("champion"), findings=findings),))
    lines = render_annotations(report).splitlines()
    assert len(lines) == MAX_PER_KIND
    assert lines[-1] == "::error title=And more::16 more findings of this kind are in the report."


def test_a_gate_without_findings_still_says_so(failed_report: ValidationReport) -> None:
    text = render_annotations(replace(failed_report, checks_run=()))
    assert text.startswith("::error title=Gate failed::no check could be run")
    assert render_annotations({"passed": True, "failures": [], "checks": {}}) == ""


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_one_command_that_decodes_to_itself(text: str) -> None:
    line = command("error", text, file=text)
    assert "\n" not in line
    assert "\r" not in line
    found = re.fullmatch(r"::error file=([^:,]*)::(.*)", line, re.DOTALL)
    assert found is not None
    assert (decoded(found[1]), decoded(found[2])) == (text, text)


def test_hostile_names_add_no_command(hostile: str, named_report: Callable[[str], ValidationReport]) -> None:
    text = render_annotations(named_report(hostile))
    assert text.count("\n") == 1
    assert LINE.fullmatch(text.rstrip("\n"))
