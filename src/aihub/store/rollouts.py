"""Newcomers beside the champion as rows, and who is asked which of the two. Functions never commit."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from aihub.store.job_tables import rollouts
from aihub.store.tables import models, versions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.engine import Connection

ACTIVE = "active"


def share_of(key: str, salt: str = "") -> float:
    """Return where `key` (a series, or a request's id) lies in [0, 1): always the same place for the same salt.

    A rollout answers the keys whose place is below its share, so that a series which it answers stays with it while the
    share grows. The salt is the rollout's uid: another rollout begins with other series.

    >>> 0 <= share_of("meter-7", "rollout-1") < 1
    True
    >>> share_of("meter-7", "rollout-1") == share_of("meter-7", "rollout-2")
    False
    """
    digest = hashlib.blake2b(f"{salt}\0{key}".encode(), digest_size=8).digest()
    # 53 bits are what a float holds: with more the largest would be rounded to 1.
    return (int.from_bytes(digest) >> 11) / 2**53


def select(
    connection: Connection, *where: sa.ColumnElement[bool], tenant: str | None, limit: int | None = None
) -> list[dict[str, Any]]:
    """Return rollouts with model and version, newest first; `tenant` None: of all tenants."""
    query = (
        sa.select(
            rollouts,
            models.c.name.label("model"),
            versions.c.uid.label("version_uid"),
            versions.c.number,
            versions.c.major,
            versions.c.minor,
            versions.c.patch,
            versions.c.digest,
        )
        .join(models, models.c.id == rollouts.c.model_id)
        .join(versions, versions.c.id == rollouts.c.version_id)
        .where(*where)
        .order_by(rollouts.c.id.desc())
        .limit(limit)
    )
    if tenant is not None:
        query = query.where(rollouts.c.tenant_id == tenant)
    return [dict(row) for row in connection.execute(query).mappings()]


def select_active(
    connection: Connection,
    *,
    tenant: str | None,
    model: str | None = None,
    environment: str | None = None,
    model_ids: Sequence[int] | None = None,
) -> list[dict[str, Any]]:
    """Return the rollouts under way; there is at most one of a model and environment."""
    where = [rollouts.c.state == ACTIVE]
    if model_ids is not None:
        where.append(rollouts.c.model_id.in_(model_ids))
    if model is not None:
        where.append(models.c.name == model)
    if environment is not None:
        where.append(rollouts.c.environment == environment)
    return select(connection, *where, tenant=tenant)


def insert(connection: Connection, *, version_uid: str, row: Mapping[str, Any]) -> None:
    """Insert a rollout of the version `version_uid`."""
    ids = connection.execute(
        sa.select(versions.c.id, versions.c.model_id).where(versions.c.uid == version_uid)
    ).one()
    connection.execute(sa.insert(rollouts).values(**row, version_id=ids.id, model_id=ids.model_id))


def change(connection: Connection, *, uid: str, **values: Any) -> bool:
    """Change an active rollout; False where it has ended meanwhile."""
    done = connection.execute(
        sa.update(rollouts).where(rollouts.c.uid == uid, rollouts.c.state == ACTIVE).values(**values)
    )
    return done.rowcount == 1
