"""The database's clock as SQL: leases of several machines are measured by one clock, whatever theirs say.

SQLite has no clock of its own: all its users are on one machine and share that one's.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from aihub.store.columns import UtcDateTime

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


def now(connection: Connection) -> sa.ColumnElement[datetime]:
    """Return the present time, also within a transaction that began earlier."""
    return ahead(connection, 0.0)


def ahead(connection: Connection, seconds: float) -> sa.ColumnElement[datetime]:
    """Return the time in so many seconds."""
    if connection.dialect.name == "postgresql":
        shifted: Any = sa.literal_column(f"(clock_timestamp() + interval '{float(seconds):.6f} seconds')")
        return sa.type_coerce(shifted, UtcDateTime)
    return sa.literal(datetime.now(UTC) + timedelta(seconds=seconds), UtcDateTime)
