"""GitHub asks whether a job may enter an environment (a custom deployment protection rule); the gate's result answers.

The webhook only writes the question down. It is decided when the versions of its commit have been judged, and the answer
goes out by the outbox, so that no restart and no outage of GitHub loses it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import sqlalchemy as sa

from aihub.errors import InputError, UnauthorizedError
from aihub.github import policies
from aihub.store import engine as engines
from aihub.store import outbox
from aihub.store.github_tables import github_deliveries, github_gates
from aihub.store.job_tables import jobs
from aihub.store.models import insert_unless_there
from aihub.store.tables import models, versions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.engine import Connection, Engine

    from aihub.settings import Settings
    from aihub.store.audit import AuditLog

MAX_BYTES = 1 << 20
"""GitHub's webhook of this kind has some 20 KiB; a larger body is refused before it is read."""
EVENT = "deployment_protection_rule"
PROTECTION_TOPIC = "github.protection"
ACTOR = "hub"
WAIT = timedelta(hours=24)
"""How long a question waits for a judged version of its commit before the answer is no."""
DELIVERIES_KEPT = timedelta(days=30)
UNJUDGED = "unjudged"
"""Said of a version without a report, such as one that was registered and not validated: it has passed no gate."""
_CALLBACK = re.compile(
    r"/repos/([A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+)/actions/runs/([0-9]{1,20})/deployment_protection_rule"
)
_SHA = re.compile(r"[0-9a-f]{40,64}")
_DELIVERY = re.compile(r"[A-Za-z0-9-]{1,64}")


@dataclass(frozen=True, kw_only=True)
class Question:
    """What GitHub asks, checked."""

    repository_id: str
    repository: str
    run_id: str
    environment: str
    deployment_id: str
    installation_id: str | None
    sha: str


@dataclass(frozen=True)
class Verdict:
    """The answer to a question: wait, or yes or no with the reason that people read in GitHub."""

    state: Literal["pending", "approved", "rejected"]
    comment: str


@dataclass(frozen=True, kw_only=True)
class Webhooks:
    """Takes GitHub's webhooks.

    Attributes
    ----------
    secret
        What GitHub signs them with; empty: none is taken.
    api_url
        The only host that an answer goes to.
    """

    engine: Engine
    audit: AuditLog
    secret: bytes
    api_url: str

    def __repr__(self) -> str:
        return f"Webhooks(api_url={self.api_url!r})"

    def take(self, body: bytes, *, signature: str, event: str, delivery: str, now: datetime) -> str:
        """Take one webhook and say in a word what became of it; writes question, audit event and perhaps the answer.

        Raises
        ------
        UnauthorizedError
            It is not signed with the secret.
        InputError
            It is signed, and yet not what it should be.
        """
        check_signature(body, signature, self.secret)
        if event != EVENT:
            return "pong" if event == "ping" else "ignored"
        question = read_question(body, self.api_url)
        if question is None:
            return "ignored"
        if not _DELIVERY.fullmatch(delivery):
            raise InputError("the webhook has no X-GitHub-Delivery; configure it in GitHub anew")
        with engines.write(self.engine, tenant=engines.EVERY_TENANT) as connection:
            tenants = {policy.tenant for policy in policies.of_repository(connection, question.repository_id)}
            if not tenants:
                return "not trusted"
            # Where several tenants trust a repository, one of them answers: the first by name.
            taken = self._ask(connection, question, tenant=min(tenants), delivery=delivery, now=now)
        return "taken" if taken else "known"

    def decide_pending(self, now: datetime) -> int:
        """Answer every question whose commit has been judged since; return how many. For the worker, every few seconds."""
        with engines.read(self.engine, tenant=engines.EVERY_TENANT) as connection:
            columns = [github_gates.c[name] for name in ("id", "tenant_id", "sha", "created_at")]
            query = sa.select(*columns).where(github_gates.c.state == "pending")
            waiting = connection.execute(query.order_by(github_gates.c.id).limit(1000)).mappings().all()
        decided = 0
        for gate in waiting:
            # Looked at before the transaction that writes: most wait for hours, and would hold up the others each time.
            with engines.read(self.engine, tenant=gate["tenant_id"]) as connection:
                found = _verdict_on(connection, gate, now)
            if found.state != "pending":
                with engines.write(self.engine, tenant=gate["tenant_id"]) as connection:
                    decided += self._decide(connection, gate["id"], now)
        return decided

    def _ask(
        self, connection: Connection, question: Question, *, tenant: str, delivery: str, now: datetime
    ) -> bool:
        """Write a question down once, whatever id it is delivered under: the id is not signed, the body is."""
        connection.execute(
            sa.delete(github_deliveries).where(
                github_deliveries.c.tenant_id == tenant,
                github_deliveries.c.received_at < now - DELIVERIES_KEPT,
            )
        )
        row = {"id": delivery, "tenant_id": tenant, "received_at": now}
        if not insert_unless_there(connection, github_deliveries, row):
            return False
        row = {**vars(question), "tenant_id": tenant, "state": "pending", "created_at": now}
        if not insert_unless_there(connection, github_gates, row):
            return False
        gate_id = connection.execute(
            sa.select(github_gates.c.id).where(
                github_gates.c.repository_id == question.repository_id,
                github_gates.c.run_id == question.run_id,
                github_gates.c.environment == question.environment,
                github_gates.c.deployment_id == question.deployment_id,
            )
        ).scalar_one()
        self.audit.append(
            connection,
            tenant=tenant,
            actor=f"github:repository_id/{question.repository_id}",
            action="github.gate_asked",
            subject=f"github run {question.run_id}",
            now=now,
            after=vars(question),
            source=f"webhook {delivery}",
        )
        self._decide(connection, gate_id, now)
        return True

    def _decide(self, connection: Connection, gate_id: int, now: datetime) -> bool:
        query = sa.select(github_gates).where(github_gates.c.id == gate_id, github_gates.c.state == "pending")
        gate = connection.execute(query.with_for_update()).mappings().one_or_none()
        if gate is None:
            return False
        found = _verdict_on(connection, gate, now)
        if found.state == "pending":
            return False
        change = {"state": found.state, "comment": found.comment, "decided_at": now}
        connection.execute(sa.update(github_gates).where(github_gates.c.id == gate_id).values(change))
        names = ("repository", "run_id", "environment", "installation_id", "sha")
        payload = {name: gate[name] for name in names} | {"state": found.state, "comment": found.comment}
        outbox.put(
            connection,
            tenant=gate["tenant_id"],
            topic=PROTECTION_TOPIC,
            key=f"gate/{gate_id}",
            payload=payload,
            now=now,
        )
        self.audit.append(
            connection,
            tenant=gate["tenant_id"],
            actor=ACTOR,
            action=f"github.gate_{found.state}",
            subject=f"github run {gate['run_id']}",
            now=now,
            after=payload,
            reason=found.comment,
        )
        return True


