"""Row-level security: what a query that forgot its tenant, or names another's, can see and do. The engine's role owns the
tables and is no superuser."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from aihub.store import isolation, models, schema
from aihub.store.access_tables import tenants
from aihub.store.engine import EVERY_TENANT, create, read, write
from aihub.store.schema_tables import metadata
from aihub.store.tables import deployments, versions
from aihub.store.tables import models as model_table

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

pytestmark = pytest.mark.postgres
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def confined(postgresql: Engine) -> Engine:
    """A PostgreSQL with a model and a version of each of two tenants."""
    for tenant in ("acme", "bolt"):
        with write(postgresql, tenant=tenant) as connection:
            model_id = models.ensure_model(connection, tenant=tenant, name="load", now=NOW)
            models.insert_version(connection, _version(tenant, model_id))
    with write(postgresql, tenant=EVERY_TENANT) as connection:
        for tenant in ("acme", "bolt"):
            connection.execute(sa.insert(tenants).values(_tenant(tenant)))
    return postgresql


def _tenant(name: str) -> dict[str, object]:
    return {"tenant_id": name, "created_by": "x", "created_at": NOW, "rules": {}, "is_active": True}


def _version(tenant: str, model_id: int, number: int = 1) -> dict[str, object]:
    return {
        "tenant_id": tenant,
        "uid": f"{tenant}{number}",
        "model_id": model_id,
        "number": number,
        "major": number,
        "minor": 0,
        "patch": 0,
        "status": "candidate",
        "digest": "d",
        "size_bytes": 1,
        "kind": "k",
        "lineage": {},
        "metrics": {},
        "notes": [],
        "created_by": "x",
        "created_at": NOW,
    }


def _ids(connection: sa.Connection) -> dict[str, int]:
    return {row.tenant_id: row.id for row in connection.execute(sa.select(model_table))}


def test_every_table_with_a_tenant_is_held_even_for_its_owner(confined: Engine) -> None:
    query = sa.text("SELECT relname FROM pg_class WHERE relrowsecurity AND relforcerowsecurity")
    with read(confined, tenant=EVERY_TENANT) as connection:
        assert not isolation.is_bypassed(connection)
        held = set(connection.scalars(query))
    assert held == {name for name, table in metadata.tables.items() if "tenant_id" in table.c}


def test_a_session_sees_its_own_rows_only(confined: Engine) -> None:
    for tenant in ("acme", "bolt"):
        with read(confined, tenant=tenant) as connection:
            assert set(_ids(connection)) == {tenant}
            assert list(connection.scalars(sa.select(tenants.c.tenant_id))) == [tenant]
    with read(confined, tenant=EVERY_TENANT) as connection:
        assert set(_ids(connection)) == {"acme", "bolt"}


@pytest.mark.parametrize("nobody", ["", "other", "acme%", "acme' OR 'a'='a", "ACME"])
def test_nobody_sees_nothing(confined: Engine, nobody: str) -> None:
    with read(confined, tenant=nobody) as connection:
        assert _ids(connection) == {}


def test_a_query_without_a_tenant_sees_nothing_before_and_after_another_transaction(confined: Engine) -> None:
    engine = create(confined.url.render_as_string(hide_password=False).replace("+psycopg", ""))
    with engine.connect() as connection:
        setting = sa.text("SELECT current_setting('aihub.tenant', true)")
        assert connection.scalar(setting) is None
        assert _ids(connection) == {}
        connection.rollback()
        connection.execute(sa.text("SELECT set_config('aihub.tenant', 'acme', true)"))
        assert set(_ids(connection)) == {"acme"}
        connection.commit()
        # The trap: the setting is now the empty text and not NULL.
        assert connection.scalar(setting) == ""
        assert _ids(connection) == {}
    engine.dispose()


def test_a_failed_transaction_leaves_no_tenant_behind_in_the_pool(confined: Engine) -> None:
    with pytest.raises(RuntimeError), write(confined, tenant="acme"):
        raise RuntimeError
    with confined.connect() as connection:
        assert _ids(connection) == {}


def test_another_tenants_rows_cannot_be_changed_or_deleted(confined: Engine) -> None:
    with write(confined, tenant="acme") as connection:
        everything = sa.update(versions).values(digest="stolen")
        assert connection.execute(everything).rowcount == 1
        assert connection.execute(sa.delete(versions).where(versions.c.tenant_id == "bolt")).rowcount == 0
    with read(confined, tenant="bolt") as connection:
        assert connection.scalar(sa.select(versions.c.digest)) == "d"


def _refused(engine: Engine, statement: sa.Executable) -> None:
    with (
        pytest.raises(sa.exc.ProgrammingError, match="row-level security"),
        write(engine, tenant="acme") as c,
    ):
        c.execute(statement)


def test_rows_cannot_be_written_for_or_given_to_another_tenant(confined: Engine) -> None:
    _refused(confined, sa.insert(model_table).values(tenant_id="bolt", name="planted", created_at=NOW))
    _refused(confined, sa.update(model_table).values(tenant_id="bolt"))


def test_a_tenant_cannot_change_its_own_limits(confined: Engine) -> None:
    _refused(confined, sa.insert(tenants).values(_tenant("planted")))
    with write(confined, tenant="acme") as connection:
        assert connection.execute(sa.update(tenants).values(rules={"max_jobs": 9})).rowcount == 0


@pytest.mark.parametrize("number", [1, 2])
def test_keys_do_not_tell_what_another_tenant_has(confined: Engine, number: int) -> None:
    """Number 1 exists and number 2 does not: the answer to either has to be the same."""
    with read(confined, tenant=EVERY_TENANT) as connection:
        theirs = _ids(connection)["bolt"]
    _refused(confined, sa.insert(versions).values({**_version("acme", theirs, number), "uid": "fresh"}))
    row = {"tenant_id": "acme", "uid": "u", "model_id": theirs, "version_id": theirs, "environment": "p"}
    more = {"sequence": number, "action": "deploy", "actor": "a", "reason": "r", "started_at": NOW}
    _refused(confined, sa.insert(deployments).values(**row, **more))


def test_the_same_names_live_side_by_side(confined: Engine) -> None:
    with write(confined, tenant="acme") as connection:
        models.ensure_model(connection, tenant="acme", name="only-bolt-has-this", now=NOW)
    with write(confined, tenant="bolt") as connection:
        models.ensure_model(connection, tenant="bolt", name="only-bolt-has-this", now=NOW)


def test_the_policies_survive_going_back_and_forward(confined: Engine) -> None:
    schema.downgrade(confined, "0002")
    schema.upgrade(confined)
    with confined.connect() as connection:
        assert _ids(connection) == {}
