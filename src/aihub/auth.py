"""Who is calling: from a credential to an identity, quickly enough for the prediction path.

A credential that counted is remembered for some seconds by its hash, so that a revocation reaches every process within
that time and this one at once. Whatever is wrong with a credential, the answer is the same.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aihub.access import Verified, scopes_of
from aihub.errors import AIHubError, ConfigError, ForbiddenError, NotFoundError, UnauthorizedError
from aihub.settings import DEFAULT_TENANT
from aihub.store import keys, tenants
from aihub.store.credentials import PREFIX, hash_of, id_of
from aihub.store.engine import EVERY_TENANT, read, write
from aihub.types import OPERATOR_TENANT, Identity, Role

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Engine

    from aihub.access import Verifier
    from aihub.hub import Hub
    from aihub.store.audit import AuditLog
    from aihub.store.credentials import ApiKey

REMEMBERED_S = 5.0
"""How long a credential that counted is not looked up again."""
MAX_REMEMBERED = 10_000
USES_EVERY_S = 60.0
"""How often the times of last use are written down."""
ANONYMOUS = "anonymous"
BOOTSTRAP_PRINCIPAL = "operator"


@dataclass(frozen=True, slots=True)
class _Known:
    identity: Identity
    until: float
    expires_at: datetime | None


class Authenticator:
    """Knows API keys of the hub, the kinds of credential that `verifiers` know, and whether nobody may do something."""

    def __init__(
        self,
        engine: Engine,
        audit: AuditLog,
        *,
        verifiers: Sequence[Verifier] = (),
        anonymous_role: Role | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._audit = audit
        self._verifiers = tuple(verifiers)
        self._anonymous = _anonymous(anonymous_role)
        self._clock = clock
        self._known: dict[bytes, _Known] = {}
        self._tenants: dict[str, float] = {}
        self._uses: dict[str, datetime] = {}
        self._uses_due = clock()
        self._writing = threading.Lock()

    @classmethod
    def of(cls, hub: Hub, verifiers: Sequence[Verifier] = ()) -> Authenticator:
        """Return the authenticator of a hub, which also knows the sessions of GitHub's workflows where it takes any."""
        known = list(verifiers)
        if hub.settings.github_audience:
            from aihub.github.sessions import keyless_of  # noqa: PLC0415 - a hub without GitHub does not pay

            known.append(keyless_of(hub.settings, hub.engine, hub.audit))
        role = hub.settings.anonymous_role
        return cls(hub.engine, hub.audit, verifiers=known, anonymous_role=role)

    def authenticate(self, token: str | None, now: datetime) -> Identity:
        """Return whom `token` (the part after ``Bearer``) stands for; `None` or empty where none was sent.

        An operator's identity acts in the default tenant until `acting_in` says otherwise.

        Raises
        ------
        UnauthorizedError
            There is no credential, or it does not count; the message does not say why.
        """
        if not token:
            if self._anonymous is None:
                raise UnauthorizedError("no credential; send the header Authorization: Bearer <API key>")
            return self._anonymous
        digest = digest_of(token)
        return self._counting(digest, now) or self._look_up(token, digest, now)

    def remembered(self, token: str | None, tenant: str | None, now: datetime) -> Identity | None:
        """Return whom `token` stands for in the tenant that a request names, where nothing has to be looked up for it.

        Never waits; None says nothing of whether the token counts.
        """
        if not token:
            return self._in(self._anonymous, tenant)
        return self.remembered_by(digest_of(token), tenant, now)

    def remembered_by(self, digest: bytes, tenant: str | None, now: datetime) -> Identity | None:
        """Return the same for `digest_of` a token."""
        return self._in(self._counting(digest, now), tenant)

    def _in(self, identity: Identity | None, tenant: str | None) -> Identity | None:
        if identity is None or tenant is None or tenant == identity.tenant:
            return identity
        is_known = identity.is_operator and self._clock() <= self._tenants.get(tenant, 0.0)
        return replace(identity, tenant=tenant) if is_known else None

    def _counting(self, digest: bytes, now: datetime) -> Identity | None:
        known = self._known.get(digest)
        if known is None or self._clock() >= known.until:
            return None
        return known.identity if known.expires_at is None or now < known.expires_at else None

    def acting_in(
        self, identity: Identity, tenant: str | None, now: datetime, *, create: bool = False
    ) -> Identity:
        """Return `identity` in the tenant that a request names; None means the one that it has.

        With `create` an operator who names a new tenant makes it, which is written into the audit log.

        Raises
        ------
        NotFoundError
            The tenant does not exist, or the credential is another's: the answer is the same.
        ForbiddenError
            The tenant was switched off.
        """
        if tenant is None or tenant == identity.tenant:
            return identity
        if not identity.is_operator:
            raise NotFoundError("tenant", tenant[:80])
        if self._tenants.get(tenant, 0.0) < self._clock():
            self._check_tenant(identity, tenant, now, create=create)
            if len(self._tenants) >= MAX_REMEMBERED:
                self._tenants.clear()
            self._tenants[tenant] = self._clock() + REMEMBERED_S
        return replace(identity, tenant=tenant)

    def forget(self) -> None:
        """Look every credential up again: after a key or a tenant was changed by this process."""
        self._known.clear()
        self._tenants.clear()

    def close(self) -> None:
        """Write down the last uses that are not yet."""
        self._write_uses()

    def _look_up(self, token: str, digest: bytes, now: datetime) -> Identity:
        verified = self._verified_key(token, now) if token.startswith(PREFIX) else self._ask(token, now)
        if verified is None or (verified.expires_at is not None and verified.expires_at <= now):
            self._known.pop(digest, None)
            raise UnauthorizedError("this credential does not count; ask an admin of the hub for a new one")
        if len(self._known) >= MAX_REMEMBERED:
            self._known.clear()
        self._known[digest] = _Known(verified.identity, self._clock() + REMEMBERED_S, verified.expires_at)
        return verified.identity

    def _ask(self, token: str, now: datetime) -> Verified | None:
        for verifier in self._verifiers:
            verified = verifier.verify(token, now)
            if verified is not None:
                with read(self._engine, tenant=EVERY_TENANT) as connection:
                    tenant = tenants.find(connection, verified.identity.tenant)
                return None if tenant is not None and not tenant.is_active else verified
        return None

    def _verified_key(self, token: str, now: datetime) -> Verified | None:
        key_id = id_of(token)
        if key_id is None:
            return None
        with read(self._engine, tenant=EVERY_TENANT) as connection:
            key = keys.find(connection, key_id)
            expected = keys.secret_hash(connection, key_id) or "0" * 64
            is_operator = key is not None and key.tenant_id == OPERATOR_TENANT
            tenant = None if key is None or is_operator else tenants.find(connection, key.tenant_id)
        matches = hmac.compare_digest(hash_of(token), expected)
        if key is None or not matches or key.state(now) != "active":
            return None
        if not is_operator and (tenant is None or not tenant.is_active):
            return None
        self._note_use(key, now)
        role = Role(key.role)
        identity = Identity(
            tenant=DEFAULT_TENANT if is_operator else key.tenant_id,
            principal=key.principal,
            role=role,
            scopes=scopes_of(role, key.scopes, is_operator=is_operator),
            is_operator=is_operator,
        )
        return Verified(identity=identity, expires_at=key.expires_at)

    def _check_tenant(self, identity: Identity, tenant: str, now: datetime, *, create: bool) -> None:
        with read(self._engine, tenant=EVERY_TENANT) as connection:
            found = tenants.find(connection, tenant)
        if found is not None and not found.is_active:
            raise ForbiddenError(f"tenant {tenant!r} is switched off; aihub tenants set {tenant} --active")
        if found is not None:
            return
        if not (create and "tenants:write" in identity.scopes):
            raise NotFoundError("tenant", tenant[:80])
        with write(self._engine, tenant=EVERY_TENANT) as connection:
            tenants.ensure(
                connection,
                tenant,
                actor=identity.principal,
                now=now,
                audit=self._audit,
                source=identity.source,
            )

    def _note_use(self, key: ApiKey, now: datetime) -> None:
        self._uses[key.id] = now
        if self._clock() >= self._uses_due:
            self._uses_due = self._clock() + USES_EVERY_S
            # Nobody waits for it: on SQLite it may have to wait for another writer.
            threading.Thread(target=self._write_uses, name="aihub-key-uses", daemon=True).start()

    def _write_uses(self) -> None:
        with self._writing:
            uses, self._uses = self._uses, {}
            if not uses:
                return
            try:
                with write(self._engine, tenant=EVERY_TENANT) as connection:
                    keys.note_uses(connection, uses)
            except AIHubError:
                # A busy database costs the exact time of a use, never a request.
                self._uses = {**uses, **self._uses}


