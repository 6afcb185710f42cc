"""The tables of the registry. Every one carries the tenant, every time is UTC, every name of a constraint is ours.

A champion is not a column but the one deployment of a model and environment that has not ended: a partial unique
index keeps it single, so that pointer and history cannot disagree.
"""

from __future__ import annotations

import sqlalchemy as sa

from aihub.store.columns import BigInt, UtcDateTime, json_column, metadata, row_id, tenant

models = sa.Table(
    "models",
    metadata,
    row_id(),
    tenant(),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("tenant_id", "name"),
    # With unique lower-case names two models can never differ in case only.
    sa.CheckConstraint("name = lower(name)", name="name_lower"),
)

reports = sa.Table(
    "reports",
    metadata,
    row_id(),
    tenant(),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("passed", sa.Boolean, nullable=False),
    json_column("body"),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("tenant_id", "digest"),
)

versions = sa.Table(
    "versions",
    metadata,
    row_id(),
    tenant(),
    sa.Column("uid", sa.String(32), nullable=False, unique=True),
    sa.Column("model_id", BigInt, sa.ForeignKey("models.id"), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("major", sa.Integer, nullable=False),
    sa.Column("minor", sa.Integer, nullable=False),
    sa.Column("patch", sa.Integer, nullable=False),
    sa.Column("git_commit", sa.String(64)),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.String(64), nullable=False),
    json_column("lineage"),
    json_column("metrics"),
    json_column("notes"),
    # The specification that it was made from: policy and watch rules live with the version. Null: made without one.
    sa.Column("spec", sa.JSON),
    sa.Column("report_id", BigInt, sa.ForeignKey("reports.id")),
    sa.Column("idempotency_key", sa.String(128)),
    sa.Column("created_by", sa.String(256), nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("model_id", "number"),
    sa.UniqueConstraint("model_id", "major", "minor", "patch"),
    sa.UniqueConstraint("model_id", "idempotency_key"),
    sa.CheckConstraint("status IN ('candidate', 'rejected')", name="status"),
    sa.Index(None, "model_id", "git_commit"),
    sa.Index("ix_versions_tenant_id_git_commit", "tenant_id", "git_commit"),
)

deployments = sa.Table(
    "deployments",
    metadata,
    row_id(),
    tenant(),
    sa.Column("uid", sa.String(32), nullable=False, unique=True),
    sa.Column("model_id", BigInt, sa.ForeignKey("models.id"), nullable=False),
    sa.Column("version_id", BigInt, sa.ForeignKey("versions.id"), nullable=False),
    sa.Column("environment", sa.String(32), nullable=False),
    # 1, 2, 3 within model and environment: what a signed statement or a compare-and-set refers to.
    sa.Column("sequence", sa.Integer, nullable=False),
    sa.Column("action", sa.String(16), nullable=False),
    sa.Column("actor", sa.String(256), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("idempotency_key", sa.String(128)),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("ended_at", UtcDateTime),
    sa.Column("ended_by", sa.String(16)),
    # What allowed it: approval, override, evidence of a watch; null for a plain one.
    sa.Column("evidence", sa.JSON),
    sa.UniqueConstraint("model_id", "environment", "sequence"),
    sa.UniqueConstraint("model_id", "idempotency_key"),
    sa.CheckConstraint("action IN ('deploy', 'rollback')", name="action"),
    sa.CheckConstraint("(ended_at IS NULL) = (ended_by IS NULL)", name="ended"),
    sa.Index(None, "model_id", "id"),
    sa.Index(None, "model_id", "environment", "id"),
    # What happened lately, for those who are told of it.
    sa.Index("ix_deployments_started_at", "started_at"),
    sa.Index("ix_deployments_ended_at", "ended_at"),
)
sa.Index(
    "uq_deployments_champion",
    deployments.c.model_id,
    deployments.c.environment,
    unique=True,
    sqlite_where=deployments.c.ended_at.is_(None),
    postgresql_where=deployments.c.ended_at.is_(None),
)

outbox = sa.Table(
    "outbox",
    metadata,
    row_id(),
    tenant(),
    sa.Column("topic", sa.String(64), nullable=False),
    # One effect per topic and key, however often it is asked for.
    sa.Column("key", sa.String(256), nullable=False),
    json_column("payload"),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("last_error", sa.Text),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("done_at", UtcDateTime),
    # Not before: after a failure, and while a dispatcher is at it. Null: at once.
    sa.Column("next_attempt_at", UtcDateTime),
    # Given up after too many attempts; a person may replay it.
    sa.Column("dead_at", UtcDateTime),
    sa.UniqueConstraint("tenant_id", "topic", "key"),
)
sa.Index(
    "ix_outbox_due",
    outbox.c.topic,
    outbox.c.id,
    sqlite_where=outbox.c.done_at.is_(None) & outbox.c.dead_at.is_(None),
    postgresql_where=outbox.c.done_at.is_(None) & outbox.c.dead_at.is_(None),
)
sa.Index(
    "ix_outbox_pending",
    outbox.c.tenant_id,
    outbox.c.id,
    sqlite_where=outbox.c.done_at.is_(None),
    postgresql_where=outbox.c.done_at.is_(None),
)
