"""The tables. Every one carries the tenant, every time is UTC, every name of a constraint is ours.

A champion is not a column but the one deployment of a model and environment that has not ended: a partial unique
index keeps it single, so that pointer and history cannot disagree.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect

DEFAULT_TENANT = "default"

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time; naive times are refused on the way in."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC; SQLite has no zones and stores the naive UTC time."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"time {value!r} has no zone; pass an aware datetime")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """From what the database stores to an aware UTC time."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# SQLite gives automatic row ids only to INTEGER, PostgreSQL should have 64 bits.
BigInt = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _id() -> sa.Column[int]:
    return sa.Column("id", BigInt, primary_key=True, autoincrement=True)


def _tenant() -> sa.Column[str]:
    return sa.Column("tenant_id", sa.String(64), nullable=False, server_default=DEFAULT_TENANT)


def _json(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.JSON, nullable=False)


models = sa.Table(
    "models",
    metadata,
    _id(),
    _tenant(),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("tenant_id", "name"),
    # With unique lower-case names two models can never differ in case only.
    sa.CheckConstraint("name = lower(name)", name="name_lower"),
)

reports = sa.Table(
    "reports",
    metadata,
    _id(),
    _tenant(),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("passed", sa.Boolean, nullable=False),
    _json("body"),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("tenant_id", "digest"),
)

versions = sa.Table(
    "versions",
    metadata,
    _id(),
    _tenant(),
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
    _json("lineage"),
    _json("metrics"),
    _json("notes"),
    sa.Column("report_id", BigInt, sa.ForeignKey("reports.id")),
    sa.Column("idempotency_key", sa.String(128)),
    sa.Column("created_by", sa.String(256), nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("model_id", "number"),
    sa.UniqueConstraint("model_id", "major", "minor", "patch"),
    sa.UniqueConstraint("model_id", "idempotency_key"),
    sa.CheckConstraint("status IN ('candidate', 'rejected')", name="status"),
    sa.Index(None, "model_id", "git_commit"),
)

deployments = sa.Table(
    "deployments",
    metadata,
    _id(),
    _tenant(),
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
    sa.UniqueConstraint("model_id", "environment", "sequence"),
    sa.UniqueConstraint("model_id", "idempotency_key"),
    sa.CheckConstraint("action IN ('deploy', 'rollback')", name="action"),
    sa.CheckConstraint("(ended_at IS NULL) = (ended_by IS NULL)", name="ended"),
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
    _id(),
    _tenant(),
    sa.Column("topic", sa.String(64), nullable=False),
    # One effect per topic and key, however often it is asked for.
    sa.Column("key", sa.String(256), nullable=False),
    _json("payload"),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("last_error", sa.Text),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("done_at", UtcDateTime),
    sa.UniqueConstraint("tenant_id", "topic", "key"),
)
sa.Index(
    "ix_outbox_pending",
    outbox.c.tenant_id,
    outbox.c.id,
    sqlite_where=outbox.c.done_at.is_(None),
    postgresql_where=outbox.c.done_at.is_(None),
)
