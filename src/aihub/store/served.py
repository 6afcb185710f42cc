"""What serves, in all environments, as rows: what the serving processes follow. Reads only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from aihub.store.job_tables import rollouts
from aihub.store.tables import deployments, models, versions

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_VERSION = (
    versions.c.number,
    versions.c.major,
    versions.c.minor,
    versions.c.patch,
    versions.c.digest,
    versions.c.spec,
)


def signature(connection: Connection) -> tuple[Any, ...]:
    """Return figures that change whenever something else serves, for less than reading what does."""
    is_open = deployments.c.ended_at.is_(None)
    # The sum: on PostgreSQL a deployment with a smaller id may be committed after one with a larger.
    first = connection.execute(
        sa.select(sa.func.sum(deployments.c.id), sa.func.count()).where(is_open).select_from(deployments)
    ).one()
    is_active = rollouts.c.state == "active"
    second = connection.execute(
        sa.select(
            sa.func.sum(rollouts.c.id),
            sa.func.count(),
            sa.func.sum(rollouts.c.share),
            sa.func.max(rollouts.c.stepped_at),
        )
        .where(is_active)
        .select_from(rollouts)
    ).one()
    return (*first, *second)


def champions(connection: Connection) -> list[dict[str, Any]]:
    """Return the open deployments of every tenant, model and environment, with their versions."""
    query = (
        sa.select(
            deployments.c.tenant_id,
            deployments.c.model_id,
            models.c.name.label("model"),
            deployments.c.environment,
            deployments.c.sequence,
            *_VERSION,
        )
        .join(models, models.c.id == deployments.c.model_id)
        .join(versions, versions.c.id == deployments.c.version_id)
        .where(deployments.c.ended_at.is_(None))
        .order_by(deployments.c.id)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def is_deployed(connection: Connection, tenant: str, model: str, environment: str) -> bool:
    """Whether a model has a champion there."""
    query = (
        sa.select(deployments.c.id)
        .join(models, models.c.id == deployments.c.model_id)
        .where(
            deployments.c.tenant_id == tenant,
            models.c.name == model,
            deployments.c.environment == environment,
            deployments.c.ended_at.is_(None),
        )
    )
    return connection.execute(query).first() is not None


def challengers(connection: Connection) -> list[dict[str, Any]]:
    """Return the active rollouts of every tenant, model and environment, with their versions."""
    query = (
        sa.select(
            rollouts.c.tenant_id,
            models.c.name.label("model"),
            rollouts.c.environment,
            rollouts.c.strategy,
            rollouts.c.share,
            *_VERSION,
        )
        .join(models, models.c.id == rollouts.c.model_id)
        .join(versions, versions.c.id == rollouts.c.version_id)
        .where(rollouts.c.state == "active")
        .order_by(rollouts.c.id)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def before(connection: Connection, *, model_id: int, environment: str, limit: int) -> list[dict[str, Any]]:
    """Return the versions of the newest deployments that have ended, newest first: where a rollback may go."""
    query = (
        sa.select(*_VERSION)
        .select_from(deployments)
        .join(versions, versions.c.id == deployments.c.version_id)
        .where(
            deployments.c.model_id == model_id,
            deployments.c.environment == environment,
            deployments.c.ended_at.is_not(None),
        )
        .order_by(deployments.c.id.desc())
        .limit(limit)
    )
    return [dict(row) for row in connection.execute(query).mappings()]
