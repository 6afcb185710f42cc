from __future__ import annotations

import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from aihub.errors import ConflictError, UnavailableError
from aihub.store import models, outbox, schema, tables
from aihub.store.engine import EVERY_TENANT, read, write
from aihub.store.schema_tables import metadata

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.engine import Engine

    from databases import Server

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_migrations_go_forward_and_back(empty_database: Engine) -> None:
    schema.upgrade(empty_database)
    with read(empty_database, tenant=EVERY_TENANT) as connection:
        assert schema.current(connection) == schema.HEAD
        assert set(tables.metadata.tables) < set(sa.inspect(connection).get_table_names())
    schema.downgrade(empty_database)
    with read(empty_database, tenant=EVERY_TENANT) as connection:
        assert not set(tables.metadata.tables) & set(sa.inspect(connection).get_table_names())
    schema.upgrade(empty_database)
    schema.upgrade(empty_database)


def test_every_revision_goes_forward_and_back(empty_database: Engine) -> None:
    """What a revision makes it takes away again, and the way forward is then open as before."""
    revisions = [f"{number:04d}" for number in range(1, int(schema.HEAD) + 1)]
    seen = [_shape(empty_database)]
    for revision in revisions:
        schema.upgrade(empty_database, revision)
        seen.append(_shape(empty_database))
    for number in range(len(revisions), 0, -1):
        schema.downgrade(empty_database, revisions[number - 2] if number > 1 else "base")
        assert _shape(empty_database) == seen[number - 1], f"back from {revisions[number - 1]}"
        schema.upgrade(empty_database, revisions[number - 1])
        assert _shape(empty_database) == seen[number], f"forward to {revisions[number - 1]} again"
        schema.downgrade(empty_database, revisions[number - 2] if number > 1 else "base")


def _shape(engine: Engine) -> dict[str, tuple[set[str], set[str | None]]]:
    """Columns and indexes of every table."""
    with read(engine, tenant=EVERY_TENANT) as connection:
        there = sa.inspect(connection)
        names = set(there.get_table_names()) - {schema.VERSION_TABLE}
        return {
            name: ({c["name"] for c in there.get_columns(name)}, {i["name"] for i in there.get_indexes(name)})
            for name in names
        }


def test_migrations_make_what_the_tables_say(database: Engine) -> None:
    with read(database, tenant=EVERY_TENANT) as connection:
        options = {"version_table": schema.VERSION_TABLE, "compare_type": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, tables.metadata) == []


def test_a_database_of_a_newer_hub_is_left_alone(database: Engine) -> None:
    with write(database, tenant=EVERY_TENANT) as connection:
        connection.execute(sa.text(f"UPDATE {schema.VERSION_TABLE} SET version_num = '9999'"))  # noqa: S608 - our constant
    with pytest.raises(ConflictError, match="9999"):
        schema.upgrade(database)


def test_processes_that_start_together_make_the_tables_once(empty_database: Engine) -> None:
    code = "import sys; from aihub.store import engine, schema; schema.upgrade(engine.create(sys.argv[1]))"
    url = empty_database.url.render_as_string(hide_password=False).replace("+psycopg", "")
    starts = [subprocess.Popen([sys.executable, "-c", code, url]) for _ in range(3)]
    assert [start.wait(120) for start in starts] == [0, 0, 0]


