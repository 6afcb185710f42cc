from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from aihub.access import scopes_of
from aihub.errors import ConflictError, NotFoundError, UnauthorizedError
from aihub.github import policies
from aihub.github.sessions import PREFIX, REFUSALS_PER_MINUTE, REVIEWERS_TOPIC, Keyless, evidence_for
from aihub.github.trust import TrustPolicy
from aihub.store import engine as engines
from aihub.store.access_tables import audit as audit_rows
from aihub.store.audit import AuditLog
from aihub.store.tables import outbox
from aihub.types import Role
from databases import sqlite_at
from github_side import AUDIENCE, NOW, WORKFLOW, Issuer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy.engine import Engine

AUDIT = AuditLog(b"k" * 32)


def policy(**changes: Any) -> TrustPolicy:
    good = {
        "name": "deploy",
        "repository_id": "42",
        "repository_owner_id": "7",
        "roles": ["trainer", "deployer"],
        "ref": "refs/heads/main",
        "job_workflow_ref": WORKFLOW,
        "environment": "production",
    }
    return TrustPolicy(**{**good, **changes})


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = sqlite_at(tmp_path / "hub.db")
    with engines.write(engine, tenant="default") as connection:
        policies.add(connection, policy(), actor="alice", now=NOW, audit=AUDIT)
    yield engine
    engine.dispose()


@pytest.fixture
def keyless(engine: Engine, issuer: Issuer) -> Keyless:
    return Keyless(engine=engine, audit=AUDIT, keys=issuer, audience=AUDIENCE)


def events(engine: Engine, tenant: str = "default") -> list[tuple[str, str]]:
    with engines.read(engine, tenant=tenant) as connection:
        rows = connection.execute(
            sa.select(audit_rows.c.action, audit_rows.c.reason)
            .where(audit_rows.c.tenant_id == tenant)
            .order_by(audit_rows.c.sequence)
        )
        return [(row.action, row.reason) for row in rows]


def test_a_job_gets_a_credential_of_an_hour_and_is_known_by_it(keyless: Keyless, issuer: Issuer) -> None:
    session = keyless.exchange(issuer.token(), now=NOW, source="api 127.0.0.1")
    assert session.credential.startswith(PREFIX)
    assert session.credential not in repr(session)
    found = keyless.identify(session.credential, now=NOW + timedelta(minutes=59))
    assert (found.tenant, found.principal, found.role) == (
        "default",
        "github:repository_id/42",
        Role.DEPLOYER,
    )
    assert found.scopes == scopes_of(Role.TRAINER) | scopes_of(Role.DEPLOYER)
    assert "github run 900/1" in found.source
    with pytest.raises(UnauthorizedError):
        keyless.identify(session.credential, now=NOW + timedelta(hours=1))


@pytest.mark.parametrize(
    "credential", ["", PREFIX, "hubgh_0_0", "hub_a_b", "hubgh_" + "0" * 16 + "_", "\ud800"]
)
def test_an_invented_credential_is_unknown(keyless: Keyless, credential: str) -> None:
    with pytest.raises(UnauthorizedError):
        keyless.identify(credential, now=NOW)


def test_only_credentials_of_this_kind_are_judged(keyless: Keyless, issuer: Issuer) -> None:
    assert keyless.verify("hub_0123456789abcdef_x", NOW) is None
    verified = keyless.verify(keyless.exchange(issuer.token(), now=NOW).credential, NOW)
    assert verified is not None
    assert verified.expires_at == NOW + timedelta(hours=1)


