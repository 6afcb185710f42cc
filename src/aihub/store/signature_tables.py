"""The table of signatures over versions."""

from __future__ import annotations

import sqlalchemy as sa

from aihub.store.columns import BigInt, UtcDateTime, json_column, metadata, row_id, tenant

signatures = sa.Table(
    "signatures",
    metadata,
    row_id(),
    tenant(),
    sa.Column("version_id", BigInt, sa.ForeignKey("versions.id"), nullable=False),
    # SHA-256 of the public key.
    sa.Column("key_id", sa.String(64), nullable=False),
    json_column("envelope"),
    sa.Column("signed_by", sa.String(256), nullable=False),
    sa.Column("signed_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("version_id", "key_id"),
)
