"""What the outbox does at GitHub: answers to its questions, statuses of deployments, and who reviewed a run.

Each effect takes its payload and does one thing that may be done twice. What GitHub refuses for good raises an error
that is not `UnavailableError`; whoever carries effects out lays such an entry aside.
"""

from __future__ import annotations

import re
from datetime import timedelta
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from aihub.errors import InputError
from aihub.github.client import GitHubClient
from aihub.github.protection import PROTECTION_TOPIC
from aihub.github.sessions import REVIEWERS_TOPIC
from aihub.store import engine as engines
from aihub.store import outbox
from aihub.store.github_tables import github_gates, github_sessions
from aihub.store.tables import deployments, versions
from aihub.store.tables import outbox as outbox_rows

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.engine import Connection, Engine

    from aihub.settings import Settings
    from aihub.store.audit import AuditLog

STATUS_TOPIC = "github.deployment_status"
TOPICS = (PROTECTION_TOPIC, STATUS_TOPIC, REVIEWERS_TOPIC)
ASKED_WITHIN = timedelta(days=30)
"""How long ago GitHub may have asked; later its deployment is told nothing more."""
MAX_KEYS = 500
"""Keys that one statement names; databases take some ten thousand parameters at most."""
MAX_COMMENT_CHARS = 1000
MAX_DESCRIPTION_CHARS = 140
_REPOSITORY = re.compile(r"[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}")


def client_of(settings: Settings) -> GitHubClient:
    """Return the client that the settings describe."""
    return GitHubClient(
        settings.github_api_url,
        token=settings.github_token.get_secret_value(),
        app_id=settings.github_app_id,
        app_key_file=settings.github_app_key_file,
    )


def carry_out(
    topic: str,
    payload: Mapping[str, Any],
    *,
    client: GitHubClient,
    engine: Engine,
    audit: AuditLog,
    tenant: str,
    now: datetime,
) -> str:
    """Do one effect and say in a few words what was done; without anything to call GitHub with, nothing is.

    Raises
    ------
    UnavailableError, TooManyError
        Try again later.
    AIHubError
        GitHub refuses for good.
    """
    if not client.is_usable:
        return "left out: the hub has no GitHub token"
    match topic:
        case t if t == PROTECTION_TOPIC:
            return _answer(client, payload)
        case t if t == STATUS_TOPIC:
            return _set_status(client, payload)
        case t if t == REVIEWERS_TOPIC:
            return _note_reviewers(client, payload, engine=engine, audit=audit, tenant=tenant, now=now)
    raise InputError(f"no effect {topic!r} at GitHub")


def _answer(client: GitHubClient, payload: Mapping[str, Any]) -> str:
    body = {
        "environment_name": payload["environment"],
        "state": payload["state"],
        "comment": payload["comment"][:MAX_COMMENT_CHARS],
    }
    path = f"/repos/{_repository(payload)}/actions/runs/{int(payload['run_id'])}/deployment_protection_rule"
    client.send("POST", path, body, installation=payload.get("installation_id"))
    return f"run {payload['run_id']} {payload['state']}"


def _set_status(client: GitHubClient, payload: Mapping[str, Any]) -> str:
    body = {
        "state": payload["state"],
        "description": payload["description"][:MAX_DESCRIPTION_CHARS],
        "environment": payload["environment"],
        "auto_inactive": False,
    }
    path = f"/repos/{_repository(payload)}/deployments/{int(payload['deployment_id'])}/statuses"
    client.send("POST", path, body, installation=payload.get("installation_id"))
    return f"deployment {payload['deployment_id']} {payload['state']}"


