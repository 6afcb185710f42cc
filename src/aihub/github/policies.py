"""Trust policies as rows. Functions take an open transaction and never commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from aihub.errors import ConflictError, NotFoundError
from aihub.github.trust import TrustPolicy
from aihub.store.github_tables import github_sessions, trust_policies
from aihub.store.models import insert_unless_there

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from aihub.store.audit import AuditLog


def add(
    connection: Connection,
    policy: TrustPolicy,
    *,
    actor: str,
    now: datetime,
    audit: AuditLog,
    source: str = "",
) -> None:
    """Trust a kind of job from now on; writes the policy and its audit event. The same policy again changes nothing.

    Raises
    ------
    ConflictError
        Another policy has the name.
    """
    document = policy.model_dump(mode="json")
    row = {
        "tenant_id": policy.tenant,
        "name": policy.name,
        "repository_id": policy.repository_id,
        "policy": document,
        "created_by": actor,
        "created_at": now,
    }
    # Written first and looked at then: of two at once, one sees what the other has written.
    if not insert_unless_there(connection, trust_policies, row):
        found = {one.name: one for one in listed(connection, tenant=policy.tenant)}.get(policy.name)
        if found == policy:
            return
        message = f"tenant {policy.tenant!r} has another policy {policy.name!r}; remove it first, or choose another name"
        raise ConflictError(message)
    audit.append(
        connection,
        tenant=policy.tenant,
        actor=actor,
        action="trust.added",
        subject=f"trust {policy.name}",
        now=now,
        after=document,
        source=source,
    )


def listed(connection: Connection, *, tenant: str | None = None) -> list[TrustPolicy]:
    """Policies of a tenant, or of all, by name."""
    query = sa.select(trust_policies.c.policy).order_by(trust_policies.c.tenant_id, trust_policies.c.name)
    if tenant is not None:
        query = query.where(trust_policies.c.tenant_id == tenant)
    return [TrustPolicy(**document) for document in connection.scalars(query)]


def of_repository(connection: Connection, repository_id: str) -> list[TrustPolicy]:
    """Policies of every tenant for one repository."""
    query = sa.select(trust_policies.c.policy).where(trust_policies.c.repository_id == repository_id)
    query = query.order_by(trust_policies.c.tenant_id, trust_policies.c.name)
    return [TrustPolicy(**document) for document in connection.scalars(query)]


def remove(
    connection: Connection,
    name: str,
    *,
    tenant: str,
    actor: str,
    now: datetime,
    audit: AuditLog,
    source: str = "",
) -> None:
    """Trust a kind of job no longer: deletes the policy and ends every session of its repository; writes the event.

    Raises
    ------
    NotFoundError
        The tenant has no such policy.
    """
    known = {policy.name: policy for policy in listed(connection, tenant=tenant)}
    if name not in known:
        raise NotFoundError("trust policy", name, known)
    policy = known[name]
    connection.execute(
        sa.delete(trust_policies).where(trust_policies.c.tenant_id == tenant, trust_policies.c.name == name)
    )
    # A token's id stays known until it has expired: an ended session must not be opened again with the same token.
    connection.execute(
        sa.update(github_sessions)
        .where(github_sessions.c.tenant_id == tenant, github_sessions.c.repository_id == policy.repository_id)
        .values(secret_sha256="")
    )
    audit.append(
        connection,
        tenant=tenant,
        actor=actor,
        action="trust.removed",
        subject=f"trust {name}",
        now=now,
        before=policy.model_dump(mode="json"),
        source=source,
    )
