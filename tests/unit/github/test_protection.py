from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from aihub.delivery.jobs import enqueue
from aihub.errors import InputError, NotFoundError, TooManyError, UnauthorizedError
from aihub.github import policies
from aihub.github.client import GitHubClient
from aihub.github.effects import STATUS_TOPIC, carry_out, write_back
from aihub.github.protection import (
    EVENT,
    MAX_BYTES,
    PROTECTION_TOPIC,
    UNJUDGED,
    WAIT,
    Webhooks,
    judged,
    read_question,
    verdict,
)
from aihub.github.sessions import REVIEWERS_TOPIC
from aihub.github.trust import TrustPolicy
from aihub.store import engine as engines
from aihub.store.access_tables import audit as audit_rows
from aihub.store.audit import AuditLog
from aihub.store.github_tables import github_gates
from aihub.store.job_tables import jobs
from aihub.store.tables import deployments, models, outbox, reports, versions
from databases import sqlite_at
from github_side import API, NOW, SECRET, SHA, GitHubApi, body, signed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy.engine import Engine

AUDIT = AuditLog(b"k" * 32)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = sqlite_at(tmp_path / "hub.db")
    trusted = TrustPolicy(name="read", repository_id="42", repository_owner_id="7", roles=("viewer",))
    with engines.write(engine, tenant="default") as connection:
        policies.add(connection, trusted, actor="alice", now=NOW, audit=AUDIT)
    yield engine
    engine.dispose()


@pytest.fixture
def hooks(engine: Engine) -> Webhooks:
    return Webhooks(engine=engine, audit=AUDIT, secret=SECRET, api_url=API)


def take(hooks: Webhooks, content: bytes, delivery: str = "d-1", **more: Any) -> str:
    given = {"signature": signed(content), "event": EVENT, "delivery": delivery, "now": NOW, **more}
    return hooks.take(content, **given)


def add_report(connection: sa.Connection, digest: str) -> int:
    row = {"digest": digest, "passed": True, "body": {}, "created_at": NOW}
    return int(connection.execute(sa.insert(reports).values(**row)).inserted_primary_key[0])


def add_version(
    engine: Engine, status: str = "candidate", name: str = "load", *, has_report: bool = True
) -> None:
    with engines.write(engine, tenant="default") as connection:
        report_id = add_report(connection, name) if has_report else None
        model = connection.execute(sa.insert(models).values(name=name, created_at=NOW)).inserted_primary_key
        row = {
            "uid": f"v-{name}",
            "model_id": model[0],
            "number": 1,
            "major": 1,
            "minor": 0,
            "patch": 0,
            "git_commit": SHA,
            "status": status,
            "report_id": report_id,
            "digest": "d",
            "size_bytes": 1,
            "kind": "k",
            "lineage": {},
            "metrics": {},
            "notes": [],
            "created_by": "ci",
            "created_at": NOW,
        }
        connection.execute(sa.insert(versions).values(**row))


def due(engine: Engine) -> list[tuple[str, dict[str, Any]]]:
    with engines.read(engine, tenant="default") as connection:
        return [
            tuple(row)
            for row in connection.execute(sa.select(outbox.c.topic, outbox.c.payload).order_by(outbox.c.id))
        ]


@pytest.mark.parametrize(
    "signature", ["", "sha256=", "sha256=" + "0" * 64, "sha1=abc", "\udcff", signed(b"other")]
)
def test_a_webhook_without_the_right_signature_is_refused(
    hooks: Webhooks, engine: Engine, signature: str
) -> None:
    with pytest.raises(UnauthorizedError):
        take(hooks, body(), signature=signature)
    assert not due(engine)


def test_without_a_secret_no_webhook_is_taken(engine: Engine) -> None:
    hooks = Webhooks(engine=engine, audit=AUDIT, secret=b"", api_url=API)
    with pytest.raises(UnauthorizedError, match="AIHUB_GITHUB_WEBHOOK_SECRET"):
        take(hooks, body(), signature=signed(body(), b""))


def test_the_gate_s_result_is_the_answer(hooks: Webhooks, engine: Engine) -> None:
    add_version(engine)
    assert take(hooks, body()) == "taken"
    ((topic, payload),) = due(engine)
    assert topic == PROTECTION_TOPIC
    assert (payload["state"], payload["run_id"], payload["repository"]) == ("approved", "900", "acme/load")
    with engines.read(engine, tenant="default") as connection:
        actions = list(connection.scalars(sa.select(audit_rows.c.action).order_by(audit_rows.c.sequence)))
    assert actions[-2:] == ["github.gate_asked", "github.gate_approved"]


def test_one_failed_gate_rejects(hooks: Webhooks, engine: Engine) -> None:
    add_version(engine)
    add_version(engine, "rejected", "anomaly")
    take(hooks, body())
    ((_, payload),) = due(engine)
    assert payload["state"] == "rejected"
    assert "anomaly (version 1)" in payload["comment"]


