from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from aihub.types import Outcome
from aihub.validation.report.markdown import MARKER, MAX_BYTES, escaped, render_markdown
from aihub.validation.results import Finding, ValidationReport

if TYPE_CHECKING:
    from collections.abc import Callable


def test_the_verdict_comes_first_and_it_is_short(failed_report: ValidationReport) -> None:
    text = render_markdown(failed_report)
    lines = text.splitlines()
    assert lines[0] == MARKER
    assert lines[2] == "## ❌ Gate failed: vic-load.aihub"
    assert "**1 of 5 checks passed**, 3 stop the gate, 1 warns" in lines[4]
    assert len(text.encode()) < 4000
    assert (
        text.index("What to do next")
        < text.index("### Warnings")
        < text.index("| Metric |")
        < text.index("<details>")
    )
    assert "Keep the champion" in text


def test_every_row_of_a_table_has_the_same_columns(failed_report: ValidationReport) -> None:
    blocks = re.findall(r"(?:^\|.*\n)+", render_markdown(failed_report), re.MULTILINE)
    assert len(blocks) == 2
    for block in blocks:
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in block.splitlines()}) == 1


def test_a_long_report_fits_a_comment(failed_report: ValidationReport) -> None:
    findings = tuple(
        Finding(subject=f"c{i}", outcome=Outcome.FAILED, message="é" * 3000, next_step="ü" * 3000)
        for i in range(200)
    )
    check = replace(failed_report.check("champion"), findings=findings)
    many = tuple(replace(check, name=f"check {i} " + "é" * 900) for i in range(50))
    text = render_markdown(replace(failed_report, checks_run=many))
    assert len(text.encode()) <= MAX_BYTES
    assert text.startswith(f"{MARKER}\n\n## ❌ Gate failed")
    assert "full report" in text


def test_names_stay_text(hostile: str, named_report: Callable[[str], ValidationReport]) -> None:
    text = render_markdown(named_report(hostile))
    text.encode()
    outside = re.sub(r"</?(details|summary)>|<!-- aihub:validation-report -->", "", text)
    assert not re.search(r"(?<!\\)[<`]", outside)
    assert not re.search(r"@\w|://|www\.", outside)
    assert not re.search("[\x00-\x09\x0b-\x1f\u202a-\u202e\u2066-\u2069]", text)
    assert outside.count("\n") == render_markdown(named_report("name")).count("\n")


def test_markup_of_others_is_escaped() -> None:
    assert (
        escaped("**b** _i_ [l](u) ![i](u) ~~s~~ $x$ |")
        == r"\*\*b\*\* \_i\_ \[l\](u) \!\[i\](u) \~\~s\~\~ \$x\$ \|"
    )
    assert escaped("- list") == r"\- list"


def test_the_link_to_the_full_report_cannot_break_out(failed_report: ValidationReport) -> None:
    text = render_markdown(failed_report, report_url="https://ci.example/run?a=(1) <b>")
    assert "[Full report](https://ci.example/run?a=%281%29%20%3Cb%3E)" in text


def test_a_plain_mapping_is_enough() -> None:
    text = render_markdown({"passed": False, "failures": ["mae 55 > 50"], "checks": {}})
    assert "❌ Gate failed: model" in text
    assert r"- mae 55 \> 50" in text
