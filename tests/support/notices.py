"""Notices to send."""

from __future__ import annotations

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
