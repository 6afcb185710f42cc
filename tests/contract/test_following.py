from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from aihub.registry.promotion import Order
from aihub.registry.records import Action
from aihub.serving import following
from aihub.serving.following import Follower
from aihub.store import served
from aihub.store.deployments import announce
from aihub.store.engine import EVERY_TENANT, read, write
from aihub.store.tables import models
from orders import MODEL, NOW, register, registry_on

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from sqlalchemy.engine import Engine


def test_a_follower_is_told_of_a_commit_soon(database: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    # Only what is told counts here, not the look at the tables that follows anyway.
    monkeypatch.setattr(following, "POLL_S", 1e9)
    follower = Follower(database)
    try:
        began = time.monotonic()
        while time.monotonic() - began < 1.0:
            follower.wait()
        with write(database, tenant="default") as connection:
            now = datetime.now(UTC)
            connection.execute(sa.insert(models).values(tenant_id="default", name="load", created_at=now))
            announce(connection, tenant="default", model="load")
        # Without being told it would wait for ever; how soon it is told depends on what else the machine does.
        began = time.monotonic()
        while not follower.wait():
            assert time.monotonic() - began < 20.0
    finally:
        follower.close()


def test_a_deployment_is_seen_although_a_later_one_was_committed_before_it(
    postgresql: Engine, tmp_path: Path
) -> None:
    ours, theirs = (registry_on(postgresql, tmp_path, tenant) for tenant in ("ours", "theirs"))
    for registry in (ours, theirs):
        for _ in range(2):
            register(registry)
        registry.deploy(MODEL, 1, actor="ann", reason="first", now=NOW)
    order = Order(
        action=Action.DEPLOY,
        environment="production",
        actor="ann",
        reason="better",
        now=NOW,
        key=None,
        expected_sequence=None,
    )
    with write(postgresql, tenant="ours") as connection:
        ours.activate_in(connection, MODEL, 2, order)
        theirs.deploy(MODEL, 2, actor="bob", reason="better", now=NOW)
        with read(postgresql, tenant=EVERY_TENANT) as other:
            before = served.signature(other)
    with read(postgresql, tenant=EVERY_TENANT) as connection:
        assert served.signature(connection) != before
