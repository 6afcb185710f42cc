"""Which deployment may follow which: the rules of deploying and rolling back. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aihub.errors import ConflictError, InputError
from aihub.registry.records import Action, Status
from aihub.registry.versioning import check_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from aihub.registry.records import Deployment, Version

MAX_KEY = 128
MAX_ACTOR = 256
MAX_REASON = 4000


@dataclass(frozen=True, kw_only=True)
class Order:
    """Somebody wants a version to become champion."""

    action: Action
    environment: str
    actor: str
    reason: str
    now: datetime
    key: str | None
    expected_sequence: int | None
    is_override: bool = False
    """Whether an admin takes it upon himself to deploy what the gate rejected."""
    evidence: Mapping[str, Any] | None = None
    """What allowed it; kept with the deployment and in the audit log."""

    def __post_init__(self) -> None:
        check_name(self.environment, kind="environment")
        check_actor(self.actor)
        check_key(self.key)
        if not self.reason.strip() or len(self.reason) > MAX_REASON:
            raise InputError(f"reason must say why, in 1 to {MAX_REASON} characters")


def check_actor(actor: str) -> None:
    """Refuse an empty or endless name of who acts."""
    if not actor.strip() or len(actor) > MAX_ACTOR:
        raise InputError(f"actor must say who acts, in 1 to {MAX_ACTOR} characters")


def check_key(key: str | None) -> None:
    """Refuse an empty or endless idempotency key."""
    if key is not None and not 0 < len(key) <= MAX_KEY:
        raise InputError(f"an idempotency key has 1 to {MAX_KEY} characters")


def previous_good(history: Iterable[Deployment], champion: Deployment | None) -> Deployment | None:
    """Return the newest deployment (of `history`, newest first) of another version that was not rolled back since.

    Deploying 1, 2, 3 and rolling back twice therefore ends at 1, not at 3. What the gate had rejected is never gone
    back to, even where an override once deployed it.
    """
    current = champion.version_uid if champion else None
    seen: set[str] = set()
    for deployment in history:
        if deployment.version_uid in seen or deployment.version_uid == current:
            continue
        seen.add(deployment.version_uid)
        if deployment.ended_by is not Action.ROLLBACK and deployment.status is not Status.REJECTED:
            return deployment
    return None


def check_expected(model: str, champion: Deployment | None, expected: int | None) -> None:
    """Refuse a decision that was made on another champion than the present one."""
    current = champion.sequence if champion else 0
    if expected is not None and expected != current:
        by = f" by {champion.actor!r}" if champion else ""
        message = (
            f"model {model!r} is at deployment {current}{by}, not {expected}; look again and decide anew"
        )
        raise ConflictError(message)


def check_target(
    version: Version, order: Order, history: Iterable[Deployment], champion: Deployment | None
) -> None:
    """Refuse a rejected version without an override, and a rollback to the champion or to what never served.

    Raises
    ------
    ConflictError
        With the reason.
    """
    is_deploy = order.action is Action.DEPLOY
    if version.status is Status.REJECTED and not (is_deploy and order.is_override):
        raise ConflictError(f"{version} was rejected by its gate and cannot be deployed; train a better one")
    if is_deploy:
        return
    if champion is not None and champion.version_uid == version.uid:
        raise ConflictError(f"{version} is the champion already; name another version to roll back to")
    if all(d.version_uid != version.uid for d in history):
        raise ConflictError(f"{version} was never deployed here, so it is no rollback; deploy it instead")


def check_repeat(found: Deployment, version: Version, order: Order) -> None:
    """Refuse an idempotency key that has made another deployment than the one asked for now."""
    if (found.version_uid, found.action, found.environment) != (version.uid, order.action, order.environment):
        raise ConflictError(
            f"key {order.key!r} was used for {found.action} of {found.semantic}; use a new key"
        )