def test_a_question_waits_for_its_commit_to_be_judged_but_not_for_ever(
    hooks: Webhooks, engine: Engine
) -> None:
    assert take(hooks, body()) == "taken"
    assert hooks.decide_pending(NOW) == 0
    add_version(engine)
    assert hooks.decide_pending(NOW + timedelta(minutes=1)) == 1
    assert hooks.decide_pending(NOW + timedelta(minutes=2)) == 0
    assert [payload["state"] for _, payload in due(engine)] == ["approved"]
    assert verdict([], 0, waited=WAIT).state == "rejected"
    assert verdict([("load", 1, "candidate")], 1, waited=timedelta(0)).state == "pending"


def test_a_version_that_no_gate_has_judged_has_passed_none(hooks: Webhooks, engine: Engine) -> None:
    """A model that was trained elsewhere may be registered under any commit: that alone opens no environment."""
    add_version(engine)
    add_version(engine, name="anomaly", has_report=False)
    assert take(hooks, body()) == "taken"
    assert hooks.decide_pending(NOW) == 0
    with engines.write(engine, tenant="default") as connection:
        judged_since = sa.update(versions).where(versions.c.report_id.is_(None))
        connection.execute(judged_since.values(report_id=add_report(connection, "anomaly")))
    assert hooks.decide_pending(NOW) == 1
    assert [payload["state"] for _, payload in due(engine)] == ["approved"]
    late = verdict([("anomaly", 1, UNJUDGED)], 0, waited=WAIT)
    assert (late.state, "no gate has judged anomaly (version 1)" in late.comment) == ("rejected", True)
    assert verdict([("a", 1, UNJUDGED), ("b", 1, "rejected")], 0, waited=WAIT * 0).state == "rejected"


def test_a_question_waits_for_the_jobs_of_its_commit_alone(hooks: Webhooks, engine: Engine) -> None:
    add_version(engine)
    with engines.write(engine, tenant="default") as connection:
        given = {"tenant": "default", "kind": "train", "submitted_by": "ann", "now": NOW}
        for commit in (SHA, "f" * 40, None):
            enqueue(connection, payload={"git_commit": commit} if commit else {}, **given)
        assert judged(connection, tenant="default", sha=SHA)[1] == 1
    assert take(hooks, body()) == "taken"
    assert hooks.decide_pending(NOW) == 0
    with engines.write(engine, tenant="default") as connection:
        connection.execute(sa.update(jobs).where(jobs.c.id == 1).values(state="completed"))
    assert hooks.decide_pending(NOW) == 1


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_a_model_whose_job_came_to_nothing_has_passed_no_gate(
    hooks: Webhooks, engine: Engine, end: str
) -> None:
    add_version(engine)
    with engines.write(engine, tenant="default") as connection:
        given = {"tenant": "default", "kind": "train", "submitted_by": "ann", "now": NOW, "model": "anomaly"}
        for _ in range(2):
            enqueue(connection, payload={"git_commit": SHA}, **given)
        connection.execute(sa.update(jobs).where(jobs.c.id == 1).values(state="completed"))
        connection.execute(sa.update(jobs).where(jobs.c.id == 2).values(state=end))
    take(hooks, body())
    ((_, payload),) = due(engine)
    assert payload["state"] == "rejected"
    assert "anomaly" in payload["comment"]


def test_a_job_that_failed_and_was_done_again_is_forgiven(hooks: Webhooks, engine: Engine) -> None:
    add_version(engine)
    with engines.write(engine, tenant="default") as connection:
        given = {"tenant": "default", "kind": "train", "submitted_by": "ann", "now": NOW, "model": "load"}
        for _ in range(2):
            enqueue(connection, payload={"git_commit": SHA}, **given)
        connection.execute(sa.update(jobs).where(jobs.c.id == 1).values(state="failed"))
        connection.execute(sa.update(jobs).where(jobs.c.id == 2).values(state="waiting"))
    take(hooks, body())
    assert [payload["state"] for _, payload in due(engine)] == ["approved"]


