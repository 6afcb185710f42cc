"""API keys as rows: made, replaced with an overlap, revoked, looked up. Functions never commit."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from aihub.access import check_grant, scopes_of
from aihub.errors import ConflictError, InputError, NotFoundError
from aihub.store import tenants
from aihub.store.access_tables import api_keys
from aihub.store.credentials import ApiKey, NewKey, hash_of, id_of, new_token
from aihub.types import OPERATOR_TENANT, Role, iso

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime, timedelta

    from sqlalchemy.engine import Connection

    from aihub.store.audit import AuditLog
    from aihub.types import Identity

MAX_ACTIVE = 2
"""Keys of one principal that may count at a time: the one in use and the one that replaces it."""
_PRINCIPAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9@._:/+-]{0,127}\Z")
_SHOWN = [column for column in api_keys.c if column.name != "secret_sha256"]


def issue(
    connection: Connection,
    *,
    tenant: str,
    principal: str,
    role: Role,
    actor: str,
    now: datetime,
    audit: AuditLog,
    scopes: Iterable[str] | None = None,
    expires_at: datetime | None = None,
    token: str | None = None,
    giver: Identity | None = None,
    source: str = "",
) -> NewKey:
    """Make a key for `principal`; writes row and audit event.

    Parameters
    ----------
    token
        Given where an operator brings his own.
    giver
        Whose credential asks: nobody makes a key that may do more than his own. None: who owns the machine.

    Raises
    ------
    ForbiddenError
        The key would have what `giver` has not.
    InputError
        Principal, scopes, expiry or token cannot be used.
    NotFoundError
        There is no such tenant.
    ConflictError
        The principal has two active keys, or the id is taken.
    """
    _check(principal, expires_at, now)
    if giver is not None:
        check_grant(giver, role, scopes, for_operators=tenant == OPERATOR_TENANT)
    narrowed = None
    if scopes is not None:
        narrowed = sorted(scopes_of(role, scopes, is_operator=tenant == OPERATOR_TENANT))
    token = token or new_token()
    key_id = id_of(token)
    if key_id is None:
        raise InputError("this is not of the form of an API key; make one with: aihub keys generate")
    if tenant != OPERATOR_TENANT:
        tenants.get(connection, tenant)
    made = ApiKey(
        id=key_id,
        tenant_id=tenant,
        principal=principal,
        role=role.value,
        scopes=narrowed,
        created_by=actor,
        created_at=now,
        expires_at=expires_at,
    )
    lock(connection, tenant)
    _check_room(connection, made, now)
    if find(connection, key_id) is not None:
        raise ConflictError(f"key {key_id} exists; make another with: aihub keys generate")
    connection.execute(sa.insert(api_keys).values(**vars(made), secret_sha256=hash_of(token)))
    _write_down(
        connection, audit, "key.created", made, actor=actor, now=now, after=_said(made), source=source
    )
    return NewKey(key=made, token=token)


def rotate(
    connection: Connection,
    key_id: str,
    *,
    tenant: str | None,
    overlap: timedelta,
    actor: str,
    now: datetime,
    audit: AuditLog,
    giver: Identity | None = None,
    source: str = "",
) -> NewKey:
    """Make the successor of a key, with the same rights and length of life; the old one counts until `overlap` is over.

    Of a rotation and a revocation at the same time one is first: a key that was ended gets no successor.

    Raises
    ------
    ForbiddenError
        The key may do what `giver` may not.
    NotFoundError
        There is no such key, or it is of another tenant than `tenant` (None: any).
    ConflictError
        The key does not count any more, or the principal has two active keys already.
    """
    old = _held(connection, key_id, tenant=tenant)
    if old.state(now) != "active":
        raise ConflictError(f"key {key_id} is {old.state(now)}; make a new one with: aihub keys create")
    life = None if old.expires_at is None else old.expires_at - old.created_at
    made = issue(
        connection,
        tenant=old.tenant_id,
        principal=old.principal,
        role=Role(old.role),
        scopes=old.scopes,
        expires_at=None if life is None else now + life,
        actor=actor,
        now=now,
        audit=audit,
        giver=giver,
        source=source,
    )
    end = now + overlap if old.expires_at is None else min(old.expires_at, now + overlap)
    connection.execute(sa.update(api_keys).where(api_keys.c.id == key_id).values(expires_at=end))
    _write_down(
        connection,
        audit,
        "key.rotated",
        old,
        actor=actor,
        now=now,
        before={"expires_at": old.expires_at and iso(old.expires_at)},
        after={"expires_at": iso(end), "successor": made.key.id},
        source=source,
    )
    return made


def revoke(
    connection: Connection,
    key_id: str,
    *,
    tenant: str | None,
    actor: str,
    now: datetime,
    audit: AuditLog,
    reason: str = "",
    source: str = "",
) -> ApiKey:
    """End a key at once; writes row and audit event. Idempotent. A successor that it has already counts on.

    Other processes notice within the 5 s that they remember a credential.

    Raises
    ------
    NotFoundError
        There is no such key, or it is of another tenant than `tenant` (None: any).
    """
    found = _held(connection, key_id, tenant=tenant)
    if found.revoked_at is not None:
        return found
    connection.execute(sa.update(api_keys).where(api_keys.c.id == key_id).values(revoked_at=now))
    _write_down(connection, audit, "key.revoked", found, actor=actor, now=now, reason=reason, source=source)
    return get(connection, key_id, tenant=tenant)


def find(connection: Connection, key_id: str) -> ApiKey | None:
    """Return a key by its public part."""
    row = connection.execute(sa.select(*_SHOWN).where(api_keys.c.id == key_id)).mappings().one_or_none()
    return None if row is None else ApiKey(**row)


def get(connection: Connection, key_id: str, *, tenant: str | None) -> ApiKey:
    """Return a key by its public part.

    Raises
    ------
    NotFoundError
        There is no such key, or it is of another tenant than `tenant` (None: any).
    """
    found = find(connection, key_id)
    if found is None or tenant not in (None, found.tenant_id):
        raise NotFoundError("key", key_id)
    return found


def _held(connection: Connection, key_id: str, *, tenant: str | None) -> ApiKey:
    """Return a key as it is now, and let nobody else end or replace it until the transaction ends."""
    connection.execute(sa.select(api_keys.c.id).where(api_keys.c.id == key_id).with_for_update())
    return get(connection, key_id, tenant=tenant)


def may(connection: Connection, principal: str, scope: str, *, tenant: str, now: datetime) -> bool:
    """Whether somebody has a key that counts and may do `scope` in the tenant, as one of its people or as an operator."""
    query = sa.select(*_SHOWN).where(
        api_keys.c.tenant_id.in_((tenant, OPERATOR_TENANT)), api_keys.c.principal == principal
    )
    found = [ApiKey(**row) for row in connection.execute(query).mappings()]
    return any(
        key.state(now) == "active"
        and scope in scopes_of(Role(key.role), key.scopes, is_operator=key.tenant_id == OPERATOR_TENANT)
        for key in found
    )


def secret_hash(connection: Connection, key_id: str) -> str | None:
    """Return the hash that a key's token has to have."""
    return connection.scalar(sa.select(api_keys.c.secret_sha256).where(api_keys.c.id == key_id))


