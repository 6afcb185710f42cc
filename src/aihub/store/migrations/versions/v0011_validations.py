"""Validations of versions that were there already."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "validations",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("tenant_id", sa.String(length=64), server_default="default", nullable=False),
        sa.Column("version_id", BIG, nullable=False),
        sa.Column("report_id", BIG, nullable=False),
        sa.Column("artifact_digest", sa.String(length=64), nullable=False),
        sa.Column("dataset_digest", sa.String(length=64), nullable=False),
        sa.Column("job", sa.String(length=40), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("effect", sa.String(length=16), nullable=False),
        sa.Column("actor", sa.String(length=256), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "effect IN ('accepted', 'rejected', 'lifted', 'none')", name=op.f("ck_validations_effect")
        ),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name=op.f("fk_validations_version_id")),
        sa.ForeignKeyConstraint(["report_id"], ["reports.id"], name=op.f("fk_validations_report_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_validations")),
        sa.UniqueConstraint("tenant_id", "job", name=op.f("uq_validations_tenant_id_job")),
    )
    op.create_index("ix_validations_version_id_id", "validations", ["version_id", "id"])


def downgrade() -> None:
    """Back."""
    op.drop_table("validations")
