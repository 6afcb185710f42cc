from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from aihub.serving import following
from aihub.serving.following import Follower
from aihub.store.deployments import announce
from aihub.store.engine import write
from aihub.store.tables import models

if TYPE_CHECKING:
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
        began = time.monotonic()
        while not follower.wait():
            assert time.monotonic() - began < 1.0
    finally:
        follower.close()
