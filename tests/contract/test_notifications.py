"""From an entry of the outbox to a receiver that is really there, on each database."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import default
from typing import TYPE_CHECKING, Any

import pytest
from aiosmtpd.controller import Controller

from aihub.delivery.dispatch import DISPATCHERS
from aihub.delivery.effects import MAX_ATTEMPTS, send_due
from aihub.store import outbox
from aihub.store.engine import read, write
from hubs import made_hub, register
from receivers import Receiver, listening

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy.engine import Engine

    from aihub.hub import Hub

HOOK = "AIHUB_TEST_HOOK"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with listening() as receiver:
        yield receiver


@pytest.fixture
def hub(
    database: Engine, tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Hub]:
    monkeypatch.setenv(HOOK, receiver.url)
    monkeypatch.setenv("AIHUB_TEST_SECRET", "s3cret")
    channel = {
        "kind": "webhook",
        "url": {"env": HOOK},
        "secret": {"env": "AIHUB_TEST_SECRET"},
        "allow_private": True,
    }
    routes = {
        "channels": {"now": channel, "later": channel},
        "routes": [
            {"channels": ["now"], "events": ["model.*"]},
            {"channels": ["later"], "events": ["job.*"], "digest_minutes": 60},
        ],
    }
    file = tmp_path / "notify.json"
    file.write_text(json.dumps(routes))
    with made_hub(database, tmp_path / "home", notify_file=file) as hub:
        register(hub)
        yield hub


def happen(hub: Hub, event: str, key: str, **payload: Any) -> None:
    with write(hub.engine, tenant="default") as connection:
        given = {"model": "load", "version": 1, "environment": "production", **payload}
        outbox.put(
            connection,
            tenant="default",
            topic=f"notify.{event}",
            key=key,
            payload=given,
            now=datetime.now(UTC),
        )


def carry_out(hub: Hub, *, in_hours: float = 0.0) -> None:
    now = datetime.now(UTC) + timedelta(hours=in_hours, seconds=1)
    # Telling and being told are two effects: the second is due when the first has happened.
    for _ in range(2):
        send_due(hub, now=now, dispatchers=DISPATCHERS)


def test_what_happened_is_told_once(hub: Hub, receiver: Receiver) -> None:
    for _ in range(2):
        happen(hub, "model.deployed", "d1")
        carry_out(hub)
    assert [json.loads(body)["event"] for _, _, body in receiver.requests] == ["model.deployed"]


def test_a_busy_receiver_is_asked_again_when_it_said(hub: Hub, receiver: Receiver) -> None:
    receiver.answers = [(429, {"Retry-After": "600"}), (500, {}), None]
    happen(hub, "model.deployed", "d1")
    carry_out(hub)
    carry_out(hub, in_hours=0.1)
    assert len(receiver.requests) == 1, "it asked for ten minutes"
    for hours in (1, 2, 4, 8):
        carry_out(hub, in_hours=hours)
    assert len(receiver.requests) == 4
    keys = {headers["X-AIHub-Delivery"] for _, headers, _ in receiver.requests}
    assert keys == {"model.deployed:d1"}, "the same happening has the same key at every try"


def test_what_can_never_be_told_is_laid_aside_and_replayed_by_a_person(hub: Hub, receiver: Receiver) -> None:
    receiver.answers = [(404, {})]
    happen(hub, "model.deployed", "d1")
    carry_out(hub)
    carry_out(hub, in_hours=48)
    assert len(receiver.requests) == 1
    with read(hub.engine, tenant="default") as connection:
        (dead,) = outbox.dead(connection, tenant="default")
    assert dead.topic == "channel.now"
    assert "404" in str(dead.last_error)
    assert "secret-part" not in str(dead.last_error)
    with write(hub.engine, tenant="default") as connection:
        assert outbox.replay(connection, tenant="default") == 1
    carry_out(hub, in_hours=48)
    assert len(receiver.requests) == 2


def test_a_receiver_that_stays_away_is_given_up_after_a_day_of_tries(hub: Hub, receiver: Receiver) -> None:
    receiver.answers = [(503, {})] * (MAX_ATTEMPTS + 5)
    happen(hub, "model.deployed", "d1")
    for hours in range(MAX_ATTEMPTS + 5):
        carry_out(hub, in_hours=2 * hours)
    assert len(receiver.requests) == MAX_ATTEMPTS
    with read(hub.engine, tenant="default") as connection:
        assert len(outbox.dead(connection, tenant="default")) == 1


def test_one_that_is_away_keeps_nothing_from_the_others(hub: Hub, receiver: Receiver) -> None:
    receiver.answers = [(503, {})]
    happen(hub, "model.deployed", "d1")
    happen(hub, "model.rolled_back", "d2")
    carry_out(hub)
    assert [json.loads(body)["event"] for _, _, body in receiver.requests] == [
        "model.deployed",
        "model.rolled_back",
    ]


def test_a_digest_waits_for_its_hour_and_loses_nothing(hub: Hub, receiver: Receiver) -> None:
    for number in range(3):
        happen(hub, "job.failed", f"j{number}", error="no memory")
    carry_out(hub)
    assert receiver.requests == []
    carry_out(hub, in_hours=1.1)
    (request,) = receiver.requests
    assert json.loads(request[2])["title"] == "3 notices"
    carry_out(hub, in_hours=24)
    assert len(receiver.requests) == 1


def test_mail_is_told_once_after_its_server_was_down_for_an_hour(database: Engine, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mail = {"kind": "email", "host": "127.0.0.1", "port": port, "tls": "none", "sender": "hub@example.org"}
    channels = {"box": {**mail, "to": ["ann@example.org"]}}
    file = tmp_path / "mail.json"
    file.write_text(json.dumps({"channels": channels, "routes": [{"channels": ["box"]}]}))
    with made_hub(database, tmp_path / "home", notify_file=file) as hub:
        register(hub)
        happen(hub, "model.deployed", "d1", title="load serves")
        for minutes in (0, 5, 20, 60):
            carry_out(hub, in_hours=minutes / 60)
        with read(hub.engine, tenant="default") as connection:
            assert not outbox.dead(connection, tenant="default")
            (waiting,) = outbox.pending(connection, tenant="default", prefix="channel.")
        assert "does not answer" in str(waiting.last_error)
        box = Box()
        controller = Controller(box, hostname="127.0.0.1", port=port)
        controller.start()
        try:
            for hours in (2, 4, 8):
                carry_out(hub, in_hours=hours)
        finally:
            controller.stop()
        assert len(box.mails) == 1
        assert "load serves" in box.mails[0]


class Box:
    """Takes every mail."""

    def __init__(self) -> None:
        self.mails: list[str] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.mails.append(str(message_from_bytes(envelope.content, policy=default)["Subject"]))
        return "250 taken"
