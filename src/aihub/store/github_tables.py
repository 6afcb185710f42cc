"""The tables of GitHub's side: which workflows are trusted, what they were given, and what GitHub asked us."""

from __future__ import annotations

import sqlalchemy as sa

from aihub.store.columns import UtcDateTime, json_column, metadata, row_id, tenant

trust_policies = sa.Table(
    "trust_policies",
    metadata,
    row_id(),
    tenant(),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("repository_id", sa.String(20), nullable=False),
    # The whole policy; the fields are `aihub.github.trust.TrustPolicy`.
    json_column("policy"),
    sa.Column("created_by", sa.String(256), nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("tenant_id", "name"),
    sa.Index("ix_trust_policies_repository_id", "repository_id"),
)

github_sessions = sa.Table(
    "github_sessions",
    metadata,
    # The public part of the credential `hubgh_<id>_<secret>`.
    sa.Column("id", sa.String(16), primary_key=True),
    tenant(),
    # A token is good once: the second use of its id meets this constraint.
    sa.Column("jti", sa.String(512), nullable=False, unique=True),
    sa.Column("repository_id", sa.String(20), nullable=False),
    sa.Column("principal", sa.String(256), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    json_column("scopes"),
    sa.Column("sha", sa.String(64), nullable=False),
    sa.Column("environment", sa.String(255)),
    # What GitHub said about the job, which is evidence of its approval where it names an environment.
    json_column("claims"),
    sa.Column("secret_sha256", sa.String(64), nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("expires_at", UtcDateTime, nullable=False),
    sa.Index("ix_github_sessions_expires_at", "expires_at"),
    sa.Index("ix_github_sessions_repository_id", "tenant_id", "repository_id"),
    sa.Index("ix_github_sessions_sha", "tenant_id", "sha"),
)

github_gates = sa.Table(
    "github_gates",
    metadata,
    row_id(),
    tenant(),
    sa.Column("repository_id", sa.String(20), nullable=False),
    sa.Column("repository", sa.String(256), nullable=False),
    sa.Column("run_id", sa.String(20), nullable=False),
    sa.Column("environment", sa.String(255), nullable=False),
    sa.Column("deployment_id", sa.String(20), nullable=False),
    sa.Column("installation_id", sa.String(20)),
    sa.Column("sha", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("comment", sa.Text, nullable=False, server_default=""),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("decided_at", UtcDateTime),
    # What GitHub asks is one question, however often and under whatever delivery id it arrives.
    sa.UniqueConstraint(
        "repository_id", "run_id", "environment", "deployment_id", name="uq_github_gates_question"
    ),
    sa.CheckConstraint("state IN ('pending', 'approved', 'rejected')", name="state"),
    sa.Index("ix_github_gates_sha", "tenant_id", "sha"),
    sa.Index("ix_github_gates_created_at", "created_at"),
)

github_deliveries = sa.Table(
    "github_deliveries",
    metadata,
    # `X-GitHub-Delivery` of a webhook that was taken.
    sa.Column("id", sa.String(64), primary_key=True),
    tenant(),
    sa.Column("received_at", UtcDateTime, nullable=False),
    sa.Index("ix_github_deliveries_received_at", "received_at"),
)
