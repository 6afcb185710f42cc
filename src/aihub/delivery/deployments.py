"""Deploy and roll back: by policy, in order, one change of a model at a time, and never twice.

Functions take an open transaction that holds for one tenant, never commit, and write audit event and notice with the
change. Of two that race one wins: whoever decided on a champion that is none any more gets a `ConflictError`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aihub.delivery import approvals, rollouts
from aihub.delivery.activation import activate
from aihub.delivery.approval_records import latest_of_job
from aihub.delivery.orders import DeployOrder, Outcome, RollbackOrder
from aihub.delivery.policy import Ask, Deploy, Hold, Reject, check_environment, next_step
from aihub.delivery.standing import known_of
from aihub.errors import ConflictError, ForbiddenError, NotFoundError
from aihub.github.sessions import evidence_for
from aihub.registry.promotion import MAX_REASON, check_expected, check_repeat
from aihub.registry.queries import Queries
from aihub.registry.records import PRODUCTION
from aihub.store import models as model_rows
from aihub.types import Role

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from aihub.delivery.approval_records import Approval
    from aihub.delivery.policy import ApprovalRule, Step
    from aihub.delivery.rollouts import RolloutRecord
    from aihub.delivery.strategy import Strategy
    from aihub.registry.records import Deployment, Version
    from aihub.registry.registry import Registry
    from aihub.types import Identity

__all__ = ["DeployOrder", "Outcome", "RollbackOrder", "carry_out", "decide", "deploy", "rollback", "seen"]


def seen(connection: Connection, registry: Registry, model: str, environment: str = PRODUCTION) -> int:
    """Return the sequence of what serves (0: nothing), for a caller who names none.

    Read it in a transaction before the one that changes: of two who saw the same only one then changes it.
    """
    serving = Queries(connection, registry.tenant).serving(model, environment)
    return serving.sequence if serving else 0


def deploy(connection: Connection, registry: Registry, order: DeployOrder, now: datetime) -> Outcome:
    """Bring a version into an environment as its policy says: at once, beside the champion, after approval, or not.

    Raises
    ------
    NotFoundError, InputError
        No such model, version or environment; or a reason is missing.
    ConflictError
        Another champion serves than the expected one, another rollout is under way, or the key was used for something
        else; for a job the outcome is ``refused`` instead.
    ForbiddenError
        Somebody who is no admin wants to override.
    ArtifactError
        The artefact is missing, damaged or not signed where it has to be.
    """
    check_environment(order.environment)
    order.in_registry(now)  # Refuses a missing reason before anybody is asked.
    if order.override and order.role is not Role.ADMIN:
        raise ForbiddenError(
            f"{order.actor!r} is no admin and cannot override; ask one, or deploy by the policy"
        )
    known = Queries(connection, registry.tenant)
    if model_rows.lock_model(connection, tenant=registry.tenant, name=order.model) is None:
        raise NotFoundError("model", order.model, known.models())
    version = known.resolve(order.model, order.version)
    champion = known.serving(order.model, order.environment)
    case = _Case(connection, registry, order, version, champion, now)
    try:
        return case.repeated() or case.decided()
    except ConflictError as error:
        if order.job_id is None:
            raise
        # Raised before anything was written: the job ends with the reason.
        return Outcome(state="refused", reason=str(error))


@dataclass(frozen=True)
class _Case:
    """An order about a version of a locked model, and what serves now."""

    connection: Connection
    registry: Registry
    order: DeployOrder
    version: Version
    champion: Deployment | None
    now: datetime

    def repeated(self) -> Outcome | None:
        """Return what the same order has brought about before."""
        order, version = self.order, self.version
        known = Queries(self.connection, self.registry.tenant)
        done = known.deployment_by_key(order.model, order.key)
        if done is not None:
            check_repeat(done, version, order.in_registry(self.now))
            return Outcome(state="deployed", deployment=done, reason=done.reason)
        begun = rollouts.by_key(self.connection, order.model, order.key, tenant=self.registry.tenant)
        if begun is not None:
            if (begun.version_uid, begun.environment) != (version.uid, order.environment):
                raise ConflictError(f"key {order.key!r} was used for {begun}; use a new key")
            if begun.state == "stopped":
                return Outcome(state="refused", rollout=begun, reason=f"{begun} was stopped: {begun.outcome}")
            serving = known.deployment_by_key(order.model, f"rollout:{begun.uid}")
            if serving is not None:
                return Outcome(state="deployed", rollout=begun, deployment=serving, reason=begun.outcome)
            return Outcome(state="rolling_out", rollout=begun, reason=f"{begun} is under way")
        if self.champion is not None and self.champion.version_uid == version.uid:
            return Outcome(state="deployed", deployment=self.champion, reason="it serves already")
        return None

    def decided(self) -> Outcome:
        """Ask the policy, and do what it says."""
        check_expected(self.order.model, self.champion, self.order.expected_sequence)
        found = known_of(
            self.connection,
            self.version,
            self.order.environment,
            tenant=self.registry.tenant,
            sequence=self.sequence,
            now=self.now,
        )
        step = next_step(found.policy, found.rules, self.order.environment, found.standing, now=self.now)
        running = rollouts.active(
            self.connection, self.order.model, self.order.environment, tenant=self.registry.tenant
        )
        if self.order.override:
            return self._override(step, running)
        return self._settled(running) or self._do(step, running, found.approval)

    def _do(self, step: Step, running: RolloutRecord | None, approval: Approval | None) -> Outcome:
        match step:
            case Reject(reason):
                return Outcome(state="refused", reason=reason)
            case Hold(reason, until):
                return Outcome(state="held", reason=reason, until=until)
            case Ask(rule, because):
                return self._ask(rule, because)
            case Deploy(strategy):
                if running is not None:
                    raise ConflictError(f"{running} is under way; promote or stop it first")
                return self._carry_out(strategy, approval)

    @property
    def sequence(self) -> int:
        """Sequence of what serves, 0 for nothing."""
        return self.champion.sequence if self.champion else 0

    def _settled(self, running: RolloutRecord | None) -> Outcome | None:
        """Return what needs no decision: its rollout is under way, or the request of its job came to nothing."""
        if running is not None and running.version_uid == self.version.uid:
            return Outcome(state="rolling_out", rollout=running, reason=f"{running} is under way")
        if self.order.job_id is None:
            return None
        last = latest_of_job(
            self.connection, self.order.job_id, self.order.environment, tenant=self.registry.tenant
        )
        if last is None or last.state in ("pending", "approved"):
            return None
        vote = f": {last.votes[-1].reason} ({last.votes[-1].principal})" if last.state == "rejected" else ""
        return Outcome(state="refused", approval=last, reason=f"{last} was {last.state}{vote}")

    def _ask(self, rule: ApprovalRule, because: str) -> Outcome:
        if not self.order.may_ask:
            return Outcome(state="refused", reason="the approval does not hold any more; ask for it anew")
        asked = approvals.request(
            self.connection,
            self.version,
            self.order.environment,
            rule=rule,
            expected_sequence=self.sequence,
            requested_by=self.order.actor,
            reason=self.order.reason,
            now=self.now,
            tenant=self.registry.tenant,
            audit=self.registry.audit,
            source=self.registry.source,
            job_id=self.order.job_id,
        )
        people = "an approval" if asked.rule.approvers == 1 else f"{asked.rule.approvers} approvals"
        why = f" ({because})" if because else ""
        reason = f"waits for {people} of role {asked.rule.role}{why}"
        return Outcome(state="waiting", approval=asked, reason=reason)

    def _carry_out(self, strategy: Strategy, approval: Approval | None) -> Outcome:
        allowed: dict[str, Any] = {"policy": "automatic"}
        if approval is not None:
            allowed = {"approval": approval.uid, "approved_by": approval.granted_by}
        order = self.order.in_registry(self.now, {**self._evidence(), **allowed})
        if strategy.kind == "direct":
            done = activate(self.connection, self.registry, self.version.model, self.version.number, order)
            return Outcome(state="deployed", deployment=done, approval=approval, reason=order.reason)
        begun = rollouts.start(
            self.connection,
            self.registry,
            self.version,
            order,
            strategy=strategy,
            champion_sequence=self.sequence,
        )
        return Outcome(state="rolling_out", rollout=begun, approval=approval, reason=order.reason)

    def _evidence(self) -> dict[str, Any]:
        """Return what the order brings, and the runs of this commit that GitHub let into an environment of this name."""
        given = dict(self.order.evidence or {})
        runs = evidence_for(
            self.connection,
            tenant=self.registry.tenant,
            sha=self.version.git_commit or "",
            environment=self.order.environment,
        )
        return {**given, "github": runs} if runs else given

    def _override(self, said: Step, running: RolloutRecord | None) -> Outcome:
        """Deploy at once whatever the policy says; what it said is written down with the deployment."""
        passed_over = (
            "people had to agree first" if isinstance(said, Ask) else getattr(said, "reason", "nothing")
        )
        evidence = {**self._evidence(), "override": True, "passed_over": passed_over}
        order = self.order.in_registry(self.now, evidence, is_override=True)
        done = activate(self.connection, self.registry, self.version.model, self.version.number, order)
        if running is not None:
            reason = f"overridden: {order.reason}"[:MAX_REASON]
            rollouts.stop(
                self.connection, self.registry, running.uid, actor=order.actor, reason=reason, now=self.now
            )
        return Outcome(state="deployed", deployment=done, reason=order.reason)


def rollback(connection: Connection, registry: Registry, order: RollbackOrder, now: datetime) -> Deployment:
    """Go back to a version that served here, without gate, approval or freeze; ends a rollout that is under way.

    Raises
    ------
    NotFoundError, InputError
        No such model, version or environment; or a reason is missing.
    ConflictError
        The target is the champion, was rejected or never deployed here; there is nothing to go back to; or another
        champion serves than the expected one.
    ArtifactError
        The target's artefact is missing or damaged.
    """
    check_environment(order.environment)
    known = Queries(connection, registry.tenant).deployment_by_key(order.model, order.key)
    done = activate(connection, registry, order.model, order.target, order.in_registry(now))
    if known is not None:
        # The same order again: what has begun since is none of its business.
        return done
    running = rollouts.active(connection, order.model, order.environment, tenant=registry.tenant)
    if running is not None:
        reason = f"the champion that it was compared with was rolled back: {order.reason}"[:MAX_REASON]
        rollouts.stop(connection, registry, running.uid, actor=order.actor, reason=reason, now=now)
    return done


def decide(
    connection: Connection,
    registry: Registry,
    uid: str,
    *,
    identity: Identity,
    decision: str,
    reason: str,
    now: datetime,
    digest: str | None = None,
    evidence: Mapping[str, Any] | None = None,
) -> tuple[Approval, Outcome | None]:
    """Decide on a request; where that grants it, wake its job, or deploy where no job waits, in the same transaction.

    In a freeze the deployment is held: `aihub.delivery.due.carry_out_due` makes up for it.

    Raises
    ------
    NotFoundError, ForbiddenError, ConflictError, InputError
        As `aihub.delivery.approvals.vote`, and where another champion serves than when it was asked.
    ArtifactError
        The artefact is missing or damaged.
    """
    found = approvals.get(connection, uid, tenant=registry.tenant)
    model_rows.lock_model(connection, tenant=registry.tenant, name=found.model)
    if decision == "approve" and found.state == "pending":
        serving = Queries(connection, registry.tenant).serving(found.model, found.environment)
        check_expected(found.model, serving, found.expected_sequence)
    done = approvals.vote(
        connection,
        uid,
        identity=identity,
        decision=decision,
        reason=reason,
        now=now,
        audit=registry.audit,
        digest=digest,
        evidence=evidence,
    )
    if done.state != "approved" or done.job_id is not None:
        return done, None
    return done, carry_out(connection, registry, done, now)


def carry_out(connection: Connection, registry: Registry, approval: Approval, now: datetime) -> Outcome:
    """Deploy what was asked for without a job and has been granted; held in a freeze. Idempotent.

    Raises
    ------
    ConflictError, ArtifactError
        As `deploy`.
    """
    order = DeployOrder(
        model=approval.model,
        version=approval.version,
        actor=approval.requested_by,
        reason=approval.reason,
        environment=approval.environment,
        key=f"approval:{approval.uid}",
        expected_sequence=approval.expected_sequence,
        may_ask=False,
    )
    return deploy(connection, registry, order, now)
