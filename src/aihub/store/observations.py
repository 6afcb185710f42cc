"""The monitoring log and its windows as rows. Functions never commit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from aihub.store.monitoring_tables import (
    actual_chunks,
    feature_windows,
    ingest_counts,
    monitored_series,
    prediction_chunks,
    windows,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy.engine import Connection, Row

PENDING = -1
_AT_ONCE = 2000
"""Keys of one query: three parameters each, of which databases take some ten thousand."""
_CHUNK = (
    prediction_chunks.c.id,
    prediction_chunks.c.version,
    prediction_chunks.c.day,
    prediction_chunks.c.level,
    prediction_chunks.c.row_count,
    prediction_chunks.c.body,
)


def lock(connection: Connection, *, tenant: str, model: str) -> None:
    """Let one transaction at a time change the log of a model. SQLite's writers wait for each other anyway."""
    if connection.dialect.name == "postgresql":
        query = sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
        connection.execute(query, {"name": f"aihub-monitoring/{tenant}/{model}"})


def models(connection: Connection, *, tenant: str) -> list[str]:
    """Names of the models that were asked, or told of, sorted."""
    query = sa.select(monitored_series.c.model).where(monitored_series.c.tenant_id == tenant).distinct()
    return sorted(connection.scalars(query))


def all_models(connection: Connection) -> list[tuple[str, str]]:
    """Tenant and name of every model that was asked, of all tenants."""
    query = sa.select(monitored_series.c.tenant_id, monitored_series.c.model).distinct()
    return sorted((tenant, model) for tenant, model in connection.execute(query))


class SeriesRow(NamedTuple):
    """A series of a model, and what the data quality remembers of it."""

    code: int
    name: str
    series_group: str
    state: Any


def series(connection: Connection, *, tenant: str, model: str, faulty: bool = False) -> list[SeriesRow]:
    """Return every series, by code, without states, of which there may be thousands; with `faulty` those whose faults last."""
    table = monitored_series
    kept = _state_text(connection) if faulty else sa.null()
    query = sa.select(table.c.code, table.c.name, table.c.series_group, kept)
    if faulty:
        # Thousands of healthy states need not be read.
        text = sa.cast(table.c.state, sa.Text)
        query = query.where(text.like('%"faults":{"%') | text.like('%"faults": {"%'))
    found = connection.execute(_of(query, table, tenant, model).order_by(table.c.code))
    return [SeriesRow(code, name, group, state_of(kept)) for code, name, group, kept in found]


def _state_text(connection: Connection) -> sa.ColumnElement[str]:
    """States as texts, which is what SQLite has: `state_of` reads them in a third of the library's time."""
    state = monitored_series.c.state
    return sa.type_coerce(state, sa.Text) if connection.dialect.name == "sqlite" else sa.cast(state, sa.Text)


def state_of(text: str | None) -> Any:
    """Read a state."""
    if text is None:
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        # NaN and infinity, which only the library's own writer knows.
        return json.loads(text)


