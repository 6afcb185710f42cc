"""What time brings by itself: requests that lapse, deployments whose freeze is over, rollouts that go on or end."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa

from aihub.delivery import approval_records, approvals, deployments, rollouts
from aihub.delivery.approvals import EXPIRED_AT_ONCE, HUB
from aihub.delivery.orders import Outcome
from aihub.delivery.standing import frozen_now
from aihub.delivery.strategy import Promote, Stay, Stop, advance
from aihub.errors import AIHubError, ArtifactError, ConflictError, UnavailableError
from aihub.store import approvals as approval_rows
from aihub.store.engine import EVERY_TENANT, read, write
from aihub.store.job_tables import approvals as approval_table
from aihub.store.job_tables import rollouts as rollout_table
from aihub.store.tables import deployments as deployment_table

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from aihub.delivery.rollouts import RolloutRecord
    from aihub.delivery.strategy import Advance, Live
    from aihub.hub import Hub
    from aihub.registry.registry import Registry

OLDEST = timedelta(days=90)
"""No request lives longer than this."""


def run_due(
    hub: Hub, now: datetime, live: Callable[[RolloutRecord, datetime], tuple[Live, Live]] | None = None
) -> None:
    """Do for every tenant what is due; for a worker's clock, once a minute. Idempotent.

    Parameters
    ----------
    live
        Answers what champion and newcomer of a rollout did since its last step; without it rollouts stay as they are.

    Raises
    ------
    Exception
        The first fault, whatever it is, after all tenants had their turn.
    """
    faults: list[Exception] = []
    for tenant in _tenants(hub, now):
        registry = hub.registry_of(tenant, "hub clock")
        try:
            _expire(registry, now)
            carry_out_due(registry, now)
            if live is not None:
                advance_due(registry, now, live)
        except UnavailableError:
            raise
        except Exception as fault:  # noqa: BLE001 - whatever one tenant has, the others have their turn
            faults.append(fault)
    if faults:
        raise faults[0]


def _expire(registry: Registry, now: datetime) -> None:
    ended = EXPIRED_AT_ONCE
    while ended == EXPIRED_AT_ONCE:
        with write(registry.engine, tenant=registry.tenant) as connection:
            ended = len(
                approvals.expire_due(connection, tenant=registry.tenant, now=now, audit=registry.audit)
            )


def carry_out_due(registry: Registry, now: datetime) -> list[Outcome]:
    """Deploy what was granted without a job in a freeze that is over. Idempotent.

    One that cannot be deployed does not keep the others from it; it stays as it is until its word has lapsed.
    """
    outcomes = []
    with read(registry.engine, tenant=registry.tenant) as connection:
        where = (*_granted(now), _is_next(), ~_was_tried())
        found = approval_records.read(
            connection, approval_rows.select(connection, *where, tenant=registry.tenant)
        )
    for approval in found:
        try:
            with write(registry.engine, tenant=registry.tenant) as connection:
                outcomes.append(deployments.carry_out(connection, registry, approval, now))
        except UnavailableError:
            raise
        except AIHubError as error:
            outcomes.append(Outcome(state="refused", approval=approval, reason=str(error)))
    return outcomes


def advance_due(
    registry: Registry, now: datetime, live: Callable[[RolloutRecord, datetime], tuple[Live, Live]]
) -> list[tuple[RolloutRecord, Advance]]:
    """Let each rollout of the tenant go on, become champion or end, as its live numbers say. Idempotent.

    Raises
    ------
    Exception
        The first fault, whatever it is, after all rollouts were looked at.
    """
    with read(registry.engine, tenant=registry.tenant) as connection:
        running = rollouts.all_active(connection, tenant=registry.tenant)
    decided: list[tuple[RolloutRecord, Advance]] = []
    faults: list[Exception] = []
    for rollout in running:
        try:
            decided.append((rollout, _advanced(registry, rollout, live(rollout, now), now)))
        except UnavailableError:
            raise
        except Exception as fault:  # noqa: BLE001 - as above, of one rollout
            faults.append(fault)
    if faults:
        raise faults[0]
    return decided


def _advanced(
    registry: Registry, rollout: RolloutRecord, figures: tuple[Live, Live], now: datetime
) -> Advance:
    decision = advance(rollout.progress, *figures, now)
    with write(registry.engine, tenant=registry.tenant) as connection:
        if not isinstance(decision, Stay | Stop):
            freeze = frozen_now(connection, registry.tenant, rollout.version_uid, rollout.environment, now)
            decision = decision if freeze is None else Stay(str(freeze))
        return _applied(registry, rollout, decision, now, connection)


def _applied(
    registry: Registry, rollout: RolloutRecord, decision: Advance, now: datetime, connection: sa.Connection
) -> Advance:
    try:
        with connection.begin_nested():
            rollouts.apply(connection, registry, rollout.uid, decision, actor=HUB, now=now)
    except (ConflictError, ArtifactError) as error:
        if not isinstance(decision, Promote):
            # Somebody else has moved or ended it in this moment.
            return Stay(str(error))
        ended = Stop(f"it could not become champion: {error}")
        rollouts.apply(connection, registry, rollout.uid, ended, actor=HUB, now=now)
        return ended
    return decision


def _tenants(hub: Hub, now: datetime) -> list[str]:
    """Return the tenants that something may be due for."""
    pending = sa.select(approval_table.c.tenant_id).where(
        approval_table.c.state == "pending", approval_table.c.expires_at <= now
    )
    granted = sa.select(approval_table.c.tenant_id).where(*_granted(now), _is_next(), ~_was_tried())
    active = sa.select(rollout_table.c.tenant_id).where(rollout_table.c.state == "active")
    with read(hub.engine, tenant=EVERY_TENANT) as connection:
        return list(connection.scalars(sa.union(pending, granted, active)))


def _granted(now: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        approval_table.c.state == "approved",
        approval_table.c.job_id.is_(None),
        approval_table.c.decided_at > now - OLDEST,
    )


def _is_next() -> sa.ColumnElement[bool]:
    """Whether a request was granted on top of what serves now; otherwise it was used, or something else came."""
    latest = (
        sa.select(sa.func.coalesce(sa.func.max(deployment_table.c.sequence), 0))
        .where(
            deployment_table.c.model_id == approval_table.c.model_id,
            deployment_table.c.environment == approval_table.c.environment,
        )
        .correlate(approval_table)
        .scalar_subquery()
    )
    return approval_table.c.expected_sequence == latest


def _was_tried() -> sa.ColumnElement[bool]:
    """Whether a rollout was started for a request."""
    return sa.exists().where(
        rollout_table.c.model_id == approval_table.c.model_id,
        rollout_table.c.idempotency_key == sa.literal("approval:") + approval_table.c.uid,
    )
