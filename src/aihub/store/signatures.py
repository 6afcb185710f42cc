"""Signatures over versions as rows. Functions never commit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from aihub.store.models import insert_unless_there
from aihub.store.signature_tables import signatures
from aihub.store.tables import versions

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.engine import Connection


def put(
    connection: Connection,
    *,
    tenant: str,
    version_uid: str,
    key_id: str,
    envelope: Mapping[str, Any],
    signed_by: str,
    now: datetime,
) -> None:
    """Keep a signature; one key signs a version once, and anew where it has changed since."""
    found: int = connection.execute(
        sa.select(versions.c.id).where(versions.c.uid == version_uid)
    ).scalar_one()
    row = {
        "tenant_id": tenant,
        "version_id": found,
        "key_id": key_id,
        "envelope": dict(envelope),
        "signed_by": signed_by,
        "signed_at": now,
    }
    if insert_unless_there(connection, signatures, row):
        return
    mine = (signatures.c.version_id == found) & (signatures.c.key_id == key_id)
    known = connection.execute(sa.select(signatures.c.envelope).where(mine)).scalar_one()
    if known["payload"] != envelope["payload"]:
        connection.execute(sa.update(signatures).where(mine).values(**row))


def select(connection: Connection, *, tenant: str, version_uid: str) -> list[dict[str, Any]]:
    """Signatures of a version with who made them when, oldest first."""
    columns = signatures.c
    query = (
        sa.select(columns.key_id, columns.signed_by, columns.signed_at, columns.envelope)
        .join(versions, versions.c.id == columns.version_id)
        .where(columns.tenant_id == tenant, versions.c.uid == version_uid)
        .order_by(columns.id)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def envelopes(connection: Connection, *, tenant: str, version_uid: str) -> list[dict[str, Any]]:
    """Envelopes of a version, oldest first."""
    return [row["envelope"] for row in select(connection, tenant=tenant, version_uid=version_uid)]
