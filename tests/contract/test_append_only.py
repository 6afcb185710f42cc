"""What the database itself refuses, whoever asks."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from aihub.store import grants
from aihub.store.access_tables import audit
from aihub.store.audit import AuditLog
from aihub.store.engine import EVERY_TENANT, create, read, write

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection, Engine

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LOG = AuditLog(b"k" * 32)
EVENT = "('a', 2, '2026-01-01', 'eve', 'x.y', 's', '', '', '', '')"
COLUMNS = "(tenant_id, sequence, at, actor, action, subject, reason, source, previous_hash, hash)"


def _append(connection: Connection, tenant: str = "a") -> None:
    LOG.append(connection, tenant=tenant, actor="ann", action="x.done", subject="x", now=NOW)


@pytest.fixture
def filled(database: Engine) -> Engine:
    with write(database, tenant=EVERY_TENANT) as connection:
        for _ in range(3):
            _append(connection)
    return database


def _refused(engine: Engine, statement: str, match: str = "append-only") -> None:
    with pytest.raises(sa.exc.DBAPIError, match=match), write(engine, tenant=EVERY_TENANT) as connection:
        connection.execute(sa.text(statement))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'eve'",
        "UPDATE audit SET id = id + 100",
        "DELETE FROM audit",
        "DELETE FROM audit WHERE sequence = 3",
        f"INSERT INTO audit {COLUMNS} VALUES {EVENT} ON CONFLICT (tenant_id, sequence) DO UPDATE SET actor = 'eve'",  # noqa: S608
    ],
)
def test_no_event_is_changed_or_taken_away(filled: Engine, statement: str) -> None:
    _refused(filled, statement)
    with read(filled, tenant="a") as connection:
        assert LOG.verify(connection, tenant="a").events == 3


def test_postgresql_does_not_truncate_either(postgresql: Engine) -> None:
    _refused(postgresql, "TRUNCATE audit")
    _refused(postgresql, "TRUNCATE audit CASCADE")


def test_sqlite_replaces_nothing_even_where_triggers_do_not_recur(filled: Engine) -> None:
    if filled.dialect.name != "sqlite":
        return
    _refused(filled, f"INSERT OR REPLACE INTO audit {COLUMNS} VALUES {EVENT}")  # noqa: S608
    # Another program's connection: the setting is its own affair.
    other = sqlite3.connect(str(filled.url.database))
    for statement in (
        f"REPLACE INTO audit {COLUMNS} VALUES {EVENT}",  # noqa: S608
        "REPLACE INTO audit SELECT * FROM audit WHERE sequence = 3",
        f"INSERT INTO audit {COLUMNS} VALUES {EVENT.replace('2,', '0,', 1)}",  # noqa: S608
        "UPDATE OR REPLACE audit SET sequence = 1 WHERE sequence = 2",
    ):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            other.execute(statement)
    other.close()


@pytest.fixture
def application(postgresql: Engine) -> Iterator[Engine]:
    """An engine of a role that may work with the tables and owns none."""
    role = f"{postgresql.url.database}_app"
    with write(postgresql, tenant=EVERY_TENANT) as connection:
        _append(connection)
    admin = create(_url(postgresql, "aihub"))
    with admin.begin() as connection:
        connection.execute(sa.text(f"CREATE ROLE {role} LOGIN"))
    with write(postgresql, tenant=EVERY_TENANT) as connection:
        for statement in grants.statements(role):
            connection.execute(sa.text(statement))
    engine = create(_url(postgresql, role))
    yield engine
    engine.dispose()
    with admin.begin() as connection:
        connection.execute(sa.text(f"DROP OWNED BY {role}"))
        connection.execute(sa.text(f"DROP ROLE {role}"))
    admin.dispose()


def _url(engine: Engine, user: str) -> str:
    url = engine.url.set(username=user, drivername="postgresql")
    return url.render_as_string(hide_password=False)


def test_the_applications_role_appends_and_reads(application: Engine) -> None:
    with write(application, tenant="a") as connection:
        _append(connection)
    with read(application, tenant="a") as connection:
        assert LOG.verify(connection, tenant="a").events == 2
    with application.connect() as connection:
        assert connection.execute(sa.select(audit)).all() == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'eve'",
        "DELETE FROM audit",
        "TRUNCATE audit",
        "DROP TABLE audit",
        "ALTER TABLE audit DISABLE TRIGGER ALL",
        "ALTER TABLE audit DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE audit NO FORCE ROW LEVEL SECURITY",
        "DROP TRIGGER audit_append_only ON audit",
        "DROP POLICY of_tenant ON audit",
        "CREATE OR REPLACE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$",
        "SET session_replication_role = replica",
        "CREATE TRIGGER mine BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION audit_append_only()",
        "CREATE TABLE aihub.planted (x int)",
    ],
)
def test_the_applications_role_has_no_way_around(application: Engine, statement: str) -> None:
    with pytest.raises(sa.exc.DBAPIError, match=r"permission denied|must be owner|append-only"):  # noqa: SIM117
        with write(application, tenant=EVERY_TENANT) as connection:
            connection.execute(sa.text(statement))
