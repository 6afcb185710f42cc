"""What the watch does to a model, written in one transaction: rollback, stopped canary, retraining, event, audit, notice."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from aihub.delivery import rollouts
from aihub.delivery.deployments import rollback
from aihub.delivery.jobs import JobRequest, submit
from aihub.delivery.orders import RollbackOrder
from aihub.errors import AIHubError, ConflictError, TooManyError, UnavailableError
from aihub.monitoring.watch_policy import Action
from aihub.store import outbox
from aihub.store.monitoring_tables import watch_events
from aihub.types import Identity, Role

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from aihub.hub import Hub
    from aihub.monitoring.rules import Decision
    from aihub.registry.records import Deployment

ACTOR = "aihub.watch"
_SEVERITY = {
    Action.ALERT: "warning",
    Action.RETRAIN: "warning",
    Action.PAGE: "critical",
}
_EVENT = {
    Action.ALERT: "watch.alerted",
    Action.PAGE: "watch.paged",
    Action.RETRAIN: "watch.retrained",
}
_MAX_REASON = 4000


@dataclass(frozen=True, kw_only=True)
class Actions:
    """The writes of one look at one champion, in the caller's transaction."""

    connection: Connection
    hub: Hub
    tenant: str
    champion: Deployment
    now: datetime

    def carry_out(self, decisions: Sequence[Decision]) -> tuple[tuple[Decision, ...], list[str]]:
        """Do what was decided; return what was done, and why the rest was not. One that fails takes none of the others along.

        Raises
        ------
        UnavailableError
            The database does not answer.
        """
        notes: list[str] = []
        tried = [self._tried(decision, notes) for decision in decisions]
        return tuple(one for one in tried if one is not None), notes

    def _tried(self, decision: Decision, notes: list[str]) -> Decision | None:
        """Do one thing and return it; where it is refused, why goes into `notes`, and what was done instead comes back."""
        try:
            # What a refusal has written by then is taken back.
            with self.connection.begin_nested():
                self._carry_out(decision)
        except AIHubError as error:
            if isinstance(error, UnavailableError) and not isinstance(error, TooManyError):
                raise
            notes.append(f"{decision.rule}: not done, {error}")
            # Where somebody else has changed the deployment nothing is left to do; else a person has to go back.
            if decision.action is not Action.ROLLBACK or isinstance(error, ConflictError):
                return None
            decision = replace(decision, action=Action.PAGE, waits=str(error))
        self._write_down(decision)
        return decision

    def _carry_out(self, decision: Decision) -> None:
        if decision.action is Action.ROLLBACK:
            self._roll_back(decision)
        elif decision.action is Action.STOP_CANARY:
            self._stop_canary(decision)
        elif decision.action is Action.RETRAIN:
            self._retrain()

    def _roll_back(self, decision: Decision) -> None:
        champion = self.champion
        order = RollbackOrder(
            model=champion.model,
            target=decision.target,
            environment=champion.environment,
            actor=ACTOR,
            reason=f"{decision.rule}: {decision.reason}"[:_MAX_REASON],
            key=f"watch/{champion.environment}/{champion.sequence}",
            expected_sequence=champion.sequence,
            evidence=jsonable(dict(decision.evidence)),
        )
        rollback(self.connection, self.hub.registry_of(self.tenant, "watch"), order, self.now)

    def _stop_canary(self, decision: Decision) -> None:
        champion = self.champion
        running = rollouts.active(self.connection, champion.model, champion.environment, tenant=self.tenant)
        if running is None:
            raise ConflictError("the canary has ended already; nothing is left to stop")
        rollouts.stop(
            self.connection,
            self.hub.registry_of(self.tenant, "watch"),
            running.uid,
            actor=ACTOR,
            reason=f"{decision.rule}: {decision.reason}"[:_MAX_REASON],
            now=self.now,
            evidence=jsonable(dict(decision.evidence)),
        )

    def _retrain(self) -> None:
        """Submit a training job for the champion's own specification, with the newest data that fit it."""
        champion = self.champion
        version = self.hub.registry_of(self.tenant).version(champion.model, champion.version)
        spec = self.hub.observations.contexts.of(self.tenant, champion.model, champion.version).spec
        config = dict(spec.get("training") or version.lineage.config)
        body = {
            # A model from elsewhere may not say it, and is not trained again then.
            "model_type": config.get("model_type"),
            "config": config,
            "name": champion.model,
            "validation": dict(spec.get("validation") or {}),
            "policy": dict(spec.get("policy") or {}),
            "serving": dict(spec.get("serving") or {}),
            "environment": champion.environment,
        }
        identity = Identity(
            tenant=self.tenant, principal=ACTOR, role=Role.TRAINER, scopes=frozenset(), source="watch"
        )
        submit(
            self.connection,
            JobRequest.model_validate(body),
            identity=identity,
            now=self.now,
            audit=self.hub.audit,
            key=f"watch/{champion.model}/{champion.sequence}/{self.now:%Y-%m-%d}",
        )

    def _write_down(self, decision: Decision) -> None:
        """Write event, audit entry and notice of something that was done."""
        champion, reason = self.champion, sentence(decision)
        evidence = jsonable({**decision.evidence, "waits": decision.waits or None, "target": decision.target})
        row = {
            "tenant_id": self.tenant,
            "model": champion.model,
            "environment": champion.environment,
            "version": champion.version,
            "at": self.now,
            "action": decision.action.value,
            "rule": decision.rule,
            "evidence": evidence,
        }
        self.connection.execute(sa.insert(watch_events).values(**row))
        if decision.action not in (Action.ROLLBACK, Action.STOP_CANARY):  # those write that down themselves
            self.hub.audit.append(
                self.connection,
                tenant=self.tenant,
                actor=ACTOR,
                action=_EVENT[decision.action],
                subject=f"model:{champion.model}",
                now=self.now,
                after={"version": champion.version, "rule": decision.rule},
                reason=reason,
                source="watch",
            )
            self._tell(decision, evidence, reason)

    def _tell(self, decision: Decision, evidence: dict[str, Any], reason: str) -> None:
        champion = self.champion
        payload = {
            "model": champion.model,
            "environment": champion.environment,
            "version": champion.version,
            "semantic": str(champion.semantic),
            "severity": _SEVERITY[decision.action],
            "title": f"{champion.model} {champion.semantic}: {_what(decision)}",
            "text": reason,
            "by": ACTOR,
            "rule": decision.rule,
            "evidence": evidence,
        }
        key = f"{champion.model}/{champion.sequence}/{decision.rule}/{self.now.isoformat()}"
        topic = f"notify.{_EVENT[decision.action]}"
        outbox.put(self.connection, tenant=self.tenant, topic=topic, key=key, payload=payload, now=self.now)


def sentence(decision: Decision) -> str:
    """Say for a person why something was done, or left to him."""
    return (
        f"{decision.reason}. Not rolled back: {decision.waits}." if decision.waits else f"{decision.reason}."
    )


def jsonable(value: Any) -> Any:
    """Replace what JSON does not know: NaN and infinity become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(name): jsonable(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(one) for one in value]
    return value


def _what(decision: Decision) -> str:
    if decision.waits:
        return "degraded, and waits for a person"
    return {
        Action.ALERT: "looks wrong",
        Action.PAGE: "needs a person now",
        Action.RETRAIN: "is trained again",
    }[decision.action]
