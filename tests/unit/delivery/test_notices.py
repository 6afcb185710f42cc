"""What people are told of what happened, from the registry's own words."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aihub.delivery import notices
from aihub.delivery.notices import notice_of
from aihub.notify.links import link_key, read
from aihub.notify.message import Notice, Severity
from aihub.registry.artifacts import ArtifactStore, Manifest, pack
from aihub.registry.lineage import collect
from aihub.registry.registry import Registry
from aihub.store.audit import AuditLog
from databases import sqlite_at

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """Version 1 serves; version 2 is better and waits; version 3 was rejected."""
    engine = sqlite_at(tmp_path / "hub.db")
    made = Registry(engine, ArtifactStore(tmp_path / "artifacts"), AuditLog(b"k" * 32))
    for number, (mae, passed) in enumerate([(45.0, True), (38.5, True), (90.0, False)]):
        digest = made.artifacts.put(
            pack({"model.json": b"%d" % number}, Manifest(kind="forecast/1", name="load"))
        )
        made.register_version(
            "load", digest, collect({"seed": number}, {}, requested_by="ann", now=NOW),
            status="candidate" if passed else "rejected", actor="ann", now=NOW, metrics={"mae": mae},
            report={"passed": passed, "failures": [] if passed else ["mae 90 is above the maximum of 50"]},
        )  # fmt: skip
    made.deploy("load", 1, actor="bob", reason="first", now=NOW)
    yield made
    engine.dispose()


def told(registry: Registry, event: str, **payload: Any) -> Notice:
    given = {"model": "load", "version": 2, "semantic": "v1.1.0", "environment": "production", **payload}
    return notice_of(
        registry,
        event=event,
        key="k",
        payload=given,
        at=NOW,
        base_url="https://hub.example/",
        link_secret=link_key(b"s"),
    )


def test_an_approval_is_told_with_verdict_figures_and_three_ways_to_go_on(registry: Registry) -> None:
    expires = (NOW + timedelta(days=3)).isoformat()
    notice = told(
        registry,
        "approval.requested",
        approval="apr_1",
        digest="d" * 64,
        expires_at=expires,
        state="pending",
        by="ann",
    )
    assert notice.title == "load v1.1.0 waits for approval into production"
    facts = dict(notice.facts)
    assert facts["gate"] == "passed"
    assert facts["mae"] == "38.5 (champion v1.0.0: 45, -14.4%)"
    assert [link.label for link in notice.links] == ["Open", "Approve", "Reject"]
    signed = read(notice.links[1].url.removeprefix("https://hub.example/links/"), link_key(b"s"), NOW)
    assert (signed.approval, signed.decision, signed.digest) == ("apr_1", "approve", "d" * 64)
    assert Notice.from_dict(notice.to_dict()) == notice


def test_a_decided_approval_has_no_links(registry: Registry) -> None:
    notice = told(
        registry,
        "approval.approved",
        approval="apr_1",
        digest="d" * 64,
        expires_at=NOW.isoformat(),
        state="approved",
    )
    assert notice.links == []


def test_a_rejected_version_says_why(registry: Registry) -> None:
    notice = told(registry, "version.rejected", version=3, semantic="v1.2.0")
    assert notice.severity is Severity.WARNING
    assert ("failure", "mae 90 is above the maximum of 50") in notice.facts


@pytest.mark.parametrize(
    "payload", [{"model": None}, {"version": None}, {"version": 99}, {"severity": "loud"}]
)
def test_a_payload_that_lacks_something_is_told_all_the_same(
    registry: Registry, payload: dict[str, Any]
) -> None:
    notice = told(registry, "something.new_happened", **payload)
    assert notice.title
    assert notice.severity is Severity.INFO


def test_every_event_that_the_hub_tells_of_has_words_of_its_own() -> None:
    """Found in the code: what a producer writes to the outbox, and nothing that none does."""
    source = Path(notices.__file__).parent
    producers = ("activation", "approvals", "onward", "rollouts", "slots", "watch_actions")
    text = "".join((source / f"{name}.py").read_text() for name in producers)
    told = set(re.findall(r'"(?:notify\.)?((?:job|version|watch)\.[a-z_]+)"', text))
    told |= set(re.findall(r'"(model\.(?:deployed|rolled_back))"', text))
    told |= {f"approval.{state}" for state in ("requested", "approved", "rejected", "expired", "withdrawn")}
    told |= {f"rollout.{what}" for what in ("started", "stepped", "promoted", "stopped")}
    assert told == set(notices.TITLES)
