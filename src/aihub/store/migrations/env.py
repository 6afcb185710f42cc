"""Alembic's entry: runs inside the transaction that `aihub.store.schema` has opened."""

from __future__ import annotations

from alembic import context

from aihub.store.schema import VERSION_TABLE
from aihub.store.schema_tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    # SQLite cannot alter most things in place; Alembic then copies the table.
    render_as_batch=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
