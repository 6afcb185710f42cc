"""Notices to send, and what a test's receiver has got."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aihub.notify.message import Link, Notice, Severity

AT = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)  # a Monday


def notice(**changes: Any) -> Notice:
    given: dict[str, Any] = {
        "key": "k1",
        "tenant": "grid",
        "event": "approval.requested",
        "severity": Severity.INFO,
        "title": "load v1.2.0 waits for approval",
        "at": AT,
        "model": "load",
        "environment": "production",
        "text": "The gate passed.",
        "facts": [("mae", "38.5 (champion 45.0)"), ("submitted by", "ann")],
        "links": [Link(label="Approve", url="https://hub.example/l/x", style="primary")],
    }
    return Notice(**{**given, **changes})


@dataclass
class Receiver:
    """What the server has got, and what it answers next: (status, headers); None closes the connection."""

    url: str = ""
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str]] | None] = field(default_factory=list)
