"""GitHub: trusted workflows, the sessions they were given, the gates GitHub asked about and the webhooks taken.

A revision stands on its own: it uses no table of `aihub.store`, which moves on.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)


def _tenant() -> sa.Column[str]:
    return sa.Column("tenant_id", sa.String(length=64), server_default="default", nullable=False)


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "trust_policies",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        _tenant(),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("repository_id", sa.String(length=20), nullable=False),
        sa.Column("policy", sa.JSON(), nullable=False),
        sa.Column("created_by", sa.String(length=256), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trust_policies")),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_trust_policies_tenant_id_name")),
    )
    op.create_index("ix_trust_policies_repository_id", "trust_policies", ["repository_id"], unique=False)
    op.create_table(
        "github_sessions",
        sa.Column("id", sa.String(length=16), nullable=False),
        _tenant(),
        sa.Column("jti", sa.String(length=512), nullable=False),
        sa.Column("repository_id", sa.String(length=20), nullable=False),
        sa.Column("principal", sa.String(length=256), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("sha", sa.String(length=64), nullable=False),
        sa.Column("environment", sa.String(length=255), nullable=True),
        sa.Column("claims", sa.JSON(), nullable=False),
        sa.Column("secret_sha256", sa.String(length=64), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_github_sessions")),
        sa.UniqueConstraint("jti", name=op.f("uq_github_sessions_jti")),
    )
    op.create_index("ix_github_sessions_expires_at", "github_sessions", ["expires_at"], unique=False)
    op.create_index(
        "ix_github_sessions_repository_id", "github_sessions", ["tenant_id", "repository_id"], unique=False
    )
    op.create_index("ix_github_sessions_sha", "github_sessions", ["tenant_id", "sha"], unique=False)
    op.create_table(
        "github_gates",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        _tenant(),
        sa.Column("repository_id", sa.String(length=20), nullable=False),
        sa.Column("repository", sa.String(length=256), nullable=False),
        sa.Column("run_id", sa.String(length=20), nullable=False),
        sa.Column("environment", sa.String(length=255), nullable=False),
        sa.Column("deployment_id", sa.String(length=20), nullable=False),
        sa.Column("installation_id", sa.String(length=20), nullable=True),
        sa.Column("sha", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("comment", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("decided_at", TIME, nullable=True),
        sa.CheckConstraint(
            "state IN ('pending', 'approved', 'rejected')", name=op.f("ck_github_gates_state")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_github_gates")),
        sa.UniqueConstraint(
            "repository_id", "run_id", "environment", "deployment_id", name="uq_github_gates_question"
        ),
    )
    op.create_index("ix_github_gates_sha", "github_gates", ["tenant_id", "sha"], unique=False)
    op.create_table(
        "github_deliveries",
        sa.Column("id", sa.String(length=64), nullable=False),
        _tenant(),
        sa.Column("received_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_github_deliveries")),
    )
    op.create_index("ix_github_deliveries_received_at", "github_deliveries", ["received_at"], unique=False)


def downgrade() -> None:
    """Back."""
    for table in ("github_deliveries", "github_gates", "github_sessions", "trust_policies"):
        op.drop_table(table)
