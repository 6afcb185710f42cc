"""From a job's token to a credential of the hub that lives for an hour, and back to who it is."""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from aihub.access import Verified, scopes_of
from aihub.errors import UnauthorizedError
from aihub.github import oidc, policies
from aihub.github.keys import KeySet
from aihub.github.trust import TRUSTED_ROLES, TrustPolicy, choose
from aihub.settings import DEFAULT_TENANT
from aihub.store import engine as engines
from aihub.store import outbox
from aihub.store.github_tables import github_sessions
from aihub.store.models import insert_unless_there
from aihub.types import Identity, Role

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine

    from aihub.github.oidc import Claims, Keys
    from aihub.settings import Settings
    from aihub.store.audit import AuditLog

PREFIX = "hubgh_"
"""How a credential of this kind begins; `hub_` are API keys."""
LIFETIME_S = 3600
KEPT_DAYS = 90
"""How long an ended session is kept: it is the evidence of what GitHub said about a run."""
REFUSALS_PER_MINUTE = 60
"""Refusals that are written to the audit log; what comes beyond is in the program's log only, for anybody may ask."""
MOST_EVIDENCE = 5
"""Runs of a commit that a deployment names as its evidence; a commit rarely has more than one."""
REVIEWERS_TOPIC = "github.reviewers"
_CREDENTIAL = re.compile(rf"{PREFIX}([0-9a-f]{{16}})_([A-Za-z0-9_-]{{43}})")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Session:
    """A credential that was just given; `credential` exists here and at the caller only."""

    credential: str = field(repr=False)
    tenant: str
    principal: str
    role: Role
    scopes: frozenset[str]
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class Keyless:
    """Gives workflows of GitHub short credentials, and knows them again.

    Attributes
    ----------
    audience
        Who the token must be for; each hub has its own, so that a token for another is worthless here.
    """

    engine: Engine
    audit: AuditLog
    keys: Keys
    audience: str
    issuer: str = oidc.ISSUER
    lifetime_s: int = LIFETIME_S
    _refused: deque[datetime] = field(default_factory=lambda: deque(maxlen=REFUSALS_PER_MINUTE), repr=False)

    def exchange(self, token: str, *, now: datetime, tenant: str | None = None, source: str = "") -> Session:
        """Open a session for the job that `token` stands for; writes it and its audit event. A token is good once.

        Raises
        ------
        UnauthorizedError
            The token does not count here. Why is in the audit log (`github.refused`) and is not told to the caller.
        UnavailableError
            GitHub's keys or our database cannot be had.
        """
        if not self.audience:
            raise UnauthorizedError("this hub knows no workflows; set AIHUB_GITHUB_AUDIENCE on it")
        claims: Claims | None = None
        trusted: list[TrustPolicy] = []
        try:
            claims = oidc.verify(token, self.keys, audience=self.audience, now=now, issuer=self.issuer)
            with engines.read(self.engine, tenant=engines.EVERY_TENANT) as connection:
                trusted = policies.of_repository(connection, claims.repository_id)
            found = choose(trusted, claims, tenant=tenant)
            with engines.write(self.engine, tenant=found[0].tenant) as connection:
                return self._open(connection, claims, found, now=now, source=source)
        except (UnauthorizedError, LookupError) as error:
            self._refuse(str(error), claims, trusted, now=now, source=source)
            message = (
                "the hub does not accept this token; why is in its audit log under 'github.refused': "
                "compare the job with `aihub trust list`"
            )
            raise UnauthorizedError(message) from error

    def verify(self, token: str, now: datetime) -> Verified | None:
        """Return who a credential of ours stands for, None for one of another kind (`aihub.access.Verifier`).

        Raises
        ------
        UnauthorizedError
            It is unknown or has ended.
        """
        return self._identify(token, now) if token.startswith(PREFIX) else None

    def identify(self, credential: str, *, now: datetime) -> Identity:
        """Return who a credential stands for.

        Raises
        ------
        UnauthorizedError
            It is unknown or has ended.
        """
        return self._identify(credential, now).identity

    def _identify(self, credential: str, now: datetime) -> Verified:
        """Look a credential up.

        Raises
        ------
        UnauthorizedError
            It is unknown or has ended.
        """
        match = _CREDENTIAL.fullmatch(credential)
        session_id, secret = match.groups() if match else ("", "")
        with engines.read(self.engine, tenant=engines.EVERY_TENANT) as connection:
            query = sa.select(github_sessions).where(github_sessions.c.id == session_id)
            row = connection.execute(query).mappings().one_or_none()
        expected = row["secret_sha256"] if row is not None else ""
        if not hmac.compare_digest(expected, _sha256(secret)) or row is None or row["expires_at"] <= now:
            raise UnauthorizedError("the credential is unknown or has ended; ask for a new one: aihub login")
        run = f"github run {row['claims']['run_id']}/{row['claims']['run_attempt']}"
        identity = Identity(
            tenant=row["tenant_id"],
            principal=row["principal"],
            role=Role(row["role"]),
            scopes=frozenset(row["scopes"]),
            source=run,
        )
        return Verified(identity=identity, expires_at=row["expires_at"])

    def _open(
        self, connection: Connection, claims: Claims, found: list[TrustPolicy], *, now: datetime, source: str
    ) -> Session:
        roles = frozenset[Role]().union(*(policy.roles_for(claims) for policy in found))
        session_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
        session = Session(
            credential=f"{PREFIX}{session_id}_{secret}",
            tenant=found[0].tenant,
            principal=f"github:repository_id/{claims.repository_id}",
            role=max(roles, key=TRUSTED_ROLES.index),
            scopes=frozenset[str]().union(*map(scopes_of, roles)),
            expires_at=now + timedelta(seconds=self.lifetime_s),
        )
        row = {
            "id": session_id,
            "tenant_id": session.tenant,
            "jti": claims.jti,
            "repository_id": claims.repository_id,
            "principal": session.principal,
            "role": session.role,
            "scopes": sorted(session.scopes),
            "sha": claims.sha,
            "environment": claims.environment,
            "claims": claims.to_dict(),
            "secret_sha256": _sha256(secret),
            "created_at": now,
            "expires_at": session.expires_at,
        }
        if not insert_unless_there(connection, github_sessions, row):
            raise UnauthorizedError(f"the token {claims.jti!r} was used before")
        _forget(connection, tenant=session.tenant, now=now)
        self._record(connection, session, claims, found, now=now, source=source)
        return session

    def _record(
        self,
        connection: Connection,
        session: Session,
        claims: Claims,
        found: list[TrustPolicy],
        *,
        now: datetime,
        source: str,
    ) -> None:
        """Write who came; a job in an environment has passed GitHub's own protection, which is evidence of its run."""
        common: dict[str, Any] = {
            "tenant": session.tenant,
            "actor": session.principal,
            "now": now,
            "source": source,
        }
        run = f"github run {claims.run_id}/{claims.run_attempt}"
        after = {**claims.to_dict(), "role": session.role, "policies": [policy.name for policy in found]}
        self.audit.append(connection, action="github.session_opened", subject=run, after=after, **common)
        if claims.environment is None:
            return
        evidence = evidence_of(claims.to_dict())
        self.audit.append(
            connection, action="github.environment_entered", subject=run, after=evidence, **common
        )
        outbox.put(
            connection,
            tenant=session.tenant,
            topic=REVIEWERS_TOPIC,
            key=f"{claims.repository_id}/{claims.run_id}/{claims.environment}",
            payload=evidence,
            now=now,
        )

    def _refuse(
        self, why: str, claims: Claims | None, trusted: list[TrustPolicy], *, now: datetime, source: str
    ) -> None:
        # The log shows what came, escaped: nothing of a refused token is trusted to be one line.
        _log.warning("GitHub token refused: %r (%s)", why, source)
        if len(self._refused) == REFUSALS_PER_MINUTE and now - self._refused[0] < timedelta(minutes=1):
            return
        self._refused.append(now)
        tenant = trusted[0].tenant if trusted else DEFAULT_TENANT
        with engines.write(self.engine, tenant=tenant) as connection:
            self.audit.append(
                connection,
                tenant=tenant,
                actor=f"github:repository_id/{claims.repository_id}" if claims else "github:unknown",
                action="github.refused",
                subject=f"github run {claims.run_id}/{claims.run_attempt}" if claims else "github token",
                now=now,
                after=claims.to_dict() if claims else None,
                reason=why[:2000].replace("\x00", ""),
                source=source,
            )


