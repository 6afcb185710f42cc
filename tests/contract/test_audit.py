"""The audit log's chain, on every database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from aihub.store.audit import AuditLog
from aihub.store.engine import EVERY_TENANT, read, write

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LOG = AuditLog(b"k" * 32)


def _write(database: Engine, count: int, tenant: str = "a") -> None:
    for number in range(count):
        with write(database, tenant=EVERY_TENANT) as connection:
            LOG.append(
                connection,
                tenant=tenant,
                actor="ann",
                action="model.deployed",
                subject="model:load",
                now=NOW,
                after={"version": number, "ratio": 1.5, "ä": [None, True]},
                reason="because",
            )


def test_a_chain_that_nobody_touched_is_intact(database: Engine) -> None:
    _write(database, 5)
    _write(database, 2, tenant="b")
    with read(database, tenant=EVERY_TENANT) as connection:
        assert LOG.verify(connection, tenant="a").events == 5
        assert LOG.verify(connection, tenant="a").is_intact
        assert LOG.verify(connection, tenant="b").events == 2


@pytest.mark.parametrize("change", ["UPDATE audit SET actor = 'eve'", "DELETE FROM audit WHERE sequence = 2"])
def test_the_database_refuses_to_change_an_event(database: Engine, change: str) -> None:
    _write(database, 3)
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), database.begin() as connection:
        connection.execute(sa.text(change))


def test_another_key_sees_a_broken_chain(database: Engine) -> None:
    _write(database, 3)
    with read(database, tenant=EVERY_TENANT) as connection:
        verdict = AuditLog(b"x" * 32).verify(connection, tenant="a")
    assert verdict.first_bad == 1
    assert "changed" in verdict.reason


def test_an_event_is_gone_with_its_transaction(database: Engine) -> None:
    _write(database, 1)
    with pytest.raises(RuntimeError), write(database, tenant=EVERY_TENANT) as connection:  # noqa: PT012 - the block is what is tested
        LOG.append(connection, tenant="a", actor="ann", action="x.done", subject="x", now=NOW)
        raise RuntimeError
    with read(database, tenant=EVERY_TENANT) as connection:
        assert LOG.verify(connection, tenant="a").events == 1