def _note_reviewers(
    client: GitHubClient,
    payload: Mapping[str, Any],
    *,
    engine: Engine,
    audit: AuditLog,
    tenant: str,
    now: datetime,
) -> str:
    """Ask who let the run into its environment and keep it as evidence; nobody is an answer, too."""
    run_id, environment = str(int(payload["run_id"])), payload["environment"]
    installation = _installation_of(engine, payload["repository_id"], tenant)
    if not client.token and installation is None:
        return "left out: no app of ours is known to be installed there"
    path = f"/repos/{_repository(payload)}/actions/runs/{run_id}/approvals"
    found = client.send("GET", path, installation=installation) or []
    reviewers = [
        {"login": one["user"]["login"], "id": one["user"]["id"], "state": one["state"]}
        for one in found
        if any(each.get("name") == environment for each in one.get("environments", ()))
    ]
    with engines.write(engine, tenant=tenant) as connection:
        mine = (
            github_sessions.c.tenant_id == tenant,
            github_sessions.c.repository_id == payload["repository_id"],
            github_sessions.c.environment == environment,
        )
        rows = connection.execute(
            sa.select(github_sessions.c.id, github_sessions.c.claims).where(*mine)
        ).all()
        for row in rows:
            if row.claims["run_id"] == run_id:
                change = {"claims": {**row.claims, "reviewers": reviewers}}
                connection.execute(
                    sa.update(github_sessions).where(github_sessions.c.id == row.id).values(change)
                )
        audit.append(
            connection,
            tenant=tenant,
            actor="github",
            action="github.reviewers_noted",
            subject=f"github run {run_id}",
            now=now,
            after={"environment": environment, "reviewers": reviewers},
        )
    return f"{len(reviewers)} reviewers of run {run_id}"


def _installation_of(engine: Engine, repository_id: str, tenant: str) -> str | None:
    """Return the installation of the app that asked about this repository last."""
    query = (
        sa.select(github_gates.c.installation_id)
        .where(github_gates.c.tenant_id == tenant, github_gates.c.repository_id == repository_id)
        .order_by(github_gates.c.id.desc())
        .limit(1)
    )
    with engines.read(engine, tenant=tenant) as connection:
        return connection.scalar(query)


def write_back(engine: Engine, *, now: datetime, within: timedelta) -> int:
    """Ask for the status of every deployment that GitHub asked about and the hub carries out; return how many.

    Looks at what was asked, deployed or replaced within this time. Idempotent, and a read only where there is nothing
    new. A GitHub deployment and one of the hub belong together by commit and environment.
    """
    with engines.read(engine, tenant=engines.EVERY_TENANT) as connection:
        due = _statuses_due(connection, now - within, now - ASKED_WITHIN)
    for one in due:
        with engines.write(engine, tenant=one["tenant"]) as connection:
            outbox.put(connection, **one, now=now)
    return len(due)


def _statuses_due(connection: Connection, since: datetime, oldest: datetime) -> list[dict[str, Any]]:
    pairs = (
        sa.select(
            github_gates,
            deployments.c.id.label("place"),
            deployments.c.uid,
            deployments.c.ended_at,
            versions.c.number,
        )
        .join(
            versions,
            sa.and_(
                versions.c.git_commit == github_gates.c.sha, versions.c.tenant_id == github_gates.c.tenant_id
            ),
        )
        .join(
            deployments,
            sa.and_(
                deployments.c.model_id == versions.c.model_id,
                deployments.c.version_id == versions.c.id,
                deployments.c.environment == github_gates.c.environment,
            ),
        )
        .where(github_gates.c.created_at > oldest)
    )
    # Each by an index of its own; one query with "or" would read all three tables.
    found = {
        (row["id"], row["uid"]): row
        for moment in (github_gates.c.created_at, deployments.c.started_at, deployments.c.ended_at)
        for row in connection.execute(pairs.where(moment > since)).mappings()
    }
    due = []
    # The status that GitHub hears of last is the one it shows.
    for row in sorted(found.values(), key=itemgetter("place")):
        state, word = ("success", "serves") if row["ended_at"] is None else ("inactive", "was replaced")
        names = ("repository", "deployment_id", "environment", "installation_id")
        payload = {name: row[name] for name in names} | {
            "state": state,
            "description": f"Version {row['number']} {word} (AI Hub {row['uid'][:8]})",
        }
        key = f"{row['deployment_id']}/{row['uid']}/{state}"
        due.append({"tenant": row["tenant_id"], "topic": STATUS_TOPIC, "key": key, "payload": payload})
    asked: set[tuple[Any, ...]] = set()
    for start in range(0, len(due), MAX_KEYS):
        keys = [one["key"] for one in due[start : start + MAX_KEYS]]
        known = sa.select(outbox_rows.c.tenant_id, outbox_rows.c.key).where(
            outbox_rows.c.topic == STATUS_TOPIC, outbox_rows.c.key.in_(keys)
        )
        asked |= {tuple(row) for row in connection.execute(known)}
    return [one for one in due if (one["tenant"], one["key"]) not in asked]


def _repository(payload: Mapping[str, Any]) -> str:
    name = str(payload.get("repository", ""))
    if not _REPOSITORY.fullmatch(name):
        raise InputError(f"{name[:80]!r} is no repository of the form OWNER/NAME")
    return name
