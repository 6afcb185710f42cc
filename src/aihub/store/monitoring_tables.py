"""The tables of monitoring: raw logs in chunks of columns, windows of sums, and the state of the watch.

A row of `prediction_chunks` or `actual_chunks` holds many predictions or actuals of one model and one day of target
time. Chunks are merged as they grow in number (`level`), deleting a day is deleting a few rows, and joining a day is a
merge of two arrays; rows one by one would cost ten times as much of everything.

On SQLite the first five tables and `series_states` are used in a file of their own, ``monitoring.db`` beside ``hub.db``
(both have all tables), so that the log never waits for the hub's writer nor holds it up.
"""

from __future__ import annotations

import sqlalchemy as sa

from aihub.store.columns import UtcDateTime, json_column, metadata, row_id, tenant


def _model() -> sa.Column[str]:
    return sa.Column("model", sa.String(64), nullable=False)


monitored_series = sa.Table(
    "monitored_series",
    metadata,
    tenant(),
    _model(),
    # 0, 1, 2 within the model: part of the keys in the chunks.
    sa.Column("code", sa.Integer, nullable=False),
    sa.Column("name", sa.String(256), nullable=False),
    sa.Column("series_group", sa.String(64), nullable=False),
    # What the live data quality remembers of the series.
    sa.Column("state", sa.JSON),
    sa.PrimaryKeyConstraint("tenant_id", "model", "code"),
    sa.UniqueConstraint("tenant_id", "model", "name"),
)

prediction_chunks = sa.Table(
    "prediction_chunks",
    metadata,
    row_id(),
    tenant(),
    _model(),
    # Below zero: what the version answered as a shadow, or outside production.
    sa.Column("version", sa.Integer, nullable=False),
    # Day of the target times (of the prediction, where there is no target time), days since 1970 in UTC.
    sa.Column("day", sa.Integer, nullable=False),
    # -1: waits to be folded into the windows; then 0, 1, 2 as chunks are merged.
    sa.Column("level", sa.SmallInteger, nullable=False),
    sa.Column("row_count", sa.Integer, nullable=False),
    sa.Column("id_low", sa.BigInteger, nullable=False),
    sa.Column("id_high", sa.BigInteger, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("features", sa.LargeBinary),
    sa.Index("ix_prediction_chunks_day", "tenant_id", "model", "day"),
    sa.Index("ix_prediction_chunks_ids", "tenant_id", "model", "id_high"),
)
sa.Index(
    "ix_prediction_chunks_pending",
    prediction_chunks.c.tenant_id,
    prediction_chunks.c.model,
    sqlite_where=prediction_chunks.c.level == -1,
    postgresql_where=prediction_chunks.c.level == -1,
)

actual_chunks = sa.Table(
    "actual_chunks",
    metadata,
    row_id(),
    tenant(),
    _model(),
    sa.Column("day", sa.Integer, nullable=False),
    sa.Column("level", sa.SmallInteger, nullable=False),
    sa.Column("row_count", sa.Integer, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Index("ix_actual_chunks_day", "tenant_id", "model", "day"),
)

windows = sa.Table(
    "windows",
    metadata,
    tenant(),
    _model(),
    # 'h' or 'd': an hour, or the day that its hours add up to.
    sa.Column("span", sa.String(1), nullable=False),
    # First hour of the window, hours since 1970 in UTC.
    sa.Column("hour", sa.Integer, nullable=False),
    # Number of the version, below zero of a shadow or outside production; 0 is the seasonal-naive reference.
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("series_group", sa.String(64), nullable=False),
    sa.Column("sums", sa.LargeBinary, nullable=False),
    sa.Column("scores", sa.LargeBinary),
    sa.PrimaryKeyConstraint("tenant_id", "model", "span", "hour", "version", "series_group"),
    sqlite_with_rowid=False,
)

feature_windows = sa.Table(
    "feature_windows",
    metadata,
    tenant(),
    _model(),
    sa.Column("span", sa.String(1), nullable=False),
    sa.Column("hour", sa.Integer, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("moments", sa.LargeBinary, nullable=False),
    sa.Column("bins", sa.LargeBinary, nullable=False),
    sa.PrimaryKeyConstraint("tenant_id", "model", "span", "hour", "version"),
    sqlite_with_rowid=False,
)

ingest_counts = sa.Table(
    "ingest_counts",
    metadata,
    tenant(),
    _model(),
    # Day on which they came in, days since 1970.
    sa.Column("day", sa.Integer, nullable=False),
    sa.Column("what", sa.String(16), nullable=False),
    sa.Column("row_count", sa.BigInteger, nullable=False),
    sa.PrimaryKeyConstraint("tenant_id", "model", "day", "what"),
)

watch_states = sa.Table(
    "watch_states",
    metadata,
    tenant(),
    _model(),
    sa.Column("environment", sa.String(32), nullable=False),
    # Since when each rule has been firing, when it last acted, what a person has acknowledged.
    json_column("state"),
    sa.Column("evaluated_at", UtcDateTime, nullable=False),
    sa.PrimaryKeyConstraint("tenant_id", "model", "environment"),
)

watch_events = sa.Table(
    "watch_events",
    metadata,
    row_id(),
    tenant(),
    _model(),
    sa.Column("environment", sa.String(32), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("rule", sa.String(64), nullable=False),
    json_column("evidence"),
    sa.Index("ix_watch_events_model", "tenant_id", "model", "id"),
)
