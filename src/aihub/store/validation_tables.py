"""The table of validations: what the gate said of a version that was there already, once per job."""

from __future__ import annotations

import sqlalchemy as sa

from aihub.store.columns import BigInt, UtcDateTime, metadata, row_id, tenant

validations = sa.Table(
    "validations",
    metadata,
    row_id(),
    tenant(),
    sa.Column("version_id", BigInt, sa.ForeignKey("versions.id"), nullable=False),
    sa.Column("report_id", BigInt, sa.ForeignKey("reports.id"), nullable=False),
    # What was judged, and on which table: the report says the same, and its digest binds the three.
    sa.Column("artifact_digest", sa.String(64), nullable=False),
    sa.Column("dataset_digest", sa.String(64), nullable=False),
    sa.Column("job", sa.String(40), nullable=False),
    sa.Column("passed", sa.Boolean, nullable=False),
    # What it did to the version.
    sa.Column("effect", sa.String(16), nullable=False),
    sa.Column("actor", sa.String(256), nullable=False),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("tenant_id", "job"),
    sa.CheckConstraint("effect IN ('accepted', 'rejected', 'lifted', 'none')", name="effect"),
    sa.Index(None, "version_id", "id"),
)