def test_a_token_is_good_once(keyless: Keyless, engine: Engine, issuer: Issuer) -> None:
    token = issuer.token()
    keyless.exchange(token, now=NOW)
    with pytest.raises(UnauthorizedError):
        keyless.exchange(token, now=NOW)
    assert events(engine)[-1][0] == "github.refused"
    assert "used before" in events(engine)[-1][1]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"repository_id": "43"}, "no policy for repository_id 43"),
        ({"repository_owner_id": "8"}, "repository_owner_id"),
        ({"environment": "staging"}, "environment"),
        ({"ref": "refs/heads/feature"}, "refs/heads/feature"),
        ({"aud": "https://other.example.com"}, "other.example.com"),
        ({"exp": None}, "'exp'"),
        ({"event_name": "pull_request"}, "event 'pull_request'"),
    ],
)
def test_a_refusal_is_audited_with_its_reason_and_not_told(
    keyless: Keyless, engine: Engine, issuer: Issuer, changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(UnauthorizedError) as refused:
        keyless.exchange(issuer.token(**changes), now=NOW)
    assert why not in str(refused.value)
    action, reason = events(engine)[-1]
    assert action == "github.refused"
    assert why in reason


def test_a_flood_of_bad_tokens_does_not_flood_the_audit_log(keyless: Keyless, engine: Engine) -> None:
    for _ in range(REFUSALS_PER_MINUTE + 20):
        with pytest.raises(UnauthorizedError):
            keyless.exchange("a.b.c", now=NOW)
    assert sum(action == "github.refused" for action, _ in events(engine)) == REFUSALS_PER_MINUTE
    with pytest.raises(UnauthorizedError):
        keyless.exchange("a.b.c", now=NOW + timedelta(minutes=2))
    assert sum(action == "github.refused" for action, _ in events(engine)) == REFUSALS_PER_MINUTE + 1


def test_an_environment_is_evidence_of_the_run_and_asks_for_the_reviewers(
    keyless: Keyless, engine: Engine, issuer: Issuer
) -> None:
    keyless.exchange(issuer.token(), now=NOW)
    assert [action for action, _ in events(engine)][-2:] == [
        "github.session_opened",
        "github.environment_entered",
    ]
    with engines.read(engine, tenant="default") as connection:
        (found,) = evidence_for(
            connection, tenant="default", sha="c0ffee" * 6 + "beef", environment="production"
        )
        assert (found["run_id"], found["actor"], found["kind"]) == ("900", "alice", "github_environment")
        assert not evidence_for(
            connection, tenant="north", sha="c0ffee" * 6 + "beef", environment="production"
        )
        due = connection.execute(sa.select(outbox.c.topic, outbox.c.key)).one()
    assert tuple(due) == (REVIEWERS_TOPIC, "42/900/production")


def test_a_pull_request_reads_only(keyless: Keyless, engine: Engine, issuer: Issuer) -> None:
    readers = policy(
        name="pulls",
        roles=["viewer"],
        ref=None,
        job_workflow_ref=None,
        environment=None,
        event_names=["pull_request"],
    )
    with engines.write(engine, tenant="default") as connection:
        policies.add(connection, readers, actor="alice", now=NOW, audit=AUDIT)
    token = issuer.token(event_name="pull_request", ref="refs/pull/5/merge", environment=None)
    session = keyless.exchange(token, now=NOW)
    assert (session.role, session.scopes) == (Role.VIEWER, scopes_of(Role.VIEWER))


def test_who_is_no_longer_trusted_loses_the_running_session(
    keyless: Keyless, engine: Engine, issuer: Issuer
) -> None:
    token = issuer.token()
    session = keyless.exchange(token, now=NOW)
    with engines.write(engine, tenant="default") as connection:
        policies.remove(connection, "deploy", tenant="default", actor="alice", now=NOW, audit=AUDIT)
    with pytest.raises(UnauthorizedError):
        keyless.identify(session.credential, now=NOW)
    with pytest.raises(UnauthorizedError):
        keyless.exchange(token, now=NOW)
    assert ("trust.removed", "") in events(engine)


def test_policies_have_one_name_and_are_of_their_tenant(engine: Engine) -> None:
    with engines.write(engine, tenant="*") as connection:
        policies.add(connection, policy(), actor="bob", now=NOW, audit=AUDIT)
        with pytest.raises(ConflictError, match="another policy"):
            policies.add(connection, policy(ref="refs/heads/dev"), actor="bob", now=NOW, audit=AUDIT)
        policies.add(connection, policy(tenant="north"), actor="bob", now=NOW, audit=AUDIT)
        with pytest.raises(NotFoundError):
            policies.remove(connection, "deplyo", tenant="north", actor="bob", now=NOW, audit=AUDIT)
        assert len(policies.listed(connection)) == 2
        assert len(policies.listed(connection, tenant="north")) == 1
