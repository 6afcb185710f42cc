from __future__ import annotations

import base64
import hashlib
import re
import time
from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aihub.types import Outcome
from aihub.validation.report.html import MAX_BYTES, render_html
from aihub.validation.results import CheckResult, Finding, ValidationReport

if TYPE_CHECKING:
    from collections.abc import Callable

    Named = Callable[[str], ValidationReport]

VOID = {"meta", "br", "hr", "col"}


class Page(HTMLParser):
    """Tags, attributes and texts, and whether every element was closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"an attribute stands twice in <{tag}>"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def html(failed_report: ValidationReport) -> str:
    return render_html(failed_report)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_every_element_is_closed(page: Page) -> None:
    assert page.open == []


def test_nothing_runs_and_nothing_is_requested(html: str, page: Page) -> None:
    assert not page.all("script")
    assert not [
        tag for tag, _ in page.tags if tag in {"img", "link", "iframe", "object", "embed", "form", "base"}
    ]
    for tag, attributes in page.tags:
        assert not [
            name for name in attributes if name.startswith("on") or name in {"src", "srcset", "style"}
        ], tag
        assert (attributes.get("href") or "#").startswith("#")
    assert "http://" not in html
    assert "https://" not in html
    assert "url(" not in html
    assert "@import" not in html


def test_the_policy_allows_its_own_style_and_nothing_else(html: str, page: Page) -> None:
    policy = next(m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def test_it_can_be_read_by_ear_and_by_keyboard(page: Page) -> None:
    assert page.all("html")[0]["lang"] == "en"
    assert [len(page.all(tag)) for tag in ("header", "nav", "main", "footer", "h1")] == [1] * 5
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for attributes in page.all("svg"):
        if attributes.get("role") == "img":
            assert set((attributes["aria-labelledby"] or "").split()) <= set(ids)
        else:
            hidden = attributes.get("aria-hidden") == "true"
            assert (
                hidden or attributes.get("preserveaspectratio") == "none"
            )  # the area inside a labelled drawing
    assert len(page.all("caption")) == len(page.all("table"))
    assert {a["href"] for a in page.all("a")} <= {f"#{name}" for name in ids}


def test_the_page_says_what_matters(page: Page) -> None:
    text = " ".join(page.texts)
    for expected in (
        "Gate failed",
        "3 checks stop the model: baseline comparison, champion, slices.",
        "Keep the champion; compare the peak hours",
        "not enough data",
        "Predictions against what happened",
        "Mean absolute error by hour of day",
        "1.083 (1.031 to 1.142)",
        "hour=18",
        "performance.mae.max",
        "spec",
        "0123abcd",
        "the earlier of two rows of the same hour was kept",
        "the model gives no scores",
    ):
        assert expected in text, expected


def test_failures_come_before_everything_else(html: str) -> None:
    places = [html.index(f'id="{name}"') for name in ("next", "metrics", "checks", "settings", "context")]
    assert places == sorted(places)


def test_a_hundred_features_are_fast_and_small(wide_report: ValidationReport) -> None:
    report = wide_report
    render_html(report)
    started = time.process_time()
    html = render_html(report)
    assert time.process_time() - started < 0.5
    assert len(html.encode()) < MAX_BYTES
    assert len(Page(html).all("figure")) == 103


def test_ten_thousand_columns_stay_below_the_limit_and_keep_the_verdict(
    failed_report: ValidationReport,
) -> None:
    findings = tuple(
        Finding(
            subject=f"column {i} " + "x" * 400,
            outcome=Outcome.FAILED,
            message="moved " * 80,
            next_step="look " * 80,
        )
        for i in range(10_000)
    )
    report = failed_report
    drift = replace(report.check("data_drift"), findings=findings)
    html = render_html(replace(report, checks_run=(*report.checks_run, drift)))
    assert len(html.encode()) < MAX_BYTES
    assert "more findings are in report.json" in html


def test_hostile_names_stay_text(hostile: str, named_report: Named) -> None:
    html = render_html(named_report(hostile))
    page = Page(html)
    assert page.open == []
    plain_page = Page(render_html(named_report("name")))
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in plain_page.tags]
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069]", html)
    html.encode()


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=80))
def test_any_name_gives_the_same_elements(named_report: Named, name: str) -> None:
    page = Page(render_html(named_report(f"n{name}")))
    assert page.open == []
    assert not page.all("script")
    assert len(page.tags) == len(Page(render_html(named_report("n"))).tags)


def test_plots_that_are_not_understood_are_left_out(failed_report: ValidationReport) -> None:
    report = failed_report
    broken = {
        "unknown": {"kind": "pie"},
        "no list": {"kind": "series", "x": None, "lines": {}},
        "uneven": {"kind": "series", "x": [1, 2], "lines": {"y": [1]}},
        "text": {"kind": "histogram", "edges": ["a"], "reference": [], "current": []},
        "empty": {"kind": "bars", "labels": [], "values": []},
        "nothing": {"kind": "interval", "rows": []},
        "no mapping": 3,
        "huge": {"kind": "scatter", "x": [1e308, -1e308], "y": [1.0, 2.0]},
    }
    check = replace(report.checks_run[0], name="mine", plots=broken)
    assert "Gate" in render_html(replace(report, checks_run=(check,)))


def test_a_plain_mapping_and_an_empty_report_are_pages_too(failed_report: ValidationReport) -> None:
    assert "Gate failed" in render_html(
        {"passed": False, "failures": ["mae 55.0 exceeds 50.0"], "checks": {}}
    )
    empty = replace(failed_report, checks_run=(), settings={}, context={})
    assert "No check could show that the model is right" in render_html(empty)


def test_a_check_at_severity_warn_never_reads_failed(failed_report: ValidationReport) -> None:
    report = failed_report
    drift: CheckResult = report.check("data_drift")
    only: ValidationReport = replace(report, checks_run=(report.checks_run[0], drift))
    assert only.passed
    html = render_html(only)
    assert "Gate passed" in html
    assert 'class="badge failed"' not in html
    assert 'class="badge warning"' in html


def test_counts_of_a_classifier_are_a_table(failed_report: ValidationReport) -> None:
    counts = {"true_positives": 31, "false_positives": 7, "false_negatives": 5, "true_negatives": 1957}
    check = replace(failed_report.checks_run[0], details={"confusion": counts})
    text = " ".join(Page(render_html(replace(failed_report, checks_run=(check,)))).texts)
    assert "anomaly 31 5" in " ".join(text.split())
    assert "normal 7 1,957" in " ".join(text.split())


def test_what_was_set_stands_before_the_defaults(html: str) -> None:
    assert (
        html.index("performance.mae.max")
        < html.index("1 defaults in force")
        < html.index("baseline_comparison.tolerance")
    )


def test_a_tile_shows_the_metric_of_all_rows_also_where_its_limit_is_a_reference(
    named_report: Named,
) -> None:
    finding = Finding(
        subject="mae",
        outcome=Outcome.PASSED,
        observed=1005.78,
        limit=1192.9,
        message="",
        extra={"kind": "max_vs_naive"},
    )
    report = named_report("performance")
    checks = [
        replace(one, findings=(finding,), details={"metrics": {"mae": 1008.71}})
        if one.name == "performance"
        else one
        for one in report.checks_run
    ]
    said = Page(render_html(replace(report, checks_run=tuple(checks)))).texts
    assert "1,008.7" in said
    assert "1,005.8 where both answer" in said
