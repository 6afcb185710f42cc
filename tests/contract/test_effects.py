"""What the outbox asks for is carried out, tried again, laid aside and replayed, on every database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from aihub.delivery import effects
from aihub.delivery.dispatch import DISPATCHERS
from aihub.delivery.effects import Dispatcher, send_due
from aihub.errors import ForbiddenError, TooManyError, UnavailableError
from aihub.store import outbox
from aihub.store.engine import EVERY_TENANT, read, write
from deliveries import hub_on

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy.engine import Engine

    from aihub.hub import Hub
    from aihub.store.outbox import Taken


@pytest.fixture
def hub(database: Engine, tmp_path: Path) -> Iterator[Hub]:
    with hub_on(database, tmp_path / "home") as opened:
        yield opened


def put(hub: Hub, key: str, topic: str = "test.happened", tenant: str = "default") -> None:
    with write(hub.engine, tenant=tenant) as connection:
        outbox.put(connection, tenant=tenant, topic=topic, key=key, payload={"n": key}, now=datetime.now(UTC))


class Receiver:
    """Another system: answers what it is told to, and keeps what it was sent."""

    def __init__(self, *answers: Exception | None) -> None:
        self.answers = list(answers)
        self.got: list[str] = []

    def __call__(self, hub: Hub, entry: Taken, now: datetime) -> None:
        del hub, now
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer
        self.got.append(f"{entry.tenant}/{entry.key}")


def send(hub: Hub, receiver: Receiver, *, after_s: float = 0.0) -> int:
    now = datetime.now(UTC) + timedelta(seconds=after_s)
    return send_due(hub, now=now, dispatchers=[Dispatcher("test.", receiver)])


def test_effects_of_all_tenants_are_carried_out_once_and_others_are_left(hub: Hub) -> None:
    for number in range(effects.BATCH + 5):
        put(hub, f"{number:02d}")
    put(hub, "theirs", tenant="other")
    put(hub, "mlflow", topic="mlflow.version")
    receiver = Receiver()
    assert send(hub, receiver) == effects.BATCH + 6
    assert send(hub, receiver) == 0
    assert receiver.got[0] == "default/00"
    assert receiver.got[-1] == "other/theirs"


def test_a_system_that_is_away_is_tried_again_after_growing_pauses(hub: Hub) -> None:
    put(hub, "a")
    receiver = Receiver(UnavailableError("away"), UnavailableError("away"))
    assert send(hub, receiver) == 1
    assert send(hub, receiver, after_s=4) == 0
    assert send(hub, receiver, after_s=6) == 1
    assert send(hub, receiver, after_s=9) == 0
    assert send(hub, receiver, after_s=17) == 1
    assert receiver.got == ["default/a"]


def test_a_receiver_that_asks_to_wait_is_given_the_time(hub: Hub) -> None:
    put(hub, "a")
    receiver = Receiver(TooManyError("slow down", retry_after_s=300))
    send(hub, receiver)
    assert send(hub, receiver, after_s=290) == 0
    assert send(hub, receiver, after_s=310) == 1


def test_what_can_never_succeed_is_laid_aside_and_can_be_replayed(hub: Hub) -> None:
    put(hub, "bad")
    put(hub, "good")
    receiver = Receiver(ForbiddenError("wrong address"))
    assert send(hub, receiver) == 2
    assert receiver.got == ["default/good"]
    assert send(hub, receiver, after_s=1e6) == 0
    with write(hub.engine, tenant="default") as connection:
        (dead,) = outbox.dead(connection, tenant="default")
        assert (dead.key, dead.last_error) == ("bad", "wrong address")
        assert outbox.replay(connection, tenant="default", topic_prefix="test.") == 1
    assert send(hub, receiver) == 1
    assert receiver.got == ["default/good", "default/bad"]


def test_what_fails_too_often_is_laid_aside(hub: Hub) -> None:
    put(hub, "a")
    receiver = Receiver(*[RuntimeError("broken")] * effects.MAX_ATTEMPTS)
    assert (
        sum(send(hub, receiver, after_s=1e6 * n) for n in range(effects.MAX_ATTEMPTS + 2))
        == effects.MAX_ATTEMPTS
    )
    with read(hub.engine, tenant="default") as connection:
        assert len(outbox.dead(connection, tenant="default")) == 1


def test_what_a_dead_process_has_taken_is_done_by_another(hub: Hub) -> None:
    put(hub, "a")
    with write(hub.engine, tenant=EVERY_TENANT) as connection:
        until = datetime.now(UTC) + timedelta(seconds=effects.TAKEN_FOR_S)
        assert len(outbox.take(connection, ["test."], now=datetime.now(UTC), until=until, limit=5)) == 1
    receiver = Receiver()
    assert send(hub, receiver) == 0
    assert send(hub, receiver, after_s=effects.TAKEN_FOR_S + 60) == 1


def test_a_notice_nobody_wants_to_hear_is_done(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLACK_WEBHOOK_URL", raising=False)
    put(hub, "a", topic="notify.job.failed")
    assert send_due(hub, now=datetime.now(UTC), dispatchers=DISPATCHERS) == 1
    with read(hub.engine, tenant="default") as connection:
        assert outbox.pending(connection, tenant="default") == []


def test_what_is_taken_after_a_slow_batch_is_not_due_for_others_at_once(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(effects.BATCH + 1):
        put(hub, f"{number:02d}")
    start = datetime.now(UTC)
    clock = {"s": 0.0}
    monkeypatch.setattr(effects, "monotonic", lambda: clock["s"])
    left: list[int] = []

    def slow(hub: Hub, entry: Taken, now: datetime) -> None:
        del now
        clock["s"] += 2 * effects.TAKEN_FOR_S if entry.key == f"{effects.BATCH - 1:02d}" else 0.0
        if entry.key == f"{effects.BATCH:02d}":
            with read(hub.engine, tenant=EVERY_TENANT) as connection:
                left.append(outbox.has_due(connection, ["test."], now=start + timedelta(seconds=clock["s"])))

    send_due(hub, now=start, dispatchers=[Dispatcher("test.", slow)])
    assert left == [False]
