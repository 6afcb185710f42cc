from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from aihub.store.audit import AuditLog, canonical
from aihub.store.audit_pages import every_event, find_events, first_since, tenants_with_events
from aihub.store.engine import EVERY_TENANT, read, write

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LOG = AuditLog(b"k" * 32)


@pytest.fixture
def filled(database: Engine) -> Engine:
    """Twelve events of tenant a, one an hour, the clock of the seventh an hour slow; one of tenant b."""
    with write(database, tenant=EVERY_TENANT) as connection:
        for number in range(12):
            LOG.append(
                connection,
                tenant="a",
                actor=("ann", "ben")[number % 2],
                action=("model.deployed", "key.created", "model.rolled_back")[number % 3],
                subject=f"model:{number % 4}",
                now=NOW + timedelta(hours=number - (2 if number == 6 else 0)),
            )
        LOG.append(connection, tenant="b", actor="ann", action="x.y", subject="z", now=NOW)
    return database


def found(database: Engine, **wanted: Any) -> list[int]:
    with read(database, tenant="a") as connection:
        return [event["sequence"] for event in find_events(connection, tenant="a", **wanted)]


def test_events_come_newest_first_in_pages(filled: Engine) -> None:
    assert found(filled) == list(range(12, 0, -1))
    assert found(filled, limit=5) == [12, 11, 10, 9, 8]
    assert found(filled, limit=5, before=8) == [7, 6, 5, 4, 3]
    assert found(filled, before=1) == []


def test_filters_add_up(filled: Engine) -> None:
    assert found(filled, actor="ann") == [11, 9, 7, 5, 3, 1]
    assert found(filled, action="key.created") == [11, 8, 5, 2]
    assert found(filled, subject="model:1") == [10, 6, 2]
    assert found(filled, actor="ann", action="key.created") == [11, 5]
    assert found(filled, actor="eve") == []


def test_a_period_is_exact_and_times_never_go_back(filled: Engine) -> None:
    assert found(filled, start=NOW + timedelta(hours=9)) == [12, 11, 10]
    assert found(filled, end=NOW + timedelta(hours=2)) == [2, 1]
    assert found(filled, start=NOW + timedelta(hours=4), end=NOW + timedelta(hours=7)) == [7, 6, 5]
    assert found(filled, start=NOW + timedelta(hours=12)) == []
    with read(filled, tenant="a") as connection:
        times = [event["at"] for event in find_events(connection, tenant="a")]
        assert times == sorted(times, reverse=True)
        assert first_since(connection, tenant="nobody", moment=NOW) == 1


def test_an_export_has_all_that_the_chain_is_made_of(filled: Engine) -> None:
    with read(filled, tenant="a") as connection:
        events = list(every_event(connection, tenant="a"))
    assert [event["sequence"] for event in events] == list(range(1, 13))
    previous = "0" * 64
    for event in events:
        assert event["previous_hash"] == previous
        row = {**event, "at": datetime.fromisoformat(event["at"])}
        assert canonical(row)
        assert LOG.hash_of(previous, row) == event["hash"]
        previous = event["hash"]


def test_tenants_are_found_by_their_events(filled: Engine) -> None:
    with read(filled, tenant=EVERY_TENANT) as connection:
        assert tenants_with_events(connection) == ["a", "b"]
