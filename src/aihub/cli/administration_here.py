"""Keys, tenants and the audit log in the database of this machine, changed as the user of this machine."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aihub.cli.acting import acting
from aihub.hub import opened
from aihub.settings import DEFAULT_TENANT
from aihub.store import keys, tenants
from aihub.store.audit_pages import find_events, tenants_with_events
from aihub.store.engine import EVERY_TENANT, read, write
from aihub.types import Role, iso

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime, timedelta

    from aihub.cli.administration import Shown
    from aihub.hub import Hub
    from aihub.store.credentials import NewKey
    from aihub.store.tenants import Tenant


@dataclass(frozen=True)
class Here:
    """See `aihub.cli.administration.Administration`; every tenant is within reach."""

    hub: Hub

    def issue_key(
        self,
        *,
        tenant: str | None,
        principal: str,
        role: str,
        scopes: Sequence[str] | None,
        lives: timedelta | None,
    ) -> Shown:
        """Make a key; the default tenant is made where it is not there yet."""
        by = self._by()
        owner = tenant or DEFAULT_TENANT
        with write(self.hub.engine, tenant=EVERY_TENANT) as connection:
            if owner == DEFAULT_TENANT:
                tenants.ensure(connection, owner, **by)
            made = keys.issue(
                connection,
                tenant=owner,
                principal=principal,
                role=Role(role),
                scopes=scopes,
                expires_at=None if lives is None else by["now"] + lives,
                **by,
            )
        return _with_secret(made, by["now"])

    def keys(self, *, tenant: str | None) -> list[Shown]:
        """Keys of a tenant, or of all; those of operators under the tenant ``*``."""
        now = acting()["now"]
        with read(self.hub.engine, tenant=EVERY_TENANT) as connection:
            return [key.to_dict(now) for key in keys.every_key(connection, tenant=tenant)]

    def rotate_key(self, key_id: str, *, overlap: timedelta) -> Shown:
        """Make the successor of a key."""
        by = self._by()
        with write(self.hub.engine, tenant=EVERY_TENANT) as connection:
            made = keys.rotate(connection, key_id, tenant=None, overlap=overlap, **by)
        return _with_secret(made, by["now"])

    def revoke_key(self, key_id: str, *, reason: str) -> Shown:
        """End a key."""
        by = self._by()
        with write(self.hub.engine, tenant=EVERY_TENANT) as connection:
            return keys.revoke(connection, key_id, tenant=None, reason=reason, **by).to_dict(by["now"])

    def tenants(self) -> list[Shown]:
        """Every tenant."""
        with read(self.hub.engine, tenant=EVERY_TENANT) as connection:
            return [_shown(tenant) for tenant in tenants.every_tenant(connection)]

    def tenant(self, name: str) -> Shown:
        """Return one tenant."""
        with read(self.hub.engine, tenant=EVERY_TENANT) as connection:
            return _shown(tenants.get(connection, name))

    def create_tenant(self, name: str, *, rules: Shown) -> Shown:
        """Make a tenant."""
        with write(self.hub.engine, tenant=EVERY_TENANT) as connection:
            return _shown(tenants.create(connection, name, rules=dict(rules), **self._by()))

    def change_tenant(self, name: str, *, rules: Shown, is_active: bool | None, reason: str) -> Shown:
        """Change a tenant."""
        with write(self.hub.engine, tenant=EVERY_TENANT) as connection:
            changed = tenants.change(
                connection, name, rules=dict(rules), is_active=is_active, reason=reason, **self._by()
            )
        return _shown(changed)

    def events(
        self, *, tenant: str | None, start: datetime | None, end: datetime | None, **wanted: Any
    ) -> list[Shown]:
        """Events of one chain; ``*`` is that of the operators."""
        owner = tenant or DEFAULT_TENANT
        with read(self.hub.engine, tenant=owner) as connection:
            found = find_events(connection, tenant=owner, start=start, end=end, **wanted)
        return [{**event, "at": iso(event["at"])} for event in found]

    def verdicts(
        self, *, tenant: str | None, marks: Mapping[str, Mapping[int, str]] | None = None
    ) -> list[Shown]:
        """Verify one chain, or every chain that there is or should be."""
        known = marks or {}
        with read(self.hub.engine, tenant=EVERY_TENANT) as connection:
            names = [tenant] if tenant else sorted({*tenants_with_events(connection), *known})
            found = {
                name: self.hub.audit.verify(connection, tenant=name, marks=known.get(name)) for name in names
            }
        return [{"tenant": name, "is_intact": v.is_intact, **vars(v)} for name, v in found.items()]

    def _by(self) -> dict[str, Any]:
        return {**acting(), "audit": self.hub.audit}


@contextmanager
def here() -> Iterator[Here]:
    """Open the database of this machine."""
    with opened() as hub:
        yield Here(hub)


def _with_secret(made: NewKey, now: datetime) -> Shown:
    return {**made.key.to_dict(now), "key": made.token}


def _shown(tenant: Tenant) -> Shown:
    return {"id": tenant.tenant_id, **{k: v for k, v in tenant.to_dict().items() if k != "tenant_id"}}
