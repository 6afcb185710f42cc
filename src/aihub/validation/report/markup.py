"""Elements of HTML, SVG and XML that are escaped by construction: only `Markup` is written as it is."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TypeAlias

from aihub.validation.report.wording import figure, plain

MAX_TEXT = 600
"""Characters of one piece of text; a column's name may be longer than the report."""


class Markup(str):
    """Text that is markup already. Made by `element` and `join` only."""

    __slots__ = ()


Child: TypeAlias = "Markup | str | float | bool | Iterable[Child] | None"

_VOID = frozenset({"meta", "br", "hr", "col"})


def text(value: object) -> Markup:
    """Return `value` escaped, on one line, without control characters."""
    if isinstance(value, Markup):
        return value
    shown = plain(value, MAX_TEXT) if isinstance(value, str) else figure(value)
    return Markup(escape(shown, quote=True))


def join(children: Iterable[Child]) -> Markup:
    """Return the children one after the other; None is left out."""
    return Markup("".join(_child(child) for child in children))


def _child(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, str) or not isinstance(child, Iterable):
        return text(child)
    return join(child)


def element(name: str, /, *children: Child, **attributes: object) -> Markup:
    """Return an element; names and attribute names are our own words, all else is escaped.

    ``class_`` and ``for_`` lose their underscore, any other underscore becomes a hyphen; an attribute that is None or
    False is left out, one that is True has no value.

    >>> element("td", "<b> & co", class_="name", colspan=2)
    '<td class="name" colspan="2">&lt;b&gt; &amp; co</td>'
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(children)}</{name}>")


def _attribute(key: str, value: object) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-") if key not in _CAMEL else _CAMEL[key]
    if value is True:
        return f" {name}"
    shown = f"{value:g}" if isinstance(value, float) else plain(value, 20_000)
    return f' {name}="{escape(shown, quote=True)}"'


# Attributes of SVG are case sensitive.
_CAMEL = {"view_box": "viewBox", "preserve_aspect_ratio": "preserveAspectRatio"}
