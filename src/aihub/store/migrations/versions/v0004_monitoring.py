"""Monitoring: the raw logs of predictions and actuals, windows of sums, and the state of the watch.

A revision stands on its own: it uses no table of `aihub.store`, which moves on.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "actual_chunks",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("tenant_id", sa.String(length=64), server_default="default", nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.Column("row_count", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_actual_chunks")),
    )
    op.create_index("ix_actual_chunks_day", "actual_chunks", ["tenant_id", "model", "day"], unique=False)
    op.create_table(
        "feature_windows",
        sa.Column("tenant_id", sa.String(length=64), server_default="default", nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("span", sa.String(length=1), nullable=False),
        sa.Column("hour", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("moments", sa.LargeBinary(), nullable=False),
        sa.Column("bins", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint(
            "tenant_id", "model", "span", "hour", "version", name=op.f("pk_feature_windows")
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "ingest_counts",
        sa.Column("tenant_id", sa.String(length=64), server_default="default", nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("what", sa.String(length=16), nullable=False),
        sa.Column("row_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "model", "day", "what", name=op.f("pk_ingest_counts")),
    )
    op.create_table(
        "monitored_series",
        sa.Column("tenant_id", sa.String(length=64), server_default="default", nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("code", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("series_group", sa.String(length=64), nullable=False),
        sa.Column("state", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "model", "code", name=op.f("pk_monitored_series")),
        sa.UniqueConstraint(
            "tenant_id", "model", "name", name=op.f("uq_monitored_series_tenant_id_model_name")
        ),
    )
    op.create_table(
        "prediction_chunks",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("tenant_id", sa.String(length=64), server_default="default", nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.Column("row_count", sa.Integer(), nullable=False),
        sa.Column("id_low", sa.BigInteger(), nullable=False),
        sa.Column("id_high", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("features", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prediction_chunks")),
    )
    op.create_index(
        "ix_prediction_chunks_day", "prediction_chunks", ["tenant_id", "model", "day"], unique=False
    )
    op.create_index(
        "ix_prediction_chunks_ids", "prediction_chunks", ["tenant_id", "model", "id_high"], unique=False
    )
    op.create_index(
        "ix_prediction_chunks_pending",
        "prediction_chunks",
        ["tenant_id", "model"],
        unique=False,
        sqlite_where=sa.text("level = -1"),
        postgresql_where=sa.text("level = -1"),
    )
    op.create_table(
        "watch_events",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("tenant_id", sa.String(length=64), server_default="default", nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("environment", sa.String(length=32), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("rule", sa.String(length=64), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_watch_events")),
    )
    op.create_index("ix_watch_events_model", "watch_events", ["tenant_id", "model", "id"], unique=False)
    op.create_table(
        "watch_states",
        sa.Column("tenant_id", sa.String(length=64), server_default="default", nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("environment", sa.String(length=32), nullable=False),
        sa.Column("state", sa.JSON(), nullable=False),
        sa.Column("evaluated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "model", "environment", name=op.f("pk_watch_states")),
    )
    op.create_table(
        "windows",
        sa.Column("tenant_id", sa.String(length=64), server_default="default", nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("span", sa.String(length=1), nullable=False),
        sa.Column("hour", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("series_group", sa.String(length=64), nullable=False),
        sa.Column("sums", sa.LargeBinary(), nullable=False),
        sa.Column("scores", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint(
            "tenant_id", "model", "span", "hour", "version", "series_group", name=op.f("pk_windows")
        ),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Back."""
    op.drop_table("windows")
    op.drop_table("watch_states")
    op.drop_table("watch_events")
    op.drop_table("prediction_chunks")
    op.drop_table("monitored_series")
    op.drop_table("ingest_counts")
    op.drop_table("feature_windows")
    op.drop_table("actual_chunks")