def test_a_replayed_webhook_does_nothing_under_whatever_id(hooks: Webhooks, engine: Engine) -> None:
    add_version(engine)
    assert take(hooks, body()) == "taken"
    assert take(hooks, body()) == "known"
    # The id of a delivery is not signed: somebody who has seen the webhook could send it under another.
    assert take(hooks, body(), delivery="d-2") == "known"
    assert len(due(engine)) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {
            "deployment_callback_url": "https://evil.example.com/repos/acme/load/actions/runs/900/deployment_protection_rule"
        },
        {
            "deployment_callback_url": "https://api.github.com.evil.example.com/repos/acme/load/actions/runs/900/deployment_protection_rule"
        },
        {
            "deployment_callback_url": "https://api.github.com@evil.example.com/repos/acme/load/actions/runs/900/deployment_protection_rule"
        },
        {"deployment_callback_url": f"{API}/repos/acme/load/actions/runs/900/deployment_protection_rule?x=1"},
        {"deployment_callback_url": f"{API}/repos/acme/load/actions/runs/900/deployment_protection_rule\n"},
        {"deployment_callback_url": f"{API}/repos/acme/other/actions/runs/900/deployment_protection_rule"},
        {"deployment_callback_url": f"{API}/repos/acme/load/../../user"},
        {"deployment_callback_url": "/repos/acme/load/actions/runs/900/deployment_protection_rule"},
        {"deployment_callback_url": None},
        {"deployment": {"id": 55, "sha": "main"}},
        {"deployment": {"id": "55", "sha": SHA}},
        {"deployment": None},
        {"repository": {"id": True, "full_name": "acme/load"}},
        {"repository": []},
        {"environment": ""},
        {"environment": {"name": "production"}},
        {"installation": {"id": "../5"}},
    ],
)
def test_a_signed_webhook_that_is_not_what_github_sends_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        read_question(body(**changes), API)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"null", b"\xff", b"{", b"[" * 100_000, b" " * (MAX_BYTES + 1)]
)
def test_a_signed_body_that_is_no_event_is_refused(content: bytes) -> None:
    with pytest.raises(InputError):
        read_question(content, API)


def test_what_asks_nothing_is_ignored(hooks: Webhooks, engine: Engine) -> None:
    assert take(hooks, body(), event="ping") == "pong"
    assert take(hooks, body(), event="push") == "ignored"
    assert take(hooks, body(action="completed")) == "ignored"
    assert take(hooks, body(repository={"id": 43, "full_name": "acme/load"})) == "not trusted"
    with pytest.raises(InputError, match="X-GitHub-Delivery"):
        take(hooks, body(), delivery="")
    assert not due(engine)


def effect(api: GitHubApi, engine: Engine, topic: str, payload: dict[str, Any], token: str = "t") -> str:  # noqa: S107 - no secret
    client = GitHubClient(api.url, token=token)
    return carry_out(topic, payload, client=client, engine=engine, audit=AUDIT, tenant="default", now=NOW)


def test_the_answer_reaches_github(api: GitHubApi, hooks: Webhooks, engine: Engine) -> None:
    add_version(engine)
    take(hooks, body())
    ((topic, payload),) = due(engine)
    assert effect(api, engine, topic, payload) == "run 900 approved"
    assert api.requests == [
        (
            "POST",
            "/repos/acme/load/actions/runs/900/deployment_protection_rule",
            {
                "environment_name": "production",
                "state": "approved",
                "comment": "The gate passed: load (version 1).",
            },
        )
    ]
    assert effect(api, engine, topic, payload, token="").startswith("left out")
    api.answers.append((403, {"retry-after": "5"}, {}))
    with pytest.raises(TooManyError):
        effect(api, engine, topic, payload)
    api.answers.append((404, {}, {}))
    with pytest.raises(NotFoundError):
        effect(api, engine, topic, payload)
    with pytest.raises(InputError):
        effect(api, engine, topic, {**payload, "repository": "acme/load/../.."})
    with pytest.raises(InputError):
        effect(api, engine, "github.other", payload)


def test_a_deployment_is_written_back_once_and_again_when_it_ends(
    api: GitHubApi, hooks: Webhooks, engine: Engine
) -> None:
    add_version(engine)
    take(hooks, body())
    row = {
        "uid": "0123456789",
        "model_id": 1,
        "version_id": 1,
        "environment": "production",
        "sequence": 1,
        "action": "deploy",
        "actor": "ci",
        "reason": "",
        "started_at": NOW,
    }
    for change in ({}, {"ended_at": NOW, "ended_by": "deploy"}):
        with engines.write(engine, tenant="default") as connection:
            if not change:
                connection.execute(sa.insert(deployments).values(**row))
            else:
                connection.execute(sa.update(deployments).values(**change))
        assert [write_back(engine, now=NOW, within=timedelta(days=1)) for _ in range(2)] == [1, 0]
    found = [payload for topic, payload in due(engine) if topic == STATUS_TOPIC]
    assert [payload["state"] for payload in found] == ["success", "inactive"]
    effect(api, engine, STATUS_TOPIC, found[0])
    assert api.requests[-1][1] == "/repos/acme/load/deployments/55/statuses"


def test_reviewers_become_evidence_in_the_audit_log(api: GitHubApi, engine: Engine) -> None:
    payload = {"repository_id": "42", "repository": "acme/load", "run_id": "900", "environment": "production"}
    assert effect(api, engine, REVIEWERS_TOPIC, payload) == "1 reviewers of run 900"
    with engines.read(engine, tenant="default") as connection:
        last = connection.execute(
            sa.select(audit_rows.c.after).order_by(audit_rows.c.sequence.desc()).limit(1)
        ).scalar_one()
    assert last["reviewers"] == [{"login": "bob", "id": 12, "state": "approved"}]


def test_gates_are_of_one_tenant(hooks: Webhooks, engine: Engine) -> None:
    take(hooks, body())
    with engines.read(engine, tenant="default") as connection:
        assert list(connection.scalars(sa.select(github_gates.c.tenant_id))) == ["default"]
