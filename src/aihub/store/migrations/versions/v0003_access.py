"""Make the audit log append-only for every SQLite connection, and quick to search by actor.

Row-level security is put on after every migration by `aihub.store.isolation`.
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Forward."""
    op.create_index("ix_audit_tenant_id_actor", "audit", ["tenant_id", "actor", "sequence"], unique=False)
    if op.get_bind().dialect.name == "sqlite":
        # INSERT OR REPLACE passes the trigger against DELETE on connections that did not switch recursive triggers on.
        op.execute(
            "CREATE TRIGGER audit_no_replace BEFORE INSERT ON audit "
            "WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id) "
            "OR EXISTS (SELECT 1 FROM audit WHERE tenant_id = NEW.tenant_id AND sequence >= NEW.sequence) "
            "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
        )


def downgrade() -> None:
    """Back."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER audit_no_replace")
    op.drop_index("ix_audit_tenant_id_actor", table_name="audit")
