"""Bring a database to the newest schema, or back: Alembic, driven from code so that no ini file is needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from aihub.errors import ConflictError
from aihub.store import isolation
from aihub.store.engine import EVERY_TENANT, LOCK_TIMEOUT_MS, SCHEMA, read, write

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy.engine import Connection, Engine

HEAD = "0012"
"""Newest revision. Stated here so that a start on a current database does not import Alembic."""
VERSION_TABLE = "aihub_schema_version"
"""Not Alembic's default name, which MLflow and others use in the same database."""
_LOCK = 0x61696875
_WAIT_S = 600
"""How long a process waits for another one that migrates the same database."""


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Create or update the tables, as far as `revision`. Idempotent; processes that start together wait for each other.

    Raises
    ------
    ConflictError
        The database was written by a newer version of the hub.
    """
    with read(engine, tenant=EVERY_TENANT) as connection:
        if current(connection) == HEAD:
            return
    _migrate(engine, revision)


def downgrade(engine: Engine, revision: str = "base") -> None:
    """Go back to `revision`; what only newer revisions have is dropped."""
    _migrate(engine, revision, down=True)


def current(connection: Connection) -> str | None:
    """Revision of the database, None for an empty one."""
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    query = sa.text(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608 - our constant
    found: str | None = connection.scalar(query)
    return found


def _migrate(engine: Engine, revision: str, *, down: bool = False) -> None:
    from alembic import command  # noqa: PLC0415 - 0.2 s that a start on a current database does not pay
    from alembic.util.exc import CommandError  # noqa: PLC0415

    with write(engine, tenant=EVERY_TENANT) as connection:
        if connection.dialect.name == "postgresql":
            # Another process's migration, and our own of large tables, may take longer than any request may.
            connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
            connection.execute(sa.text(f"SET LOCAL lock_timeout = '{_WAIT_S}s'"))
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            # The tables themselves are not waited for that long: everything behind us would wait too.
            connection.execute(sa.text(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}"))
            connection.execute(sa.text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
        config = _config(connection)
        try:
            (command.downgrade if down else command.upgrade)(config, revision)
        except CommandError as error:
            found = current(connection)
            message = f"the database has schema {found!r}, which this version of the hub does not know; upgrade the hub"
            raise ConflictError(message) from error
        isolation.enforce(connection)


def _config(connection: Connection) -> Config:
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
