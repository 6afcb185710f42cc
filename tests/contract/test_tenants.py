"""Changes of a tenant that meet."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from aihub.store import tenants
from aihub.store.engine import EVERY_TENANT, read, write
from deliveries import AUDIT, NOW

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine


def test_of_two_changes_at_once_none_is_lost(database: Engine) -> None:
    who = {"actor": "ann", "now": NOW, "audit": AUDIT}
    with write(database, tenant=EVERY_TENANT) as connection:
        tenants.create(connection, "acme", **who)

    def limit() -> None:
        with write(database, tenant=EVERY_TENANT) as connection:
            tenants.change(connection, "acme", rules={"max_running_jobs": 1}, **who)

    with write(database, tenant=EVERY_TENANT) as connection:
        tenants.change(connection, "acme", is_active=False, **who)
        other = threading.Thread(target=limit)
        other.start()
        other.join(0.3)
    other.join()
    with read(database, tenant=EVERY_TENANT) as connection:
        found = tenants.get(connection, "acme")
    assert (found.is_active, dict(found.rules)) == (False, {"max_running_jobs": 1})
