"""What can be ordered of deployments, and what comes of it. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from aihub.errors import ConflictError
from aihub.registry.promotion import Order
from aihub.registry.records import PRODUCTION, Action
from aihub.types import iso

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from aihub.delivery.approval_records import Approval
    from aihub.delivery.rollouts import RolloutRecord
    from aihub.registry.records import Deployment
    from aihub.types import Role

State = Literal["deployed", "rolling_out", "waiting", "held", "refused"]


@dataclass(frozen=True, kw_only=True)
class DeployOrder:
    """Somebody wants a version in an environment.

    Attributes
    ----------
    actor, role
        Who asks; an override needs the role admin.
    key
        The same key is the same order, however often it is sent.
    expected_sequence
        Deployment that was seen to serve when this was decided (0: none).
    override
        Whether gate, order, approvals and freezes are to be passed over; audited as such.
    job_id
        Job that asks, by its row: it waits for an approval and is woken by its end.
    may_ask
        Whether people are asked where they have to agree; without it the order is refused then.
    """

    model: str
    version: str | int
    actor: str
    reason: str
    environment: str = PRODUCTION
    role: Role | None = None
    key: str | None = None
    expected_sequence: int | None = None
    override: bool = False
    job_id: int | None = None
    evidence: Mapping[str, Any] | None = None
    may_ask: bool = True

    def in_registry(
        self, now: datetime, evidence: Mapping[str, Any] | None = None, *, is_override: bool = False
    ) -> Order:
        """Return the order that the registry carries out."""
        return Order(
            action=Action.DEPLOY,
            environment=self.environment,
            actor=self.actor,
            reason=self.reason,
            now=now,
            key=self.key,
            expected_sequence=self.expected_sequence,
            is_override=is_override,
            evidence=evidence,
        )


@dataclass(frozen=True, kw_only=True)
class RollbackOrder:
    """Somebody, or a watch, wants the version before back, or the one that is named."""

    model: str
    actor: str
    reason: str
    target: str | int | None = None
    environment: str = PRODUCTION
    key: str | None = None
    expected_sequence: int | None = None
    evidence: Mapping[str, Any] | None = None

    def in_registry(self, now: datetime) -> Order:
        """Return the order that the registry carries out."""
        return Order(
            action=Action.ROLLBACK,
            environment=self.environment,
            actor=self.actor,
            reason=self.reason,
            now=now,
            key=self.key,
            expected_sequence=self.expected_sequence,
            evidence=self.evidence,
        )


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of an order.

    ``deployed``: it serves. ``rolling_out``: it runs beside the champion. ``waiting``: people have to agree first.
    ``held``: not now, perhaps at `until`. ``refused``: not at all. `reason` says why.
    """

    state: State
    reason: str = ""
    deployment: Deployment | None = None
    rollout: RolloutRecord | None = None
    approval: Approval | None = None
    until: datetime | None = None

    def require(self) -> Outcome:
        """Return it where something happened or is on its way.

        Raises
        ------
        ConflictError
            It was held or refused.
        """
        if self.state in ("held", "refused"):
            raise ConflictError(self.reason)
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return what clients see."""
        return {
            "status": self.state,
            "reason": self.reason,
            "deployment": None if self.deployment is None else self.deployment.to_dict(),
            "rollout": None if self.rollout is None else self.rollout.to_dict(),
            "approval": None if self.approval is None else self.approval.to_dict(),
            "approval_id": None if self.approval is None else self.approval.uid,
            "until": None if self.until is None else iso(self.until),
        }
