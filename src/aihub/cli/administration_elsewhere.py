"""Keys, tenants and the audit log of a hub elsewhere, within what the caller's key may do there."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aihub.client import Client
from aihub.errors import ForbiddenError, NotFoundError
from aihub.types import OPERATOR_TENANT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import timedelta

    from aihub.cli.administration import Shown
    from aihub.client import Key


@dataclass(frozen=True)
class Elsewhere:
    """See `aihub.cli.administration.Administration`; without a tenant it is that of the caller's key."""

    client: Client

    def issue_key(
        self,
        *,
        tenant: str | None,
        principal: str,
        role: str,
        scopes: Sequence[str] | None,
        lives: timedelta | None,
    ) -> Shown:
        """Make a key."""
        is_operator = tenant == OPERATOR_TENANT
        expires_at = None if lives is None else datetime.now(UTC) + lives
        with _of(None if is_operator else tenant, self.client) as client:
            made = client.keys.create(
                principal, role, scopes=scopes, expires_at=expires_at, is_operator=is_operator
            )
        return _with_secret(made)

    def keys(self, *, tenant: str | None) -> Iterator[Shown]:
        """Keys of one tenant, or of every tenant that the caller may list."""
        for name in [tenant] if tenant else self._reach():
            with _of(name, self.client) as client:
                yield from (key.raw for key in client.keys.list())

    def rotate_key(self, key_id: str, *, overlap: timedelta) -> Shown:
        """Make the successor of a key."""
        return _with_secret(self.client.keys.rotate(key_id, overlap_s=int(overlap.total_seconds())))

    def revoke_key(self, key_id: str, *, reason: str) -> Shown:
        """End a key."""
        return self.client.keys.revoke(key_id, reason=reason).raw

    def tenants(self) -> Iterator[Shown]:
        """Every tenant; for operators."""
        return self.client.tenants.list()

    def tenant(self, name: str) -> Shown:
        """Return one tenant."""
        return self.client.tenants.get(name)

    def create_tenant(self, name: str, *, rules: Shown) -> Shown:
        """Make a tenant."""
        return self.client.tenants.create(name, rules=dict(rules))

    def change_tenant(self, name: str, *, rules: Shown, is_active: bool | None, reason: str) -> Shown:
        """Change a tenant."""
        return self.client.tenants.change(name, rules=dict(rules), is_active=is_active, reason=reason)

    def events(self, *, tenant: str | None, limit: int, **wanted: Any) -> list[Shown]:
        """Events of one tenant."""
        of_operators = tenant == OPERATOR_TENANT
        with _of(None if of_operators else tenant, self.client) as client:
            found = client.audit.list(limit=limit, of_operators=of_operators, **wanted)
            return [event.raw for event in found]

    def verdicts(
        self, *, tenant: str | None, marks: Mapping[str, Mapping[int, str]] | None = None
    ) -> list[Shown]:
        """Let the hub verify the chains of the tenants within reach; it knows no checkpoints kept elsewhere."""
        del marks
        found: list[Shown] = []
        for name in [tenant] if tenant else self._chains():
            of_operators = name == OPERATOR_TENANT
            with _of(None if of_operators else name, self.client) as client:
                found.append(client.audit.verify(of_operators=of_operators))
        return found

    def _chains(self) -> list[str | None]:
        """Tenants whose audit log the caller may read; only operators reach several, and that of what operators did."""
        reach = self._reach()
        return reach if reach == [None] else [OPERATOR_TENANT, *reach]

    def _reach(self) -> list[str | None]:
        """Tenants in which the caller may act: nobody may in one that is switched off."""
        try:
            return [str(tenant["id"]) for tenant in self.client.tenants.list() if tenant["is_active"]]
        except (ForbiddenError, NotFoundError):
            return [None]


@contextmanager
def elsewhere() -> Iterator[Elsewhere]:
    """Connect to the hub that the environment names."""
    with Client() as client:
        yield Elsewhere(client)


@contextmanager
def _of(tenant: str | None, client: Client) -> Iterator[Client]:
    """Act in another tenant than the environment says."""
    if tenant is None:
        yield client
        return
    with Client(tenant=tenant) as acting:
        yield acting


def _with_secret(made: tuple[Key, str]) -> Shown:
    key, token = made
    return {**key.raw, "key": token}
