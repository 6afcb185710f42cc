"""The form that each channel gives a notice. Pure; everything that came from outside is escaped for its channel."""

from __future__ import annotations

import json
import math
import re
from html import escape
from typing import TYPE_CHECKING, Any

from aihub.notify.message import Severity
from aihub.types import iso

if TYPE_CHECKING:
    from aihub.notify.message import Link, Notice

MARK = {Severity.INFO: "🔹", Severity.WARNING: "⚠️", Severity.CRITICAL: "🛑"}
COLOUR = {Severity.INFO: "#1a7f37", Severity.WARNING: "#9a6700", Severity.CRITICAL: "#b42318"}
_SLACK_FIELDS = 10
_SLACK_TEXT = 3000
"""Characters that Slack takes in a section's text, escaped as they are sent; a longer one is refused whole."""
_SLACK_LABEL, _SLACK_VALUE = 200, 1700
"""Together less than the 2000 of a field."""
_TEAMS_BYTES = 24_000
"""A message of Teams has 28 KB at most; what is around the facts needs some of it."""


def heading(notice: Notice) -> str:
    """Return the first line: how urgent, and what."""
    return f"{MARK[notice.severity]} {notice.title}"


def plain(notice: Notice) -> str:
    """Return the notice as text."""
    lines = [heading(notice), ""]
    lines += [notice.text, ""] if notice.text else []
    lines += [f"{label}: {value}" for label, value in notice.facts]
    lines += ["", *(f"{link.label}: {link.url}" for link in notice.links)] if notice.links else []
    return "\n".join([*lines, "", _origin(notice)])


def html(notice: Notice) -> str:
    """Return the notice as the HTML of a mail: one column, inline styles, nothing loaded from anywhere."""
    rows = "".join(
        f'<tr><td style="padding:4px 16px 4px 0;color:#57606a;vertical-align:top">{escape(label)}</td>'
        f'<td style="padding:4px 0">{escape(value)}</td></tr>'
        for label, value in notice.facts
    )
    links = "".join(_button(link) for link in notice.links)
    text = f'<p style="margin:0 0 12px">{escape(notice.text)}</p>' if notice.text else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(notice.title)}</title></head>"
        '<body style="font:15px/1.5 system-ui,sans-serif;color:#1f2328;background:#ffffff;margin:24px;max-width:640px">'
        f'<h1 style="font-size:19px;margin:0 0 12px;border-left:4px solid {COLOUR[notice.severity]};padding-left:10px">'
        f"{escape(heading(notice))}</h1>{text}"
        f'<table role="presentation" style="border-collapse:collapse;margin:0 0 16px">{rows}</table>{links}'
        f'<p style="color:#57606a;font-size:13px;margin-top:20px">{escape(_origin(notice))}</p></body></html>'
    )


def slack(notice: Notice) -> dict[str, Any]:
    """Return Block Kit: heading, text, facts in fields of ten, buttons."""
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": heading(notice)[:150], "emoji": True}}
    ]
    if notice.text:
        blocks.append({"type": "section", "text": _said(_mrkdwn(notice.text, _SLACK_TEXT))})
    facts = list(notice.facts)
    for start in range(0, len(facts), _SLACK_FIELDS):
        fields = [
            _said(f"*{_mrkdwn(label, _SLACK_LABEL)}:*\n{_mrkdwn(value, _SLACK_VALUE)}")
            for label, value in facts[start : start + _SLACK_FIELDS]
        ]
        blocks.append({"type": "section", "fields": fields})
    if notice.links:
        blocks.append({"type": "actions", "elements": [_slack_button(link) for link in notice.links[:5]]})
    blocks.append({"type": "context", "elements": [_said(_mrkdwn(_origin(notice)))]})
    # What a phone's lock screen and a screen reader get.
    return {"text": _mrkdwn(heading(notice)), "blocks": blocks}


