"""The watch: every six hours, and when actuals come in, each serving model is looked at and its rules are carried out.

What is decided is written in one transaction: the deployment that a rollback makes, the event with its evidence, the
audit entry, the notice that goes out, and what the rules remember. A second process that looks at the same time finds
the deployment changed and does nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from aihub.delivery import rollouts
from aihub.delivery.watch_actions import ACTOR, Actions, jsonable
from aihub.errors import ConfigError
from aihub.monitoring.facts import gathered, history_of
from aihub.monitoring.rules import Decision, State, Verdict, decide
from aihub.monitoring.watch_policy import WatchPolicy
from aihub.registry.records import PRODUCTION
from aihub.store.engine import EVERY_TENANT, read, write
from aihub.store.models import insert_unless_there
from aihub.store.monitoring_tables import watch_events, watch_states
from aihub.store.tables import deployments, models
from aihub.types import iso

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from aihub.hub import Hub
    from aihub.registry.records import Deployment

__all__ = ["ACTOR", "EVERY_S", "Look", "evaluate", "evaluate_model", "evaluate_soon", "events", "policy_of"]

EVERY_S = 6 * 3600.0
"""The guide's interval."""
SOON = timedelta(minutes=10)
"""An evaluation that new actuals ask for is left out when the last one is newer: evidence is counted in days."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """What one look at one model came to."""

    tenant: str
    model: str
    environment: str
    version: int
    state: State
    decisions: tuple[Decision, ...]
    notes: tuple[str, ...]
    at: datetime

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            **{name: getattr(self, name) for name in ("tenant", "model", "environment", "version")},
            "state": self.state.value,
            "actions": [jsonable(asdict(decision)) for decision in self.decisions],
            "notes": list(self.notes),
            "at": iso(self.at),
        }


def evaluate(hub: Hub, now: datetime, *, environment: str = PRODUCTION) -> list[Look]:
    """Look at every model that serves; a fault of one does not keep the others from being looked at.

    Raises
    ------
    Exception
        The first fault, whatever it is, after all models were looked at.
    """
    with read(hub.engine, tenant=EVERY_TENANT) as connection:
        query = (
            sa.select(models.c.tenant_id, models.c.name)
            .join(deployments, deployments.c.model_id == models.c.id)
            .where(deployments.c.ended_at.is_(None), deployments.c.environment == environment)
            .order_by(models.c.tenant_id, models.c.name)
        )
        serving = connection.execute(query).all()
    found: list[Look] = []
    faults: list[Exception] = []
    for tenant, model in serving:
        try:
            look = evaluate_model(hub, tenant, model, now, environment=environment)
        except Exception as fault:  # noqa: BLE001 - whatever one model holds, those of others are watched
            faults.append(fault)
            continue
        found += [look] if look else []
    if faults:
        raise faults[0]
    return found


def evaluate_soon(hub: Hub, tenant: str, model: str, now: datetime) -> Look | None:
    """Look at a model because actuals came in, unless it was looked at just now."""
    with read(hub.engine, tenant=tenant) as connection:
        last = connection.scalar(
            _state_of(tenant, model, PRODUCTION).with_only_columns(watch_states.c.evaluated_at)
        )
    if last is not None and now - last < SOON:
        return None
    return evaluate_model(hub, tenant, model, now)


def evaluate_model(
    hub: Hub, tenant: str, model: str, now: datetime, *, environment: str = PRODUCTION
) -> Look | None:
    """Look at one model and carry out what its rules say; None where nothing is deployed.

    Raises
    ------
    ConfigError
        The watch section of the version's spec cannot be read.
    """
    with read(hub.engine, tenant=tenant) as connection:
        history = history_of(connection, tenant, model, environment)
        has_canary = rollouts.active(connection, model, environment, tenant=tenant) is not None
    champion = next((d for d in history if d.is_champion), None)
    if champion is None:
        return None
    policy = policy_of(hub, tenant, champion)
    facts = gathered(hub.observations, tenant, history, policy, now, has_canary=has_canary)
    if facts is None:
        return None
    with write(hub.engine, tenant=tenant) as connection:
        memory = _memory(connection, tenant, model, environment, now)
        verdict = decide(policy, facts, memory, now)
        actions = Actions(connection=connection, hub=hub, tenant=tenant, champion=champion, now=now)
        decisions, notes = actions.carry_out(verdict.decisions)
        _remember(connection, tenant, champion, verdict, now)
    return Look(
        tenant=tenant,
        model=model,
        environment=environment,
        version=champion.version,
        state=verdict.state,
        decisions=decisions,
        notes=(*verdict.notes, *notes),
        at=now,
    )


def policy_of(hub: Hub, tenant: str, champion: Deployment) -> WatchPolicy:
    """Read the watch rules that live with a version; without any the guide's rule counts.

    Raises
    ------
    ConfigError
        A field is unknown or wrong.
    """
    section = dict(hub.observations.contexts.of(tenant, champion.model, champion.version).watch)
    try:
        return WatchPolicy.model_validate(section)
    except ConfigError as error:
        raise ConfigError(
            f"policy.watch of {champion.model} {champion.semantic}: {error}", field="policy.watch"
        ) from None


def events(connection: Connection, *, tenant: str, model: str, limit: int = 50) -> list[dict[str, Any]]:
    """Return what the watch did to a model, newest first."""
    query = (
        sa.select(watch_events)
        .where(watch_events.c.tenant_id == tenant, watch_events.c.model == model)
        .order_by(watch_events.c.id.desc())
        .limit(limit)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def _state_of(tenant: str, model: str, environment: str) -> sa.Select[Any]:
    return sa.select(watch_states.c.state).where(
        watch_states.c.tenant_id == tenant,
        watch_states.c.model == model,
        watch_states.c.environment == environment,
    )


def _memory(
    connection: Connection, tenant: str, model: str, environment: str, now: datetime
) -> dict[str, Any]:
    """Read what the rules remember, and let nobody else look until the transaction ends."""
    row = {"tenant_id": tenant, "model": model, "environment": environment, "state": {}, "evaluated_at": now}
    insert_unless_there(connection, watch_states, row)
    found = connection.scalar(_state_of(tenant, model, environment).with_for_update())
    return dict(found or {})


def _remember(
    connection: Connection, tenant: str, champion: Deployment, verdict: Verdict, now: datetime
) -> None:
    connection.execute(
        sa.update(watch_states)
        .where(
            watch_states.c.tenant_id == tenant,
            watch_states.c.model == champion.model,
            watch_states.c.environment == champion.environment,
        )
        .values(state={**verdict.memory, "state": verdict.state.value}, evaluated_at=now)
    )
