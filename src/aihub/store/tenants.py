"""Tenants as rows: whether one exists, is active, and its limits. Functions never commit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from aihub.errors import ConflictError, InputError, NotFoundError
from aihub.store.access_tables import tenants
from aihub.store.models import insert_unless_there
from aihub.types import iso

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from aihub.store.audit import AuditLog

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\Z")


@dataclass(frozen=True, kw_only=True)
class Tenant:
    """One tenant; `rules` are the fields of `aihub.delivery.policy.TenantRules`."""

    tenant_id: str
    created_by: str
    created_at: datetime
    rules: Mapping[str, Any]
    is_active: bool

    def to_dict(self) -> dict[str, Any]:
        """Return what clients see."""
        return {**vars(self), "created_at": iso(self.created_at), "rules": dict(self.rules)}


def check_name(name: str) -> None:
    """Refuse what cannot be the name of a tenant.

    Raises
    ------
    InputError
        The name has other letters than are allowed, or is too long.
    """
    if not _NAME.match(name):
        raise InputError(
            f"tenant {name[:80]!r} cannot be a name; use 1 to 64 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit"
        )


def find(connection: Connection, name: str) -> Tenant | None:
    """Return the tenant, None where there is none of this name."""
    row = connection.execute(sa.select(tenants).where(tenants.c.tenant_id == name)).mappings().one_or_none()
    return None if row is None else Tenant(**row)


def get(connection: Connection, name: str) -> Tenant:
    """Return the tenant.

    Raises
    ------
    NotFoundError
        There is none of this name.
    """
    found = find(connection, name)
    if found is None:
        raise NotFoundError("tenant", name)
    return found


def _locked(connection: Connection, name: str) -> Tenant:
    """Return the tenant, and let nobody else change it until the transaction ends: what is not changed is written back."""
    connection.execute(sa.select(tenants.c.tenant_id).where(tenants.c.tenant_id == name).with_for_update())
    return get(connection, name)


def list_page(connection: Connection, *, after: str = "", limit: int = 100) -> list[Tenant]:
    """Tenants by name, from the one after `after`."""
    query = sa.select(tenants).where(tenants.c.tenant_id > after).order_by(tenants.c.tenant_id).limit(limit)
    return [Tenant(**row) for row in connection.execute(query).mappings()]


def every_tenant(connection: Connection) -> Iterator[Tenant]:
    """Tenants by name, however many."""
    page = list_page(connection)
    while page:
        yield from page
        page = list_page(connection, after=page[-1].tenant_id)


def create(
    connection: Connection,
    name: str,
    *,
    actor: str,
    now: datetime,
    audit: AuditLog,
    rules: Mapping[str, Any] | None = None,
    source: str = "",
) -> Tenant:
    """Make a tenant; writes its row and an audit event in its own chain.

    Raises
    ------
    InputError
        The name cannot be used.
    ConflictError
        The tenant exists.
    """
    made = ensure(connection, name, actor=actor, now=now, audit=audit, rules=rules, source=source)
    if made is None:
        raise ConflictError(f"tenant {name!r} exists; change it with: aihub tenants set {name}")
    return made


def ensure(
    connection: Connection,
    name: str,
    *,
    actor: str,
    now: datetime,
    audit: AuditLog,
    rules: Mapping[str, Any] | None = None,
    source: str = "",
) -> Tenant | None:
    """Make the tenant where it is missing, as `create` does; None where it was there.

    Raises
    ------
    InputError
        The name cannot be used.
    """
    check_name(name)
    row = {
        "tenant_id": name,
        "created_by": actor,
        "created_at": now,
        "rules": dict(rules or {}),
        "is_active": True,
    }
    if not insert_unless_there(connection, tenants, row):
        return None
    audit.append(
        connection,
        tenant=name,
        actor=actor,
        action="tenant.created",
        subject=f"tenant:{name}",
        now=now,
        after={"rules": row["rules"]},
        source=source,
    )
    return get(connection, name)


def change(
    connection: Connection,
    name: str,
    *,
    actor: str,
    now: datetime,
    audit: AuditLog,
    rules: Mapping[str, Any] | None = None,
    is_active: bool | None = None,
    reason: str = "",
    source: str = "",
) -> Tenant:
    """Set the whole of a tenant's rules, whether its keys count, or both; writes row and audit event.

    Raises
    ------
    NotFoundError
        There is no tenant of this name.
    """
    before = _locked(connection, name)
    wanted: dict[str, Any] = {
        "rules": dict(before.rules if rules is None else rules),
        "is_active": before.is_active if is_active is None else is_active,
    }
    found = {"rules": dict(before.rules), "is_active": before.is_active}
    if wanted == found:
        return before
    connection.execute(sa.update(tenants).where(tenants.c.tenant_id == name).values(**wanted))
    audit.append(
        connection,
        tenant=name,
        actor=actor,
        action="tenant.changed",
        subject=f"tenant:{name}",
        now=now,
        before=found,
        after=wanted,
        reason=reason,
        source=source,
    )
    return get(connection, name)
