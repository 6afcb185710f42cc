from __future__ import annotations

import pytest

from aihub.access import OPERATOR_SCOPES, ROLE_SCOPES, SCOPES, check_grant, scopes_of
from aihub.errors import ForbiddenError, InputError
from aihub.types import Identity, Role


def _identity(role: Role, scopes: frozenset[str] | None = None, *, is_operator: bool = False) -> Identity:
    return Identity(
        tenant="acme", principal="ann", role=role, scopes=scopes or ROLE_SCOPES[role], is_operator=is_operator
    )


def test_everybody_reads_and_only_admins_make_keys() -> None:
    reading = {scope for scope in SCOPES if scope.endswith(":read")}
    for role in Role:
        assert reading <= ROLE_SCOPES[role]
        assert ("keys:write" in ROLE_SCOPES[role]) == (role is Role.ADMIN)


def test_who_trains_neither_approves_nor_deploys() -> None:
    assert not ROLE_SCOPES[Role.TRAINER] & {"approvals:decide", "deployments:write"}
    assert not ROLE_SCOPES[Role.APPROVER] & {"jobs:write", "models:write", "deployments:write", "predict"}
    assert not ROLE_SCOPES[Role.DEPLOYER] & {"jobs:write", "models:write", "approvals:decide"}


def test_a_tenants_admin_makes_no_tenants() -> None:
    assert not scopes_of(Role.ADMIN) & OPERATOR_SCOPES
    assert scopes_of(Role.ADMIN, is_operator=True) == SCOPES
    assert scopes_of(Role.VIEWER, is_operator=True) == scopes_of(Role.VIEWER)


@pytest.mark.parametrize(
    ("scopes", "message"),
    [
        (["job:write"], "Did you mean 'jobs:write'"),
        (["approvals:decide"], "beyond the role trainer"),
        (["tenants:write"], "beyond the role"),
        ([], "could do nothing"),
    ],
)
def test_scopes_that_a_role_has_not_are_refused(scopes: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        scopes_of(Role.TRAINER, scopes)


def test_nobody_gives_away_more_than_he_has() -> None:
    admin = _identity(Role.ADMIN)
    check_grant(admin, Role.ADMIN)
    check_grant(admin, Role.TRAINER, ["jobs:write"])
    with pytest.raises(ForbiddenError, match="keys:write"):
        check_grant(_identity(Role.DEPLOYER), Role.VIEWER)
    with pytest.raises(ForbiddenError, match="jobs:write"):
        check_grant(_identity(Role.ADMIN, frozenset({"keys:write"})), Role.TRAINER, ["jobs:write"])
    with pytest.raises(ForbiddenError, match="tenants:write"):
        check_grant(admin, Role.ADMIN, for_operators=True)
    with pytest.raises(ForbiddenError, match="every tenant"):
        check_grant(admin, Role.VIEWER, for_operators=True)
    check_grant(_identity(Role.ADMIN, SCOPES, is_operator=True), Role.ADMIN, for_operators=True)
