"""All forms of a report at once, as texts or as files in a folder."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aihub.errors import InputError
from aihub.validation.report.html import render_html
from aihub.validation.report.json import render_json
from aihub.validation.report.junit import render_junit
from aihub.validation.report.markdown import render_markdown
from aihub.validation.report.text import render_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FORMS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "report.txt": lambda report: render_text(report) + "\n",
    "report.json": render_json,
    "report.md": render_markdown,
    "report.html": render_html,
    "junit.xml": render_junit,
}
"""File name and renderer of every form that is kept."""


def write_reports(report: Mapping[str, Any], directory: str | Path) -> dict[str, Path]:
    """Write every form of the report into `directory`, which is made where it is missing.

    A file appears whole or not at all, so that a killed run leaves no half report behind, and two runs that write into one
    folder at once do not get in each other's way.

    Returns
    -------
    dict
        File name to path.

    Raises
    ------
    InputError
        The folder cannot be made or written to.
    """
    folder = Path(directory)
    written: dict[str, Path] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, render in FORMS.items():
            text = render(report)
            partial = folder / f".{name}.{secrets.token_hex(8)}.partial"
            try:
                partial.write_text(text, encoding="utf-8", errors="backslashreplace")
                written[name] = partial.replace(folder / name)
            finally:
                partial.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot write the report to {str(folder)!r}: {error}; choose another folder"
        ) from error
    return written