def webhooks_of(settings: Settings, engine: Engine, audit: AuditLog) -> Webhooks:
    """Return what takes the webhooks, as the settings say."""
    secret = settings.github_webhook_secret.get_secret_value().encode()
    return Webhooks(engine=engine, audit=audit, secret=secret, api_url=settings.github_api_url)


def check_signature(body: bytes, signature: str, secret: bytes) -> None:
    """Refuse a body that was not signed with the secret; compares in constant time.

    Raises
    ------
    UnauthorizedError
        The signature is missing or another's, or no secret is configured.
    """
    if not secret:
        raise UnauthorizedError("this hub takes no webhooks of GitHub; set AIHUB_GITHUB_WEBHOOK_SECRET on it")
    expected = f"sha256={hmac.new(secret, body, hashlib.sha256).hexdigest()}"
    if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace")):
        raise UnauthorizedError(
            "the webhook's signature does not fit; compare the secret in GitHub with the hub's"
        )


def read_question(body: bytes, api_url: str) -> Question | None:
    """Return what a signed body asks; None where it asks nothing (another action).

    Raises
    ------
    InputError
        A field is missing or of another kind, or the answer would go elsewhere than to the configured API.
    """
    if len(body) > MAX_BYTES:
        raise InputError(f"the webhook has more than {MAX_BYTES >> 20} MiB; it is no {EVENT}")
    try:
        event = json.loads(body)
        if event["action"] != "requested":
            return None
        repository_id, name = _number(event["repository"]["id"]), event["repository"]["full_name"]
        deployment, environment = event["deployment"], event["environment"]
        callback = str(event["deployment_callback_url"])
        installed = event.get("installation")
        installation = _number(installed["id"]) if installed else None
        deployment_id, sha = _number(deployment["id"]), str(deployment["sha"])
    except (ValueError, KeyError, TypeError, RecursionError, AttributeError) as error:
        raise InputError(
            f"the webhook is not what GitHub sends ({type(error).__name__}); look at its delivery there"
        ) from error
    found = _CALLBACK.fullmatch(callback.removeprefix(api_url.rstrip("/")))
    # The whole address is built anew and compared: nothing that a parser might read differently gets through.
    is_exact = (
        found is not None
        and callback == f"{api_url.rstrip('/')}{found[0]}"
        and urlsplit(callback).query == ""
    )
    if found is None or not is_exact or found[1] != name:
        raise InputError(
            "the webhook's callback address is not of the configured API and repository; it is not called"
        )
    is_text = isinstance(environment, str) and 0 < len(environment) <= 255 and environment.isprintable()  # noqa: PLR2004
    if not is_text or not _SHA.fullmatch(sha):
        raise InputError("the webhook's environment or commit is none; look at its delivery in GitHub")
    return Question(
        repository_id=repository_id,
        repository=found[1],
        run_id=found[2],
        environment=environment,
        deployment_id=deployment_id,
        installation_id=installation,
        sha=sha,
    )


