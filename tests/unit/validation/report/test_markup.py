from __future__ import annotations

import xml.etree.ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from aihub.validation.report.markup import Markup, element, join
from aihub.validation.report.wording import plain


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_text_comes_back_as_that_text(child: str, value: str) -> None:
    root = ET.fromstring(element("p", child, title=value))  # noqa: S314 - written by this test
    assert (root.text or "") == plain(child)
    assert root.attrib["title"] == plain(value)


@given(st.text())
def test_plain_text_is_one_safe_line_and_stays_so(text: str) -> None:
    shown = plain(text)
    assert len(shown.splitlines()) <= 1
    assert plain(shown) == shown
    shown.encode()


def test_only_markup_is_written_as_it_is() -> None:
    assert element("b", "<i>") == "<b>&lt;i&gt;</b>"
    assert element("b", element("i", "x")) == "<b><i>x</i></b>"
    assert join(["<", Markup("<"), None, ["&", 1.5, True]]) == "&lt;<&amp;1.5000yes"


def test_attributes() -> None:
    assert (
        element("details", open=True, hidden=False, id=None, data_x="1", class_="a")
        == '<details open data-x="1" class="a"></details>'
    )
    assert element("meta", charset="utf-8") == '<meta charset="utf-8">'
