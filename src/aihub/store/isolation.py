"""Row-level security on PostgreSQL: the second line behind the tenant that every query names.

A query that forgot its tenant sees nothing, and one that names another sees nothing and can write nothing. The session
says whose rows exist in it (`aihub.store.engine.write` and `read` set that until the transaction ends); where nothing is
said the setting is NULL in a new session and the empty text after a transaction, and neither is anybody's name.

It does not stop somebody who can send statements of his own: he sets the variable. Superusers and roles with BYPASSRLS are
not held at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from aihub.types import OPERATOR_TENANT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

POLICY = "of_tenant"
READ_ONLY = {"tenants"}
"""Tables whose rows a tenant sees but only operators write."""
# As a sub-select the setting is looked up once a statement, not once a row.
_SESSION = "(SELECT current_setting('aihub.tenant', true))"
_EVERY = f"{_SESSION} = '{OPERATOR_TENANT}'"
_TABLES = """
    SELECT c.relname AS name, array_remove(array_agg(DISTINCT
             CASE WHEN p.relname IS NOT NULL THEN k.attname || ' ' || p.relname || ' ' || r.attname END), NULL) AS parents
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = current_schema()
    JOIN pg_attribute t ON t.attrelid = c.oid AND t.attname = 'tenant_id' AND NOT t.attisdropped
    LEFT JOIN pg_constraint f ON f.conrelid = c.oid AND f.contype = 'f'
    LEFT JOIN pg_attribute k ON k.attrelid = c.oid AND k.attnum = f.conkey[1]
    LEFT JOIN pg_class p ON p.oid = f.confrelid
         AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = p.oid AND a.attname = 'tenant_id')
    LEFT JOIN pg_attribute r ON r.attrelid = p.oid AND r.attnum = f.confkey[1]
    WHERE c.relkind IN ('r', 'p')
    GROUP BY c.relname ORDER BY c.relname
"""


def enforce(connection: Connection) -> None:
    """Put the policy on every table that has a tenant; for the owner of the tables, after each migration. Idempotent."""
    if connection.dialect.name != "postgresql":
        return
    for name, parents in connection.execute(sa.text(_TABLES)).all():
        for statement in _statements(name, [tuple(parent.split()) for parent in parents]):
            connection.execute(sa.text(statement))


def is_bypassed(connection: Connection) -> bool:
    """Whether the policies do not hold for the role of this connection; always so on SQLite, which has none."""
    if connection.dialect.name != "postgresql":
        return True
    query = sa.text("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")
    return bool(connection.scalar(query))


def _statements(table: str, parents: list[tuple[str, ...]]) -> Iterator[str]:
    own = f"tenant_id = {_SESSION}"
    # A foreign key is checked without policies: unasked, it and the unique keys behind it would tell what others have.
    visible = [
        f"({column} IS NULL OR EXISTS (SELECT FROM {parent} AS parent WHERE parent.{key} = {table}.{column}))"
        for column, parent, key in sorted(parents)
    ]
    check = _EVERY if table in READ_ONLY else f"{_EVERY} OR ({' AND '.join([own, *visible])})"
    yield f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"
    # The owner of a table is held too, which is who usually connects.
    yield f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY"
    for policy in (POLICY, f"{POLICY}_read"):
        yield f"DROP POLICY IF EXISTS {policy} ON {table}"
    if table in READ_ONLY:
        yield f"CREATE POLICY {POLICY}_read ON {table} FOR SELECT USING ({own})"
        yield f"CREATE POLICY {POLICY} ON {table} USING ({_EVERY}) WITH CHECK ({check})"
    else:
        yield f"CREATE POLICY {POLICY} ON {table} USING ({_EVERY} OR {own}) WITH CHECK ({check})"
