"""Models, versions and reports as rows. Functions take an open transaction and never commit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from aihub.store.tables import models, reports, versions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection


def lock_model(connection: Connection, *, tenant: str, name: str) -> int | None:
    """Return the id of a model and let nobody else change it until the transaction ends; None without such a model."""
    # SQLite has one writer at a time and ignores FOR UPDATE.
    query = (
        sa.select(models.c.id).where(models.c.tenant_id == tenant, models.c.name == name).with_for_update()
    )
    return connection.scalar(query)


def ensure_model(connection: Connection, *, tenant: str, name: str, now: datetime) -> int:
    """Return the id of a locked model, made where it is missing."""
    found = lock_model(connection, tenant=tenant, name=name)
    if found is not None:
        return found
    insert_unless_there(connection, models, {"tenant_id": tenant, "name": name, "created_at": now})
    made = lock_model(connection, tenant=tenant, name=name)
    if made is None:
        raise LookupError(f"model {name!r} vanished")
    return made


def insert_unless_there(connection: Connection, table: sa.Table, row: Mapping[str, Any]) -> bool:
    """Insert `row` and say whether it was; a row with the same unique key stays as it is."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as pg_insert  # noqa: PLC0415 - one of two dialects

        statement: sa.Executable = pg_insert(table).values(**row).on_conflict_do_nothing()
    else:
        from sqlalchemy.dialects.sqlite import insert as lite_insert  # noqa: PLC0415 - one of two dialects

        statement = lite_insert(table).values(**row).on_conflict_do_nothing()
    done = connection.execute(statement, execution_options={"preserve_rowcount": True})
    return done.rowcount == 1


def has_model(connection: Connection, *, tenant: str, name: str) -> bool:
    """Return whether the tenant has a model of this name; one look into an index."""
    mine = (models.c.tenant_id == tenant, models.c.name == name)
    return connection.execute(sa.select(models.c.id).where(*mine)).first() is not None


def list_models(connection: Connection, *, tenant: str) -> list[str]:
    """Names of a tenant's models, sorted."""
    query = sa.select(models.c.name).where(models.c.tenant_id == tenant).order_by(models.c.name)
    return list(connection.scalars(query))


def page_of_models(
    connection: Connection,
    *,
    tenant: str,
    after: str | None = None,
    limit: int | None = None,
    name: str | None = None,
) -> list[dict[str, Any]]:
    """Models in the order of their names, each with the number of its newest version: 0 where it has none."""
    # Numbers have no gaps, so the highest is also the count; the index answers it without reading the versions.
    highest = (
        sa.select(sa.func.coalesce(sa.func.max(versions.c.number), 0))
        .where(versions.c.model_id == models.c.id)
        .correlate(models)
        .scalar_subquery()
        .label("latest")
    )
    query = sa.select(models.c.id, models.c.name, models.c.created_at, highest).where(
        models.c.tenant_id == tenant
    )
    if after is not None:
        query = query.where(models.c.name > after)
    if name is not None:
        query = query.where(models.c.name == name)
    return [dict(row) for row in connection.execute(query.order_by(models.c.name).limit(limit)).mappings()]


def save_report(
    connection: Connection, *, tenant: str, digest: str, passed: bool, body: Mapping[str, Any], now: datetime
) -> int:
    """Store a report once per digest and return its row id."""
    row = {"tenant_id": tenant, "digest": digest, "passed": passed, "body": dict(body), "created_at": now}
    insert_unless_there(connection, reports, row)
    query = sa.select(reports.c.id).where(reports.c.tenant_id == tenant, reports.c.digest == digest)
    found: int = connection.execute(query).scalar_one()
    return found


def report_body(connection: Connection, *, tenant: str, digest: str) -> dict[str, Any] | None:
    """Return a report's JSON form."""
    query = sa.select(reports.c.body).where(reports.c.tenant_id == tenant, reports.c.digest == digest)
    body: dict[str, Any] | None = connection.scalar(query)
    return body


def insert_version(connection: Connection, row: Mapping[str, Any]) -> None:
    """Insert a version."""
    connection.execute(sa.insert(versions).values(**row))


def select_versions(
    connection: Connection,
    *,
    tenant: str,
    model: str,
    where: Sequence[sa.ColumnElement[bool]] = (),
    newest: int | None = None,
) -> list[dict[str, Any]]:
    """Versions of a model with the digest of their report, oldest first; with `newest` only so many, newest first."""
    query = (
        sa.select(versions, models.c.name.label("model"), reports.c.digest.label("report_digest"))
        .join(models, models.c.id == versions.c.model_id)
        .outerjoin(reports, reports.c.id == versions.c.report_id)
        .where(models.c.tenant_id == tenant, versions.c.tenant_id == tenant, models.c.name == model, *where)
    )
    if newest is None:
        query = query.order_by(versions.c.number)
    else:
        query = query.order_by(versions.c.number.desc()).limit(newest)
    return [dict(row) for row in connection.execute(query).mappings()]


def latest_version(
    connection: Connection, *, model_id: int, without_status: str | None = None
) -> dict[str, Any] | None:
    """Version with the highest number; with `without_status`, of those that have another."""
    query = sa.select(versions).where(versions.c.model_id == model_id)
    if without_status is not None:
        query = query.where(versions.c.status != without_status)
    row = connection.execute(query.order_by(versions.c.number.desc()).limit(1)).mappings().one_or_none()
    return None if row is None else dict(row)


def has_semantic(connection: Connection, *, model_id: int, major: int, minor: int, patch: int) -> bool:
    """Whether a version of the model has this semantic version."""
    query = sa.select(versions.c.id).where(
        versions.c.model_id == model_id,
        versions.c.major == major,
        versions.c.minor == minor,
        versions.c.patch == patch,
    )
    return connection.execute(query.limit(1)).first() is not None
