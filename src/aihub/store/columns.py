"""What all tables share: one metadata, the naming of constraints, UTC times and the columns that every table has."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator

from aihub.settings import DEFAULT_TENANT

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect

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


def row_id() -> sa.Column[int]:
    """Make the column of the number that the database gives a row."""
    return sa.Column("id", BigInt, primary_key=True, autoincrement=True)


def tenant() -> sa.Column[str]:
    """Make the column that says whose row it is; every table has it."""
    return sa.Column("tenant_id", sa.String(64), nullable=False, server_default=DEFAULT_TENANT)


def json_column(name: str) -> sa.Column[Any]:
    """Make a column for a document that is always there."""
    return sa.Column(name, sa.JSON, nullable=False)