def keyless_of(settings: Settings, engine: Engine, audit: AuditLog) -> Keyless:
    """Return what knows GitHub's workflows, as the settings say; without an audience it knows none.

    Raises
    ------
    ConfigError
        The keys' address cannot be used.
    """
    source = settings.github_jwks or f"{settings.github_issuer.rstrip('/')}/.well-known/jwks"
    return Keyless(
        engine=engine,
        audit=audit,
        keys=KeySet(source),
        audience=settings.github_audience,
        issuer=settings.github_issuer,
    )


def evidence_of(claims: dict[str, Any]) -> dict[str, Any]:
    """Return what a job in an environment proves: GitHub let this run of this commit in. It is no approval of the hub.

    Whether reviewers stood before the environment is GitHub's business (a missing environment is made without any), so
    the hub's own rule of four eyes holds all the same.
    """
    names = (
        "repository_id",
        "repository",
        "run_id",
        "run_attempt",
        "sha",
        "ref",
        "environment",
        "actor",
        "actor_id",
    )
    return {"kind": "github_environment", **{name: claims.get(name) for name in names}}


def evidence_for(connection: Connection, *, tenant: str, sha: str, environment: str) -> list[dict[str, Any]]:
    """Return what GitHub has let into `environment` for a commit, newest first: a deployment keeps it as evidence."""
    query = (
        sa.select(github_sessions.c.claims)
        .where(
            github_sessions.c.tenant_id == tenant,
            github_sessions.c.sha == sha,
            github_sessions.c.environment == environment,
        )
        .order_by(github_sessions.c.created_at.desc())
        .limit(MOST_EVIDENCE)
    )
    found = connection.scalars(query)
    return [{**evidence_of(claims), "reviewers": claims.get("reviewers")} for claims in found]


def _forget(connection: Connection, *, tenant: str, now: datetime) -> None:
    long_ago = now - timedelta(days=KEPT_DAYS)
    connection.execute(
        sa.delete(github_sessions).where(
            github_sessions.c.tenant_id == tenant, github_sessions.c.expires_at < long_ago
        )
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()