def teams(notice: Notice) -> dict[str, Any]:
    """Return an Adaptive Card in the envelope that Teams' workflows take."""
    body: list[dict[str, Any]] = [
        {
            "type": "TextBlock",
            "text": _card(heading(notice)),
            "weight": "Bolder",
            "size": "Medium",
            "wrap": True,
            "color": {
                Severity.INFO: "Good",
                Severity.WARNING: "Warning",
                Severity.CRITICAL: "Attention",
            }[notice.severity],
        }
    ]
    if notice.text:
        body.append({"type": "TextBlock", "text": _card(notice.text), "wrap": True})
    if notice.facts:
        body.append({"type": "FactSet", "facts": _card_facts(notice)})
    body.append(
        {"type": "TextBlock", "text": _card(_origin(notice)), "isSubtle": True, "wrap": True, "size": "Small"}
    )
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
        "actions": [
            {"type": "Action.OpenUrl", "title": link.label, "url": link.url} for link in notice.links
        ],
    }
    attachment = {
        "contentType": "application/vnd.microsoft.card.adaptive",
        "contentUrl": None,
        "content": card,
    }
    return {"type": "message", "attachments": [attachment]}


def document(notice: Notice) -> bytes:
    """Return the notice as JSON for programs; the links that decide are left out, a program has a key of its own."""
    body = {
        "key": notice.key,
        "event": notice.event,
        "severity": notice.severity.value,
        "tenant": notice.tenant,
        "model": notice.model or None,
        "environment": notice.environment or None,
        "title": notice.title,
        "text": notice.text,
        "at": iso(notice.at),
        "facts": dict(notice.facts),
        "details": _finite(dict(notice.details)),
        "url": next((link.url for link in notice.links if not link.style), None),
    }
    return json.dumps(body, ensure_ascii=False, allow_nan=False, default=str).encode()


def _origin(notice: Notice) -> str:
    where = f", model {notice.model}" if notice.model else ""
    return f"AI Hub, tenant {notice.tenant}{where}, {notice.event}, {notice.at:%Y-%m-%d %H:%M} UTC"


def _button(link: Link) -> str:
    colour = {"primary": "#1a7f37", "danger": "#b42318"}.get(link.style, "#0b5cad")
    return (
        f'<a href="{escape(link.url, quote=True)}" style="display:inline-block;background:{colour};color:#ffffff;'
        f'text-decoration:none;padding:8px 14px;border-radius:6px;margin:0 8px 8px 0">{escape(link.label)}</a>'
    )


def _slack_button(link: Link) -> dict[str, Any]:
    button: dict[str, Any] = {
        "type": "button",
        "text": {"type": "plain_text", "text": link.label[:75]},
        "url": link.url,
    }
    return {**button, "style": link.style} if link.style else button


def _said(text: str) -> dict[str, Any]:
    """Return text in which Slack makes no links and mentions of its own accord."""
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _mrkdwn(text: str, limit: int = _SLACK_TEXT) -> str:
    """Escape the three characters that Slack reads as mark-up of links and mentions; cut what it would not take.

    >>> _mrkdwn("a <b> & c"), _mrkdwn("<<<<", 10)
    ('a &lt;b&gt; &amp; c', '&lt;&lt;…')
    """
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return escaped if len(escaped) <= limit else re.sub(r"&[a-z]*$", "", escaped[: limit - 1]) + "…"


def _card(text: str) -> str:
    r"""Keep Adaptive Cards from reading Markdown links out of what a user named something.

    >>> print(_card(r"[a](http://x) \[b\](http://x)"))
    \[a\](http://x) \\\[b\\\](http://x)
    """
    return re.sub(r"([\\\[\]])", r"\\\1", text)


def _card_facts(notice: Notice) -> list[dict[str, str]]:
    """Return as many facts as a card has room for, most important first."""
    facts, size = [], len(_card(notice.text).encode())
    for label, value in notice.facts:
        fact = {"title": _card(label), "value": _card(value)}
        size += len(json.dumps(fact, ensure_ascii=False).encode())
        if size > _TEAMS_BYTES:
            break
        facts.append(fact)
    return facts


def _finite(value: Any) -> Any:
    """Return `value` as JSON can say it: what is no finite number is null."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
