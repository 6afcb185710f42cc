"""The requests for approval of a state or a model in pages, without reading all the others."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Forward."""
    op.create_index("ix_approvals_tenant_id_state_id", "approvals", ["tenant_id", "state", "id"])
    op.create_index("ix_approvals_model_id_id", "approvals", ["model_id", "id"])


def downgrade() -> None:
    """Back."""
    op.drop_index("ix_approvals_model_id_id", table_name="approvals")
    op.drop_index("ix_approvals_tenant_id_state_id", table_name="approvals")
