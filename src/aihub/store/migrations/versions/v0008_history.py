"""The history of a model in pages, of all its environments or one, without sorting what is not shown."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Forward."""
    op.create_index("ix_deployments_model_id_id", "deployments", ["model_id", "id"])
    op.create_index(
        "ix_deployments_model_id_environment_id", "deployments", ["model_id", "environment", "id"]
    )


def downgrade() -> None:
    """Back."""
    op.drop_index("ix_deployments_model_id_environment_id", table_name="deployments")
    op.drop_index("ix_deployments_model_id_id", table_name="deployments")