def add_series(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert series."""
    connection.execute(sa.insert(monitored_series), list(rows))


def states(connection: Connection, *, tenant: str, model: str) -> dict[int, str]:
    """Return what the data quality remembers, by code of the series of which it does; `state_of` reads it.

    Texts: thousands of states that are read at once are searched for unreachable objects again and again.
    """
    table = monitored_series
    wanted = sa.select(table.c.code, _state_text(connection))
    query = _of(wanted, table, tenant, model).where(table.c.state.is_not(None))
    return {code: state for code, state in connection.execute(query) if state}


def save_states(connection: Connection, *, tenant: str, model: str, states: Mapping[int, str]) -> None:
    """Keep what the data quality remembers, as `written` writes it, by series code."""
    kept: Any = sa.bindparam("kept", type_=sa.Text)
    if connection.dialect.name != "sqlite":
        kept = sa.cast(kept, monitored_series.c.state.type)
    query = (
        sa.update(monitored_series)
        .where(
            monitored_series.c.tenant_id == tenant,
            monitored_series.c.model == model,
            monitored_series.c.code == sa.bindparam("at"),
        )
        .values(state=kept)
    )
    if states:
        connection.execute(query, [{"at": code, "kept": state} for code, state in states.items()])


def written(state: Any) -> str:
    """Return the JSON of a state, as `state_of` reads it."""
    text = orjson.dumps(state)
    # A null may have been an infinity, which only the library's own writer knows.
    return json.dumps(state) if b"null" in text else text.decode()


def waiting(connection: Connection) -> list[tuple[str, str]]:
    """Tenants and models whose predictions wait to be folded; across tenants."""
    query = (
        sa.select(prediction_chunks.c.tenant_id, prediction_chunks.c.model)
        .where(prediction_chunks.c.level == PENDING)
        .distinct()
    )
    return [(row.tenant_id, row.model) for row in connection.execute(query)]


def pending(connection: Connection, *, tenant: str, model: str) -> tuple[int, int | None]:
    """Rows that wait to be folded, and the smallest id among them."""
    table = prediction_chunks
    query = sa.select(sa.func.coalesce(sa.func.sum(table.c.row_count), 0), sa.func.min(table.c.id_low))
    rows, oldest = connection.execute(_of(query, table, tenant, model).where(table.c.level == PENDING)).one()
    return int(rows), oldest


def add_predictions(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert chunks of predictions."""
    if rows:
        connection.execute(sa.insert(prediction_chunks), list(rows))


def prediction_chunks_of(
    connection: Connection,
    *,
    tenant: str,
    model: str,
    day: int | None = None,
    waiting: bool | None = None,
    features: bool = False,
    version: int | None = None,
) -> list[Row[Any]]:
    """Chunks of predictions in the order of their arrival."""
    table = prediction_chunks
    query = _of(sa.select(*_CHUNK, *([table.c.features] if features else [])), table, tenant, model)
    if day is not None:
        query = query.where(table.c.day == day)
    if version is not None:
        query = query.where(table.c.version == version)
    if waiting is not None:
        query = query.where(table.c.level == PENDING if waiting else table.c.level != PENDING)
    return list(connection.execute(query.order_by(table.c.id)))


def prediction_levels(
    connection: Connection, *, tenant: str, model: str, day: int, version: int
) -> dict[int, int]:
    """Count the chunks of a day by level."""
    table = prediction_chunks
    query = _of(sa.select(table.c.level, sa.func.count()), table, tenant, model)
    query = query.where(table.c.day == day, table.c.version == version).group_by(table.c.level)
    return {int(level): int(n) for level, n in connection.execute(query)}


def chunks_with_ids(
    connection: Connection, *, tenant: str, model: str, low: int, high: int
) -> list[Row[Any]]:
    """Chunks that may hold an id between `low` and `high`."""
    table = prediction_chunks
    query = _of(sa.select(*_CHUNK), table, tenant, model)
    return list(connection.execute(query.where(table.c.id_high >= low, table.c.id_low <= high)))


def delete_predictions(connection: Connection, ids: Collection[int]) -> None:
    """Delete chunks of predictions."""
    _delete(connection, prediction_chunks, ids)


def prediction_days(connection: Connection, *, tenant: str, model: str) -> list[int]:
    """Days that have predictions in the raw log, ascending."""
    table = prediction_chunks
    return list(
        connection.scalars(_of(sa.select(table.c.day).distinct(), table, tenant, model).order_by(table.c.day))
    )


def add_actuals(connection: Connection, row: Mapping[str, Any]) -> None:
    """Insert a chunk of actuals."""
    connection.execute(sa.insert(actual_chunks).values(**row))


def actual_chunks_of(connection: Connection, *, tenant: str, model: str, day: int) -> list[Row[Any]]:
    """Chunks of actuals of a day in the order of their arrival."""
    table = actual_chunks
    query = sa.select(table.c.id, table.c.level, table.c.row_count, table.c.body)
    return list(
        connection.execute(_of(query, table, tenant, model).where(table.c.day == day).order_by(table.c.id))
    )


def newest_actual_day(connection: Connection, *, tenant: str, model: str, until: int) -> int | None:
    """Return the last day up to `until` that has actuals; None where none has."""
    table = actual_chunks
    query = _of(sa.select(sa.func.max(table.c.day)), table, tenant, model).where(table.c.day <= until)
    found = connection.execute(query).scalar()
    return None if found is None else int(found)


def actuals_revision(connection: Connection, *, tenant: str, model: str, day: int) -> tuple[int, int] | None:
    """Return figures that change whenever actuals of `day` or later come in; None where there are none."""
    table = actual_chunks
    query = sa.select(sa.func.max(table.c.id), sa.func.sum(table.c.row_count))
    newest, rows = connection.execute(_of(query, table, tenant, model).where(table.c.day >= day)).one()
    return None if newest is None else (int(newest), int(rows))


def actuals_since(connection: Connection, *, tenant: str, model: str, day: int) -> list[Row[Any]]:
    """Chunks of actuals of `day` and later, in the order of their arrival."""
    table = actual_chunks
    query = sa.select(table.c.day, table.c.row_count, table.c.body)
    return list(
        connection.execute(_of(query, table, tenant, model).where(table.c.day >= day).order_by(table.c.id))
    )


def delete_actuals(connection: Connection, ids: Collection[int]) -> None:
    """Delete chunks of actuals."""
    _delete(connection, actual_chunks, ids)


def window_rows(
    connection: Connection,
    *,
    tenant: str,
    model: str,
    span: str,
    first: int,
    last: int,
    versions: Collection[int] | None = None,
    newest: int | None = None,
) -> list[Row[Any]]:
    """Windows that begin from hour `first` up to and without `last`: hour, version, series_group, sums, scores.

    In the order of their hours; with `newest` the last so many.
    """
    table = windows
    columns = (table.c.hour, table.c.version, table.c.series_group, table.c.sums, table.c.scores)
    query = _of(sa.select(*columns), table, tenant, model)
    query = query.where(table.c.span == span, table.c.hour >= first, table.c.hour < last)
    if versions is not None:
        query = query.where(table.c.version.in_(list(versions)))
    query = query.order_by(table.c.hour.desc())
    return list(connection.execute(query if newest is None else query.limit(newest)))[::-1]


def feature_rows(
    connection: Connection,
    *,
    tenant: str,
    model: str,
    version: int,
    span: str,
    first: int,
    last: int,
    bins: bool = True,
    newest: int | None = None,
) -> list[Row[Any]]:
    """Windows of features that begin from hour `first` up to and without `last`: hour, moments, and bins.

    In the order of their hours; with `newest` the last so many.
    """
    table = feature_windows
    columns = [table.c.hour, table.c.moments, *([table.c.bins] if bins else [])]
    query = _of(sa.select(*columns), table, tenant, model)
    query = query.where(
        table.c.version == version, table.c.span == span, table.c.hour >= first, table.c.hour < last
    )
    query = query.order_by(table.c.hour.desc())
    return list(connection.execute(query if newest is None else query.limit(newest)))[::-1]


def save_windows(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert or replace windows."""
    _upsert(connection, windows, rows, ("sums", "scores"))


def save_feature_windows(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert or replace windows of features."""
    _upsert(connection, feature_windows, rows, ("moments", "bins"))


def delete_windows(
    connection: Connection,
    *,
    tenant: str,
    model: str,
    first: int,
    last: int,
    versions: Collection[int] | None = None,
) -> None:
    """Delete windows (not those of features) that begin in a range."""
    table = windows
    query = sa.delete(table).where(
        table.c.tenant_id == tenant, table.c.model == model, table.c.hour >= first, table.c.hour < last
    )
    if versions is not None:
        query = query.where(table.c.version.in_(list(versions)))
    connection.execute(query)


def delete_feature_windows(
    connection: Connection, *, tenant: str, model: str, version: int, day: int
) -> None:
    """Delete the windows of features of a day."""
    table = feature_windows
    first = day * 24
    query = sa.delete(table).where(
        table.c.tenant_id == tenant, table.c.model == model, table.c.version == version,
        table.c.hour >= first, table.c.hour < first + 24,
    )  # fmt: skip
    connection.execute(query)


def count(connection: Connection, *, tenant: str, model: str, day: int, counts: Mapping[str, int]) -> None:
    """Add to the counters of a day."""
    rows = [
        {"tenant_id": tenant, "model": model, "day": day, "what": what, "row_count": n}
        for what, n in counts.items()
        if n
    ]
    _upsert(connection, ingest_counts, rows, ("row_count",), add=True)


def counts(connection: Connection, *, tenant: str, model: str, first: int, last: int) -> dict[str, int]:
    """Counters of the days from `first` up to and without `last`."""
    table = ingest_counts
    query = _of(sa.select(table.c.what, sa.func.sum(table.c.row_count)), table, tenant, model)
    query = query.where(table.c.day >= first, table.c.day < last).group_by(table.c.what)
    return {what: int(n) for what, n in connection.execute(query)}


def actuals_taken(
    connection: Connection, models: Sequence[tuple[str, str]], *, day: int
) -> dict[tuple[str, str], int]:
    """Actuals that were new or corrected, of many models at once: those that came in on `day` and the day before."""
    table = ingest_counts
    asked = [(*model, one) for model in models for one in (day - 1, day)]
    found: dict[tuple[str, str], int] = {}
    for first in range(0, len(asked), _AT_ONCE):
        keys = sa.tuple_(table.c.tenant_id, table.c.model, table.c.day).in_(asked[first : first + _AT_ONCE])
        query = sa.select(table.c.tenant_id, table.c.model, table.c.row_count)
        for tenant, model, n in connection.execute(
            query.where(keys, table.c.what.in_(("accepted", "corrected")))
        ):
            found[tenant, model] = found.get((tenant, model), 0) + int(n)
    return found


def delete_before(connection: Connection, *, tenant: str, model: str, day: int, limit: int) -> int:
    """Delete at most `limit` chunks of each log of days before `day`; return how many went."""
    gone = 0
    for table in (prediction_chunks, actual_chunks):
        old = _of(sa.select(table.c.id), table, tenant, model).where(table.c.day < day).limit(limit)
        ids = list(connection.scalars(old))
        _delete(connection, table, ids)
        gone += len(ids)
    return gone


def _of(query: sa.Select[Any], table: sa.Table, tenant: str, model: str) -> sa.Select[Any]:
    return query.where(table.c.tenant_id == tenant, table.c.model == model)


def _delete(connection: Connection, table: sa.Table, ids: Collection[int]) -> None:
    if ids:
        connection.execute(
            sa.delete(table).where(table.c.id == sa.bindparam("gone")), [{"gone": i} for i in ids]
        )


def _upsert(
    connection: Connection,
    table: sa.Table,
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
    *,
    add: bool = False,
) -> None:
    if not rows:
        return
    insert = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)
    new = {
        name: insert.excluded[name] + (table.c[name] if add else 0) if add else insert.excluded[name]
        for name in columns
    }
    keys = [column.name for column in table.primary_key]
    connection.execute(insert.on_conflict_do_update(index_elements=keys, set_=new), list(rows))
