"""Sessions of workflows, GitHub's questions, and evidence on both databases, row-level security included."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from aihub.errors import ConflictError, UnauthorizedError
from aihub.github import policies
from aihub.github.effects import ASKED_WITHIN, STATUS_TOPIC, write_back
from aihub.github.protection import EVENT, Webhooks
from aihub.github.sessions import Keyless
from aihub.github.trust import TrustPolicy
from aihub.store.access_tables import audit
from aihub.store.engine import read, write
from aihub.store.tables import outbox
from github_side import API, AUDIENCE, NOW, SECRET, SHA, WORKFLOW, Issuer, body, signed
from orders import FREE, decide, order, register, registry_on

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy.engine import Engine

    from aihub.registry.registry import Registry

ISSUER = Issuer()


@pytest.fixture
def registry(database: Engine, tmp_path: Path) -> Registry:
    registry = registry_on(database, tmp_path)
    given: dict[str, Any] = {
        "name": "deploy",
        "repository_id": "42",
        "repository_owner_id": "7",
        "roles": ["trainer", "deployer"],
        "ref": "refs/heads/main",
        "job_workflow_ref": WORKFLOW,
        "environment": "production",
    }
    with write(database, tenant="default") as connection:
        policies.add(connection, TrustPolicy(**given), actor="ann", now=NOW, audit=registry.audit)
    return registry


@pytest.fixture
def keyless(registry: Registry) -> Keyless:
    return Keyless(engine=registry.engine, audit=registry.audit, keys=ISSUER, audience=AUDIENCE)


def test_of_two_policies_of_one_name_added_at_once_one_is_refused(registry: Registry) -> None:
    def add(role: str) -> None:
        given = {"name": "watch", "repository_id": "42", "repository_owner_id": "7", "roles": ["viewer"]}
        named = TrustPolicy(**given, event_names=(role,))
        with write(registry.engine, tenant="default") as connection:
            policies.add(connection, named, actor="ann", now=NOW, audit=registry.audit)

    with ThreadPoolExecutor(1) as pool:
        with write(registry.engine, tenant="default") as connection:
            first = TrustPolicy(
                name="watch",
                repository_id="42",
                repository_owner_id="7",
                roles=("viewer",),
                event_names=("push",),
            )
            policies.add(connection, first, actor="ann", now=NOW, audit=registry.audit)
            second = pool.submit(add, "schedule")
            time.sleep(0.3)  # long enough for the second to look before the first is there
        with pytest.raises(ConflictError, match="another policy"):
            second.result()
    with read(registry.engine, tenant="default") as connection:
        assert [one.event_names for one in policies.listed(connection) if one.name == "watch"] == [("push",)]


def test_a_token_is_good_once_and_its_session_ends(keyless: Keyless, registry: Registry) -> None:
    token = ISSUER.token()
    session = keyless.exchange(token, now=NOW)
    assert keyless.identify(session.credential, now=NOW).principal == "github:repository_id/42"
    with pytest.raises(UnauthorizedError):
        keyless.exchange(token, now=NOW)
    with write(registry.engine, tenant="default") as connection:
        policies.remove(connection, "deploy", tenant="default", actor="ann", now=NOW, audit=registry.audit)
    with pytest.raises(UnauthorizedError):
        keyless.identify(session.credential, now=NOW)
    with read(registry.engine, tenant="default") as connection:
        assert registry.audit.verify(connection, tenant="default").is_intact


def test_two_runs_at_once_get_one_session_and_one_gate(keyless: Keyless, registry: Registry) -> None:
    token, content = ISSUER.token(), body()
    hooks = Webhooks(engine=registry.engine, audit=registry.audit, secret=SECRET, api_url=API)

    def sign_in(_: int) -> str:
        try:
            return keyless.exchange(token, now=NOW).role
        except UnauthorizedError:
            return "refused"

    def ask(number: int) -> str:
        return hooks.take(content, signature=signed(content), event=EVENT, delivery=f"d-{number}", now=NOW)

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(sign_in, range(6))) == ["deployer", *["refused"] * 5]
        assert sorted(pool.map(ask, range(6))) == [*["known"] * 5, "taken"]
    with read(registry.engine, tenant="default") as connection:
        actions = list(connection.scalars(sa.select(audit.c.action).where(audit.c.tenant_id == "default")))
    assert [actions.count(f"github.{name}") for name in ("session_opened", "gate_asked")] == [1, 1]


def test_a_deployment_names_the_run_that_github_let_in(keyless: Keyless, registry: Registry) -> None:
    register(registry, policy=FREE, git_commit=SHA)
    keyless.exchange(ISSUER.token(), now=NOW)
    waiting = order(registry, 1)
    # What GitHub let in still waits for a person of the hub.
    assert waiting.state == "waiting"
    assert waiting.approval is not None
    _, outcome = decide(registry, waiting.approval.uid)
    assert outcome is not None
    assert outcome.deployment is not None
    (run,) = outcome.deployment.evidence["github"]
    assert (run["kind"], run["run_id"], run["sha"]) == ("github_environment", "900", SHA)


def test_a_question_is_answered_when_its_commit_is_judged_and_the_deployment_written_back(
    registry: Registry,
) -> None:
    hooks = Webhooks(engine=registry.engine, audit=registry.audit, secret=SECRET, api_url=API)
    content = body()
    asked = {"signature": signed(content), "event": EVENT, "now": NOW}
    assert hooks.take(content, delivery="d-1", **asked) == "taken"  # type: ignore[arg-type]
    assert hooks.take(content, delivery="d-2", **asked) == "known"  # type: ignore[arg-type]
    assert hooks.decide_pending(NOW) == 0
    register(registry, policy=FREE, git_commit=SHA)
    assert hooks.decide_pending(NOW) == 1
    waiting = order(registry, 1)
    assert waiting.approval is not None
    decide(registry, waiting.approval.uid)
    assert [write_back(registry.engine, now=NOW, within=timedelta(days=1)) for _ in range(2)] == [1, 0]
    with read(registry.engine, tenant="default") as connection:
        topics = set(
            connection.scalars(sa.select(outbox.c.topic).where(outbox.c.topic.startswith("github.")))
        )
    assert topics == {"github.protection", STATUS_TOPIC}


def test_what_is_asked_early_and_deployed_late_is_written_back_without_reading_a_month(
    registry: Registry,
) -> None:
    hooks = Webhooks(engine=registry.engine, audit=registry.audit, secret=SECRET, api_url=API)
    content = body()
    hooks.take(content, delivery="d-1", signature=signed(content), event=EVENT, now=NOW)
    for commit in (SHA, "b" * 40):
        register(registry, policy=FREE, git_commit=commit)
    lately = timedelta(hours=2)
    later = NOW + timedelta(days=10)

    def deploy(number: int, now: datetime) -> None:
        waiting = order(registry, number, now=now)
        assert waiting.approval is not None
        decide(registry, waiting.approval.uid, now=now)

    deploy(1, later)
    assert write_back(registry.engine, now=later + timedelta(days=1), within=lately) == 0
    assert write_back(registry.engine, now=later, within=lately) == 1
    deploy(2, later + timedelta(days=5))
    assert write_back(registry.engine, now=later + timedelta(days=5), within=lately) == 1
    assert write_back(registry.engine, now=later + timedelta(days=5), within=ASKED_WITHIN) == 0
    with read(registry.engine, tenant="default") as connection:
        query = sa.select(outbox.c.payload).where(outbox.c.topic == STATUS_TOPIC).order_by(outbox.c.id)
        assert [payload["state"] for payload in connection.scalars(query)] == ["success", "inactive"]
