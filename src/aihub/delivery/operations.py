"""Deployments and rollbacks from beginning to end, each in transactions of its own: what the API and a watch call.

What takes long is done before the transaction that changes: it must not hold up the others.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from aihub.delivery import deployments, rollouts
from aihub.delivery.policy import check_environment
from aihub.errors import ConflictError, NotFoundError
from aihub.registry.promotion import check_target
from aihub.registry.queries import Queries
from aihub.store.engine import read, write

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from aihub.delivery.approval_records import Approval
    from aihub.delivery.orders import DeployOrder, Outcome, RollbackOrder
    from aihub.delivery.rollouts import RolloutRecord
    from aihub.registry.records import Deployment
    from aihub.registry.registry import Registry
    from aihub.types import Identity

MAX_KNOWN = 4096


@dataclass(frozen=True)
class LoadCheck:
    """Tries out in a child process whether an artefact loads, and remembers those that do.

    Parameters
    ----------
    is_warm
        Says of a digest that it is loaded already, such as by the serving pool of this process.
    """

    is_warm: Callable[[str], bool] = lambda _: False
    _known: dict[str, None] = field(default_factory=dict, repr=False)

    def check(self, registry: Registry, digest: str) -> None:
        """Refuse an artefact that does not load.

        Raises
        ------
        ArtifactError
            It is missing, damaged, or its model ends the process that reads it.
        """
        from aihub.registry.tryout import try_artifact

        if digest in self._known or self.is_warm(digest):
            return
        try_artifact(registry.artifacts.path(digest))
        while len(self._known) >= MAX_KNOWN:
            self._known.pop(next(iter(self._known)), None)
        self._known[digest] = None


def deploy(registry: Registry, order: DeployOrder, now: datetime) -> Outcome:
    """Deploy as `aihub.delivery.deployments.deploy` does, on what serves at this moment where the order does not say.

    Raises
    ------
    NotFoundError, InputError, ConflictError, ForbiddenError, ArtifactError
        As there.
    """
    if order.expected_sequence is None and order.key is None:
        with read(registry.engine, tenant=registry.tenant) as connection:
            sequence = deployments.seen(connection, registry, order.model, order.environment)
        order = replace(order, expected_sequence=sequence)
    with write(registry.engine, tenant=registry.tenant) as connection:
        return deployments.deploy(connection, registry, order, now)


def roll_back(
    registry: Registry, order: RollbackOrder, now: datetime, *, loads: LoadCheck | None = None
) -> Deployment:
    """Roll back as `aihub.delivery.deployments.rollback` does, after the target has been seen to load.

    Raises
    ------
    NotFoundError, InputError, ConflictError, ArtifactError
        As there; also where another champion came while the target was tried out.
    """
    order = pinned(registry, order, loads=loads)
    with write(registry.engine, tenant=registry.tenant) as connection:
        return deployments.rollback(connection, registry, order, now)


def pinned(registry: Registry, order: RollbackOrder, *, loads: LoadCheck | None = None) -> RollbackOrder:
    """Return the order with its target named and the champion that it was decided on, once the target was seen to load.

    An order that was carried out before under the same key, or that the transaction will refuse, comes back as it is.

    Raises
    ------
    InputError
        There is no such environment.
    ArtifactError
        The target does not load.
    """
    check_environment(order.environment)
    with read(registry.engine, tenant=registry.tenant) as connection:
        known = Queries(connection, registry.tenant)
        if known.deployment_by_key(order.model, order.key) is not None:
            return order
        champion = known.serving(order.model, order.environment)
        try:
            target = known.target(order.model, order.target, order.environment, champion)
            history = known.walk(order.model, order.environment)
            check_target(target, order.in_registry(target.created_at), history, champion)
        except (NotFoundError, ConflictError):
            return order
    (loads or LoadCheck()).check(registry, target.digest)
    sequence = champion.sequence if champion else 0
    expected = sequence if order.expected_sequence is None else order.expected_sequence
    return replace(order, target=target.number, expected_sequence=expected)


def decide(
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
    """Decide as `aihub.delivery.deployments.decide` does.

    Raises
    ------
    NotFoundError, ForbiddenError, ConflictError, InputError, ArtifactError
        As there.
    """
    with write(registry.engine, tenant=registry.tenant) as connection:
        return deployments.decide(
            connection,
            registry,
            uid,
            identity=identity,
            decision=decision,
            reason=reason,
            now=now,
            digest=digest,
            evidence=evidence,
        )


def promote(registry: Registry, uid: str, *, actor: str, reason: str, now: datetime) -> Deployment:
    """Make the newcomer of a rollout champion because a person says so; not in a freeze.

    Raises
    ------
    NotFoundError, ConflictError, InputError, ArtifactError
        There is no such rollout, it has ended, deployments are frozen, or the reason is missing.
    """
    with write(registry.engine, tenant=registry.tenant) as connection:
        return rollouts.promote(connection, registry, uid, actor=actor, reason=reason, now=now)


def stop(registry: Registry, uid: str, *, actor: str, reason: str, now: datetime) -> RolloutRecord:
    """End a rollout without the newcomer because a person says so.

    Raises
    ------
    NotFoundError, ConflictError
        There is no such rollout, or it has ended.
    """
    with write(registry.engine, tenant=registry.tenant) as connection:
        return rollouts.stop(connection, registry, uid, actor=actor, reason=reason, now=now)
