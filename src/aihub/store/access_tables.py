"""The tables of who may do what and who did what: tenants, API keys, the audit log, and answers already given."""

from __future__ import annotations

import sqlalchemy as sa

from aihub.store.columns import BigInt, UtcDateTime, json_column, metadata, row_id

tenants = sa.Table(
    "tenants",
    metadata,
    sa.Column("tenant_id", sa.String(64), primary_key=True),
    sa.Column("created_by", sa.String(256), nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    # Limits and what may happen without a person; the fields are `aihub.delivery.policy.TenantRules`.
    json_column("rules"),
    sa.Column("is_active", sa.Boolean, nullable=False),
)

api_keys = sa.Table(
    "api_keys",
    metadata,
    # The public part of `hub_<id>_<secret>`.
    sa.Column("id", sa.String(16), primary_key=True),
    # A tenant's name, or `*` for the operators of the hub, who may act in any tenant.
    sa.Column("tenant_id", sa.String(64), nullable=False),
    sa.Column("principal", sa.String(256), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    # Narrower than the role where given; null: everything that the role may do.
    sa.Column("scopes", sa.JSON),
    sa.Column("secret_sha256", sa.String(64), nullable=False),
    sa.Column("created_by", sa.String(256), nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("expires_at", UtcDateTime),
    sa.Column("last_used_at", UtcDateTime),
    sa.Column("revoked_at", UtcDateTime),
    sa.CheckConstraint("role IN ('viewer', 'trainer', 'approver', 'deployer', 'admin')", name="role"),
    sa.Index(None, "tenant_id", "principal"),
)

audit = sa.Table(
    "audit",
    metadata,
    row_id(),
    sa.Column("tenant_id", sa.String(64), nullable=False),
    # 1, 2, 3 within the tenant, without a gap.
    sa.Column("sequence", BigInt, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("actor", sa.String(256), nullable=False),
    # Past participle: `model.rolled_back`.
    sa.Column("action", sa.String(64), nullable=False),
    sa.Column("subject", sa.String(256), nullable=False),
    sa.Column("before", sa.JSON),
    sa.Column("after", sa.JSON),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    # From where: `api 127.0.0.1 req_...`, `cli host`, `worker ...`.
    sa.Column("source", sa.String(256), nullable=False, server_default=""),
    sa.Column("previous_hash", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.UniqueConstraint("tenant_id", "sequence"),
    sa.Index("ix_audit_tenant_id_subject", "tenant_id", "subject", "sequence"),
    sa.Index("ix_audit_tenant_id_action", "tenant_id", "action", "sequence"),
    sa.Index("ix_audit_tenant_id_actor", "tenant_id", "actor", "sequence"),
)

idempotency = sa.Table(
    "idempotency",
    metadata,
    sa.Column("tenant_id", sa.String(64), primary_key=True),
    sa.Column("principal", sa.String(256), primary_key=True),
    sa.Column("key", sa.String(128), primary_key=True),
    # SHA-256 of method, path and body: the same key for another request is an error of the caller.
    sa.Column("request_sha256", sa.String(64), nullable=False),
    # Null while the first request still runs.
    sa.Column("status", sa.Integer),
    sa.Column("headers", sa.JSON),
    sa.Column("body", sa.Text),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Index(None, "created_at"),
)
