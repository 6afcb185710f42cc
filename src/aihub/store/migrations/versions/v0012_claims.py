"""How often a job was taken, which is not how often since its last progress."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Forward."""
    op.add_column("jobs", sa.Column("claims", sa.Integer(), server_default="0", nullable=False))


def downgrade() -> None:
    """Back."""
    op.drop_column("jobs", "claims")
