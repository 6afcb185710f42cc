"""Reports: pure functions from a `ValidationReport` to the guide's text, JSON, Markdown, JUnit, annotations and HTML."""

from aihub.validation.report.files import FORMS, write_reports
from aihub.validation.report.github import render_annotations
from aihub.validation.report.html import render_html
from aihub.validation.report.json import read_json, render_json
from aihub.validation.report.junit import render_junit
from aihub.validation.report.markdown import render_markdown
from aihub.validation.report.schema import report_schema
from aihub.validation.report.text import render_text

__all__ = [
    "FORMS",
    "read_json",
    "render_annotations",
    "render_html",
    "render_json",
    "render_junit",
    "render_markdown",
    "render_text",
    "report_schema",
    "write_reports",
]