@pytest.mark.postgres
def test_a_start_waits_longer_for_a_migration_than_a_request_for_a_lock(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aihub.store.engine.LOCK_TIMEOUT_MS", 100)
    with server.fresh() as engine, engine.connect() as other:
        other.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": schema._LOCK})
        start = threading.Thread(target=schema.upgrade, args=(engine,))
        start.start()
        start.join(0.5)
        other.rollback()
        start.join(60)
        with read(engine, tenant=EVERY_TENANT) as connection:
            assert schema.current(connection) == schema.HEAD


def test_every_table_has_a_tenant() -> None:
    # A worker serves all tenants.
    shared = {"workers", "periodics"}
    without = {name for name, table in metadata.tables.items() if "tenant_id" not in table.c}
    assert without == shared


def test_times_are_utc_and_never_naive(database: Engine) -> None:
    abroad = NOW.astimezone(timezone(timedelta(hours=11)))
    with write(database, tenant=EVERY_TENANT) as connection:
        models.ensure_model(connection, tenant="default", name="m", now=abroad)
        found = connection.scalar(sa.select(tables.models.c.created_at))
    assert found == NOW
    assert found is not None
    assert found.utcoffset() == timedelta(0)
    with (
        pytest.raises(sa.exc.StatementError, match="no zone"),
        write(database, tenant=EVERY_TENANT) as connection,
    ):
        models.ensure_model(connection, tenant="default", name="n", now=datetime(2026, 1, 1))  # noqa: DTZ001


def test_a_failed_block_changes_nothing(database: Engine) -> None:
    with pytest.raises(RuntimeError), write(database, tenant=EVERY_TENANT) as connection:  # noqa: PT012 - the block is what is tested
        models.ensure_model(connection, tenant="default", name="m", now=NOW)
        raise RuntimeError
    with read(database, tenant=EVERY_TENANT) as connection:
        assert models.list_models(connection, tenant="default") == []


def test_names_are_lower_case_whoever_writes(database: Engine) -> None:
    with pytest.raises(sa.exc.IntegrityError), write(database, tenant=EVERY_TENANT) as connection:
        models.ensure_model(connection, tenant="default", name="M", now=NOW)


def test_foreign_keys_are_kept(database: Engine) -> None:
    row = {"tenant_id": "default", "uid": "u", "model_id": 99, "version_id": 99, "environment": "production"}
    more = {"sequence": 1, "action": "deploy", "actor": "a", "reason": "r", "started_at": NOW}
    with pytest.raises(sa.exc.IntegrityError), write(database, tenant=EVERY_TENANT) as connection:
        connection.execute(sa.insert(tables.deployments).values(**row, **more))


def test_the_outbox_keeps_order_and_does_each_key_once(database: Engine) -> None:
    with write(database, tenant=EVERY_TENANT) as connection:
        for key in ("b", "a", "b"):
            outbox.put(connection, tenant="default", topic="t", key=key, payload={"k": key}, now=NOW)
        outbox.put(connection, tenant="other", topic="t", key="b", payload={}, now=NOW)
    with write(database, tenant=EVERY_TENANT) as connection:
        first, second = outbox.pending(connection, tenant="default")
        assert (first.key, second.key) == ("b", "a")
        outbox.fail(connection, entry_id=first.id, error="away")
        outbox.finish(connection, entry_id=second.id, now=NOW)
    with read(database, tenant=EVERY_TENANT) as connection:
        (left,) = outbox.pending(connection, tenant="default")
    assert (left.key, left.attempts, left.last_error) == ("b", 1, "away")


def test_writers_wait_for_each_other(database: Engine) -> None:
    def add(index: int) -> None:
        with write(database, tenant=EVERY_TENANT) as connection:
            present = len(models.list_models(connection, tenant="default"))
            models.ensure_model(connection, tenant="default", name=f"m{index}-{present}", now=NOW)

    threads = [threading.Thread(target=add, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with read(database, tenant=EVERY_TENANT) as connection:
        assert len(models.list_models(connection, tenant="default")) == 8


def test_a_pool_without_a_free_connection_is_an_error_worth_repeating(tmp_path: Path) -> None:
    engine = sa.create_engine(
        f"sqlite:///{tmp_path / 'a.db'}", pool_size=1, max_overflow=0, pool_timeout=0.01
    )
    with (
        read(engine, tenant="default"),
        pytest.raises(UnavailableError, match="in use"),
        read(engine, tenant="a"),
    ):
        pass
    engine.dispose()
