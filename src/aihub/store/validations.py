"""Validations of versions as rows. Functions never commit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from aihub.store.tables import models, reports, versions
from aihub.store.validation_tables import validations

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.engine import Connection


def insert(connection: Connection, *, version_uid: str, row: Mapping[str, Any]) -> None:
    """Insert a validation of the version `version_uid`."""
    found: int = connection.execute(
        sa.select(versions.c.id).where(versions.c.uid == version_uid)
    ).scalar_one()
    connection.execute(sa.insert(validations).values(**row, version_id=found))


def change_version(connection: Connection, *, uid: str, values: Mapping[str, Any]) -> None:
    """Write what the gate has said into the row of a version; its artefact and lineage never change."""
    connection.execute(sa.update(versions).where(versions.c.uid == uid).values(**values))


def select(
    connection: Connection,
    *where: sa.ColumnElement[bool],
    tenant: str,
    model: str,
    before: int | None = None,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """Return validations of a model's versions with the digest of their report, newest first."""
    query = (
        sa.select(validations, reports.c.digest.label("report_digest"))
        .join(versions, versions.c.id == validations.c.version_id)
        .join(models, models.c.id == versions.c.model_id)
        .join(reports, reports.c.id == validations.c.report_id)
        .where(
            validations.c.tenant_id == tenant, models.c.tenant_id == tenant, models.c.name == model, *where
        )
        .order_by(validations.c.id.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(validations.c.id < before)
    return [dict(row) for row in connection.execute(query).mappings()]
