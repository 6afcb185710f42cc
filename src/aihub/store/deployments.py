"""Deployments as rows: the champion is the one that has not ended. Functions never commit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from aihub.store.job_tables import rollouts
from aihub.store.tables import deployments, models, versions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection


def answering(connection: Connection, *, tenant: str, model: str) -> list[int]:
    """Numbers of the versions of a model that were deployed to production, or answered there as a canary."""
    of_model = (models.c.tenant_id == tenant, models.c.name == model)
    deployed = (
        sa.select(versions.c.number)
        .join(deployments, deployments.c.version_id == versions.c.id)
        .join(models, models.c.id == deployments.c.model_id)
        .where(*of_model, deployments.c.environment == "production")
    )
    tried = (
        sa.select(versions.c.number)
        .join(rollouts, rollouts.c.version_id == versions.c.id)
        .join(models, models.c.id == rollouts.c.model_id)
        .where(*of_model, rollouts.c.environment == "production", rollouts.c.strategy == "canary")
    )
    return list(connection.scalars(deployed.union(tried)))


def select_deployments(
    connection: Connection,
    *,
    tenant: str,
    model: str,
    environment: str | None = None,
    key: str | None = None,
    champion: bool = False,
    before: int | None = None,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """Deployments of a model with their version's number and digest, newest first."""
    query = (
        sa.select(
            deployments,
            models.c.name.label("model"),
            versions.c.number,
            versions.c.major,
            versions.c.minor,
            versions.c.patch,
            versions.c.digest,
            versions.c.status,
            versions.c.uid.label("version_uid"),
        )
        .join(models, models.c.id == deployments.c.model_id)
        .join(versions, versions.c.id == deployments.c.version_id)
        .where(models.c.tenant_id == tenant, deployments.c.tenant_id == tenant, models.c.name == model)
        .order_by(deployments.c.id.desc())
    )
    if environment is not None:
        query = query.where(deployments.c.environment == environment)
    if key is not None:
        query = query.where(deployments.c.idempotency_key == key)
    if champion:
        query = query.where(deployments.c.ended_at.is_(None))
    if before is not None:
        query = query.where(deployments.c.id < before)
    if limit is not None:
        query = query.limit(limit)
    return [dict(row) for row in connection.execute(query).mappings()]


def champions_of(connection: Connection, *, tenant: str, model_ids: Sequence[int]) -> list[dict[str, Any]]:
    """Return what serves of several models: model id, environment, version and since when."""
    query = (
        sa.select(
            deployments.c.model_id,
            deployments.c.environment,
            deployments.c.sequence,
            deployments.c.started_at,
            versions.c.number,
            versions.c.major,
            versions.c.minor,
            versions.c.patch,
        )
        .join(versions, versions.c.id == deployments.c.version_id)
        .where(
            deployments.c.tenant_id == tenant,
            deployments.c.model_id.in_(model_ids),
            deployments.c.ended_at.is_(None),
        )
        .order_by(deployments.c.environment)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


CHANNEL = "aihub_deployments"
"""What PostgreSQL tells listeners on when something else serves."""


def announce(connection: Connection, *, tenant: str, model: str) -> None:
    """Tell listeners on PostgreSQL, when the transaction is through, that another version serves; SQLite is polled."""
    if connection.dialect.name == "postgresql":
        payload = json.dumps({"tenant": tenant, "model": model})
        connection.execute(
            sa.text("SELECT pg_notify(:channel, :payload)"), {"channel": CHANNEL, "payload": payload}
        )


def was_deployed(connection: Connection, *, tenant: str, model: str, environment: str, digest: str) -> bool:
    """Whether this artefact has served in an environment and was not taken back from it since."""
    query = (
        sa.select(deployments.c.ended_by)
        .join(models, models.c.id == deployments.c.model_id)
        .join(versions, versions.c.id == deployments.c.version_id)
        .where(
            deployments.c.tenant_id == tenant,
            models.c.name == model,
            deployments.c.environment == environment,
            versions.c.digest == digest,
        )
        .order_by(deployments.c.id.desc())
        .limit(1)
    )
    last = connection.execute(query).one_or_none()
    return last is not None and last.ended_by != "rollback"


def end_champion(
    connection: Connection, *, model_id: int, environment: str, ended_by: str, now: datetime
) -> None:
    """Close the champion's deployment; `ended_by` is what followed: ``deploy`` or ``rollback``."""
    connection.execute(
        sa.update(deployments)
        .where(
            deployments.c.model_id == model_id,
            deployments.c.environment == environment,
            deployments.c.ended_at.is_(None),
        )
        .values(ended_at=now, ended_by=ended_by)
    )


def insert(connection: Connection, *, version_uid: str, row: Mapping[str, Any]) -> None:
    """Insert a deployment of the version `version_uid`."""
    version_id = sa.select(versions.c.id).where(versions.c.uid == version_uid).scalar_subquery()
    connection.execute(sa.insert(deployments).values(**row, version_id=version_id))
