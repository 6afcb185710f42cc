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
    """Keep a signature; one key signs a version once."""
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
    insert_unless_there(connection, signatures, row)


def envelopes(connection: Connection, *, tenant: str, version_uid: str) -> list[dict[str, Any]]:
    """Envelopes of a version, oldest first."""
    query = (
        sa.select(signatures.c.envelope)
        .join(versions, versions.c.id == signatures.c.version_id)
        .where(signatures.c.tenant_id == tenant, versions.c.uid == version_uid)
        .order_by(signatures.c.id)
    )
    return list(connection.scalars(query))
