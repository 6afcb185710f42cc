"""The engine: whose turn it is in a queue, periodic tasks, and effects that wait for a later attempt or were given up."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)
DUE = sa.text("done_at IS NULL AND dead_at IS NULL")


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "queue_turns",
        sa.Column("queue", sa.String(length=32), nullable=False),
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("turn", BIG, nullable=False),
        sa.PrimaryKeyConstraint("queue", "tenant_id", name=op.f("pk_queue_turns")),
    )
    op.create_table(
        "periodics",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("next_at", TIME, nullable=False),
        sa.Column("runner", sa.String(length=64), nullable=True),
        sa.Column("lease_until", TIME, nullable=True),
        sa.Column("last_at", TIME, nullable=True),
        sa.Column("last_error", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_periodics")),
    )
    op.add_column("outbox", sa.Column("next_attempt_at", TIME, nullable=True))
    op.add_column("outbox", sa.Column("dead_at", TIME, nullable=True))
    op.create_index(
        "ix_outbox_due", "outbox", ["topic", "id"], unique=False, sqlite_where=DUE, postgresql_where=DUE
    )


def downgrade() -> None:
    """Back."""
    op.drop_index("ix_outbox_due", table_name="outbox")
    op.drop_column("outbox", "dead_at")
    op.drop_column("outbox", "next_attempt_at")
    op.drop_table("periodics")
    op.drop_table("queue_turns")