def digest_of(token: str) -> bytes:
    """Return under what a token is remembered."""
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


def bootstrap(hub: Hub, now: datetime) -> str | None:
    """Make what a first start needs: the default tenant, and one operator's key where there is none.

    Returns
    -------
    The new key, to be shown once; None where one exists or `AIHUB_BOOTSTRAP_KEY` brings it. Idempotent.

    Raises
    ------
    ConfigError
        The configured key is not of the form of one.
    """
    given = hub.settings.bootstrap_key.get_secret_value() or None
    if given is not None and id_of(given) is None:
        message = "AIHUB_BOOTSTRAP_KEY is not of the form of an API key; make one with: aihub keys generate"
        raise ConfigError(message, field="bootstrap_key")
    with write(hub.engine, tenant=EVERY_TENANT) as connection:
        # Processes that start together make one key, not one each.
        keys.lock(connection, OPERATOR_TENANT)
        tenants.ensure(connection, DEFAULT_TENANT, actor="hub", now=now, audit=hub.audit, source="bootstrap")
        if given is not None and keys.find(connection, str(id_of(given))) is not None:
            return None
        if given is None and keys.list_page(connection, tenant=OPERATOR_TENANT, limit=1):
            return None
        made = keys.issue(
            connection,
            tenant=OPERATOR_TENANT,
            principal=BOOTSTRAP_PRINCIPAL,
            role=Role.ADMIN,
            actor="hub",
            now=now,
            audit=hub.audit,
            token=given,
            source="bootstrap",
        )
    return None if given is not None else made.token


def _anonymous(role: Role | None) -> Identity | None:
    if role is None:
        return None
    # As an operator, so that the guide's bodies with any `tenant_id` work on a laptop.
    scopes = scopes_of(role, is_operator=True)
    return Identity(
        tenant=DEFAULT_TENANT,
        principal=ANONYMOUS,
        role=role,
        scopes=scopes,
        is_operator=True,
        source="anonymous",
    )
