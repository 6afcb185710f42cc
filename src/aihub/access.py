"""Who may do what: the scopes of each role, and what a verifier of credentials answers. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from aihub.errors import ForbiddenError, InputError, did_you_mean
from aihub.types import Role

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from aihub.types import Identity

_READ = frozenset({"jobs:read", "models:read", "approvals:read", "audit:read", "metrics:read"})
_ASK = frozenset({"predict", "actuals:write"})
_TRAIN = frozenset({"jobs:write", "datasets:write", "models:write"})
ROLE_SCOPES: dict[Role, frozenset[str]] = {
    Role.VIEWER: _READ,
    Role.TRAINER: _READ | _ASK | _TRAIN,
    Role.APPROVER: _READ | {"approvals:decide"},
    Role.DEPLOYER: _READ | _ASK | {"deployments:write"},
    Role.ADMIN: _READ | _ASK | _TRAIN | {"approvals:decide", "deployments:write", "keys:write"},
}
"""What each role may do in its tenant. Who trains does not approve, and who approves does not deploy by hand."""
OPERATOR_SCOPES = frozenset({"tenants:write"})
"""What only the operators' keys may do beyond that, whose tenant is `*`."""
SCOPES = ROLE_SCOPES[Role.ADMIN] | OPERATOR_SCOPES


def scopes_of(
    role: Role, narrowed: Iterable[str] | None = None, *, is_operator: bool = False
) -> frozenset[str]:
    """Return what a credential may do: everything of its role, or the part of it that `narrowed` names.

    >>> sorted(scopes_of(Role.APPROVER) - scopes_of(Role.VIEWER))
    ['approvals:decide']

    Raises
    ------
    InputError
        A scope does not exist, or is beyond the role.
    """
    whole = ROLE_SCOPES[role]
    if is_operator and role is Role.ADMIN:
        whole |= OPERATOR_SCOPES
    if narrowed is None:
        return whole
    wanted = frozenset(narrowed)
    if not wanted:
        raise InputError("a key without a scope could do nothing; name one, or none for all of its role")
    for scope in sorted(wanted - whole):
        if scope not in SCOPES:
            raise InputError(f"no scope {scope!r}.{did_you_mean(scope, SCOPES)}")
        raise InputError(f"scope {scope!r} is beyond the role {role}; choose another role or leave it out")
    return wanted


@dataclass(frozen=True, kw_only=True)
class Verified:
    """A credential that counts: who it stands for, and until when."""

    identity: Identity
    expires_at: datetime | None = None


class Verifier(Protocol):
    """Knows one kind of credential that is not an API key of the hub, such as GitHub's identity tokens."""

    def verify(self, token: str, now: datetime) -> Verified | None:
        """Return whom `token` stands for; None for a token of another kind, so that the next verifier is asked.

        Raises
        ------
        UnauthorizedError
            The token is of this kind and does not count.
        """
        ...


def check_grant(
    giver: Identity, role: Role, narrowed: Iterable[str] | None = None, *, for_operators: bool = False
) -> None:
    """Refuse that somebody makes a key which may do more than he may.

    Raises
    ------
    ForbiddenError
        The key would have a scope that the giver has not, or be an operator's where he is none.
    InputError
        A scope does not exist, or is beyond the role.
    """
    giver.require("keys:write")
    beyond = scopes_of(role, narrowed, is_operator=for_operators) - giver.scopes
    if beyond or (for_operators and not giver.is_operator):
        what = ", ".join(sorted(beyond)) or "every tenant"
        raise ForbiddenError(
            f"{giver.principal!r} cannot give away what he has not: {what}; ask an operator of the hub"
        )
