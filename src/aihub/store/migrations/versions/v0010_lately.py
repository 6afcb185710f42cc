"""Find what was asked by GitHub, deployed or replaced lately, and versions by their commit, without reading everything."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Forward."""
    op.create_index("ix_versions_tenant_id_git_commit", "versions", ["tenant_id", "git_commit"])
    op.create_index("ix_deployments_started_at", "deployments", ["started_at"])
    op.create_index("ix_deployments_ended_at", "deployments", ["ended_at"])
    op.create_index("ix_github_gates_created_at", "github_gates", ["created_at"])


def downgrade() -> None:
    """Back."""
    op.drop_index("ix_github_gates_created_at", table_name="github_gates")
    op.drop_index("ix_deployments_ended_at", table_name="deployments")
    op.drop_index("ix_deployments_started_at", table_name="deployments")
    op.drop_index("ix_versions_tenant_id_git_commit", table_name="versions")
