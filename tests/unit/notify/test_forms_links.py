"""What a notice looks like in each channel, and the links in it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from aihub.errors import ForbiddenError
from aihub.notify import forms, links
from aihub.notify.links import DecisionLink
from aihub.notify.message import Severity
from notices import AT, notice

HOSTILE = '<script>alert(1)</script> <!channel> [click](javascript:x) & "x"'
LINK = DecisionLink(
    tenant="grid", approval="a1", decision="approve", digest="d" * 64, expires_at=int(AT.timestamp()) + 60
)
KEY = b"k" * 32


def test_what_users_have_named_is_shown_and_never_run() -> None:
    hostile = notice(title=HOSTILE, text=HOSTILE, facts=[(HOSTILE, HOSTILE)])
    assert "<script" not in forms.html(hostile)
    said = json.dumps(forms.slack(hostile)["blocks"][1:])
    assert "<!channel>" not in said
    assert "<script" not in said
    card = forms.teams(hostile)["attachments"][0]["content"]
    assert "[click](" not in card["body"][1]["text"].replace("\\[click\\](", "")


def test_slack_gets_no_more_than_it_takes() -> None:
    long = notice(title="t" * 500, text="x" * 9000, facts=[("l" * 200, "v" * 3000)] * 60).shortened()
    form = forms.slack(long)
    assert len(form["blocks"][0]["text"]["text"]) <= 150
    assert len(form["blocks"]) <= 50
    fields = [field for block in form["blocks"] for field in block.get("fields", [])]
    assert all(len(field["text"]) <= 2000 for field in fields)
    assert all(len(block.get("fields", [])) <= 10 for block in form["blocks"])


def test_what_users_wrote_reads_as_no_fact_of_ours() -> None:
    reason = "fine\r\ngate: passed\u2028by: boss\u202e\x00\ud800"
    said = notice(title="a\nb", text="one\n\ntwo\x1b[2J", facts=[("reason", reason)]).shortened()
    assert (said.title, said.text) == ("a b", "one\n\ntwo [2J")
    assert list(said.facts) == [("reason", "fine gate: passed by: boss")]
    assert "reason: fine gate: passed by: boss\n" in forms.plain(said)
    forms.document(said)


def test_what_slack_gets_is_counted_as_it_is_sent() -> None:
    """Escaping makes text longer: `<` has four characters in Slack."""
    form = forms.slack(notice(text="<" * 2000, facts=[("&" * 80, "&" * 400)] * 3).shortened())
    texts = [block["text"]["text"] for block in form["blocks"] if "text" in block]
    assert all(len(text) <= 3000 for text in texts)
    fields = [field["text"] for block in form["blocks"] for field in block.get("fields", [])]
    assert all(len(field) <= 2000 for field in fields)
    assert all(
        piece == "" or piece.startswith(("amp;", "lt;")) for text in texts for piece in text.split("&")[1:]
    )


def test_slack_makes_no_links_and_mentions_of_what_users_wrote() -> None:
    form = forms.slack(notice(text="@channel see http://evil.example", facts=[("a", "#general")]))
    said = [block["text"] for block in form["blocks"] if block["type"] == "section" and "text" in block]
    said += [field for block in form["blocks"] for field in block.get("fields", [])]
    assert said
    assert all(text["verbatim"] for text in said)


def test_a_card_has_no_link_that_escaped_its_escape() -> None:
    text = forms.teams(notice(text=r"\[x\](http://evil.example)"))["attachments"][0]["content"]["body"][1][
        "text"
    ]
    assert text == r"\\\[x\\\](http://evil.example)"


def test_a_card_is_no_larger_than_teams_takes() -> None:
    long = notice(text="☠" * 2000, facts=[("☠" * 80, "☠" * 400)] * 20).shortened()
    form = forms.teams(long)
    assert len(json.dumps(form, ensure_ascii=False).encode()) < 28_000
    assert form["attachments"][0]["content"]["body"][2]["facts"]


def test_a_figure_that_is_no_number_reaches_programs_as_null() -> None:
    details = {"observed": float("nan"), "window": [float("inf"), 1.5]}
    assert json.loads(forms.document(notice(details=details)))["details"] == {
        "observed": None,
        "window": [None, 1.5],
    }


def test_every_channel_says_verdict_metrics_and_where_to_go() -> None:
    shown = [
        forms.plain(notice()),
        forms.html(notice()),
        json.dumps(forms.slack(notice())),
        json.dumps(forms.teams(notice())),
    ]
    for form in shown:
        assert "waits for approval" in form
        assert "38.5 (champion 45.0)" in form
        assert "https://hub.example/l/x" in form


def test_programs_get_no_link_that_decides() -> None:
    assert b"https://hub.example/l/x" not in forms.document(notice())
    assert json.loads(forms.document(notice(severity=Severity.CRITICAL)))["severity"] == "critical"


def test_a_link_says_what_was_signed() -> None:
    assert links.read(links.sign(LINK, KEY), KEY, AT) == LINK


@pytest.mark.parametrize("change", ["signature", "payload", "key", "time", "rubbish", "long"])
def test_a_link_that_was_touched_is_refused(change: str) -> None:
    token, key, now = links.sign(LINK, KEY), KEY, AT
    body, _, signature = token.partition(".")
    changed: dict[str, Any] = {
        "signature": f"{body}.{signature[:-2]}AA",
        "payload": f"{body[:-4]}AAAA.{signature}",
        "rubbish": "☠.x",
        "long": "a" * 5000,
    }
    token = changed.get(change, token)
    key = b"x" * 32 if change == "key" else key
    now = AT + timedelta(seconds=61) if change == "time" else now
    with pytest.raises(ForbiddenError):
        links.read(token, key, now)