def verdict(
    rows: Sequence[tuple[str, int, str]], active: int, *, waited: timedelta, undone: Sequence[str] = ()
) -> Verdict:
    """Return the answer for a commit: yes when all of its versions passed their gates, no when one did not. Pure.

    Parameters
    ----------
    rows
        Model, number and status of each version of the commit; `UNJUDGED` where no gate has looked at it yet.
    active
        Jobs for the commit that are not done.
    undone
        Models whose last job for the commit came to no version: what is missing has passed no gate.
    """
    named = [(f"{model} (version {number})", status) for model, number, status in rows]
    failed = [name for name, status in named if status not in {"candidate", UNJUDGED}]
    if failed:
        return Verdict("rejected", f"The gate failed: {', '.join(failed[:5])}.")
    unjudged = [name for name, status in named if status == UNJUDGED]
    if rows and not active and undone:
        message = f"No version of {', '.join(undone[:5])} came of this commit: the job failed or was cancelled. Retry it and run the workflow again."
        return Verdict("rejected", message)
    if rows and not active and not unjudged:
        return Verdict("approved", f"The gate passed: {', '.join(name for name, _ in named[:5])}.")
    if waited >= WAIT:
        what = f"{active} jobs of this commit are not done" if active else "no version of this commit came"
        if unjudged and not active:
            what = f"no gate has judged {', '.join(unjudged[:5])}: validate it"
        return Verdict(
            "rejected", f"After {WAIT.total_seconds() / 3600:.0f} hours {what}. Run the workflow again."
        )
    return Verdict("pending", "")


def judged(connection: Connection, *, tenant: str, sha: str) -> tuple[list[tuple[str, int, str]], int]:
    """Versions of a commit, the newest of each model, and the number of its jobs that are not done."""
    query = (
        sa.select(models.c.name, versions.c.number, versions.c.status, versions.c.report_id)
        .join(models, models.c.id == versions.c.model_id)
        .where(versions.c.tenant_id == tenant, versions.c.git_commit == sha)
        .order_by(models.c.name, versions.c.number)
    )
    newest = {row.name: (row.name, row.number, _standing(row)) for row in connection.execute(query)}
    # A job that waits for an approval has been judged; GitHub must not wait for what waits for GitHub.
    active = sa.select(sa.func.count()).where(
        jobs.c.tenant_id == tenant,
        jobs.c.state.in_(("queued", "running")),
        jobs.c.payload["git_commit"].as_string() == sha,
    )
    return list(newest.values()), connection.scalar(active) or 0


def _standing(row: Any) -> str:
    return UNJUDGED if row.status == "candidate" and row.report_id is None else str(row.status)


def undone_jobs(connection: Connection, *, tenant: str, sha: str) -> list[str]:
    """Models whose last job for a commit failed or was cancelled."""
    query = sa.select(jobs.c.model, jobs.c.state).where(
        jobs.c.tenant_id == tenant, jobs.c.payload["git_commit"].as_string() == sha
    )
    last = {row.model or "a model": row.state for row in connection.execute(query.order_by(jobs.c.id))}
    return sorted(model for model, state in last.items() if state in {"failed", "cancelled"})


def _verdict_on(connection: Connection, gate: Mapping[Any, Any], now: datetime) -> Verdict:
    where = {"tenant": gate["tenant_id"], "sha": gate["sha"]}
    rows, active = judged(connection, **where)
    # Looked for only where nothing else speaks against a yes: it reads every job of the tenant.
    undone = undone_jobs(connection, **where) if rows and not active else []
    return verdict(rows, active, waited=now - gate["created_at"], undone=undone)


def _number(value: Any) -> str:
    if type(value) is not int or not 0 < value < 1 << 63:
        raise ValueError("no id")
    return str(value)
