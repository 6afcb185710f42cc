"""The tables of the engine beside the jobs themselves: whose turn it is, and what runs every so often."""

from __future__ import annotations

import sqlalchemy as sa

from aihub.store.columns import BigInt, UtcDateTime, metadata

queue_turns = sa.Table(
    "queue_turns",
    metadata,
    # Grows with every claim: the tenant with the smallest was served longest ago.
    sa.Column("queue", sa.String(32), primary_key=True),
    sa.Column("tenant_id", sa.String(64), primary_key=True),
    sa.Column("turn", BigInt, nullable=False),
)

periodics = sa.Table(
    "periodics",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("next_at", UtcDateTime, nullable=False),
    # Who runs it now; another may take it over when the lease has run out.
    sa.Column("runner", sa.String(64)),
    sa.Column("lease_until", UtcDateTime),
    sa.Column("last_at", UtcDateTime),
    sa.Column("last_error", sa.Text, nullable=False, server_default=""),
)