def list_page(
    connection: Connection, *, tenant: str | None = None, after: str = "", limit: int = 100
) -> list[ApiKey]:
    """Keys of a tenant (None: of all) by id, from the one after `after`."""
    query = sa.select(*_SHOWN).where(api_keys.c.id > after).order_by(api_keys.c.id).limit(limit)
    if tenant is not None:
        query = query.where(api_keys.c.tenant_id == tenant)
    return [ApiKey(**row) for row in connection.execute(query).mappings()]


def every_key(connection: Connection, *, tenant: str | None = None) -> Iterator[ApiKey]:
    """Keys of a tenant (None: of all) by id, however many."""
    page = list_page(connection, tenant=tenant)
    while page:
        yield from page
        page = list_page(connection, tenant=tenant, after=page[-1].id)


def note_uses(connection: Connection, used: Mapping[str, datetime]) -> None:
    """Write down when keys were last used; an older time changes nothing."""
    for key_id, at in sorted(used.items()):
        later = sa.or_(api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at < at)
        connection.execute(sa.update(api_keys).where(api_keys.c.id == key_id, later).values(last_used_at=at))


def lock(connection: Connection, tenant: str) -> None:
    """Let nobody else make a key in the tenant until the transaction ends: active ones are counted."""
    if connection.dialect.name == "postgresql":
        lock = sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:tenant, 7306))")
        connection.execute(lock, {"tenant": tenant})


def _check(principal: str, expires_at: datetime | None, now: datetime) -> None:
    if not _PRINCIPAL.match(principal):
        raise InputError(
            f"principal {principal[:80]!r} cannot be used; take up to 128 letters, digits and any of @._:/+-"
        )
    if expires_at is not None and expires_at <= now:
        raise InputError(f"the key would have expired at {iso(expires_at)}; give a time to come")


def _check_room(connection: Connection, wanted: ApiKey, now: datetime) -> None:
    if wanted.is_short_lived:
        return
    query = sa.select(*_SHOWN).where(
        api_keys.c.tenant_id == wanted.tenant_id,
        api_keys.c.principal == wanted.principal,
        api_keys.c.revoked_at.is_(None),
        sa.or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > now),
    )
    rows = [ApiKey(**row) for row in connection.execute(query).mappings()]
    active = sorted(key.id for key in rows if not key.is_short_lived)
    if len(active) >= MAX_ACTIVE:
        raise ConflictError(
            f"{wanted.principal!r} has {len(active)} active keys ({', '.join(active)}); revoke one first"
        )


def _said(key: ApiKey) -> dict[str, Any]:
    return {
        "principal": key.principal,
        "role": key.role,
        "scopes": key.scopes,
        "expires_at": key.expires_at and iso(key.expires_at),
    }


def _write_down(
    connection: Connection,
    audit: AuditLog,
    action: str,
    key: ApiKey,
    *,
    actor: str,
    now: datetime,
    **event: Any,
) -> None:
    audit.append(
        connection,
        tenant=key.tenant_id,
        actor=actor,
        action=action,
        subject=f"key:{key.id}",
        now=now,
        **event,
    )
