"""A person's word: requests for approval, bound to what was looked at, and the votes on them.

A request is a row and nothing else: it holds no thread and no memory, and waits through every restart and upgrade.
Functions take an open transaction, never commit, and write the audit event and the notice with the change.
"""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from aihub.delivery.approval_records import Approval, State, Word, get, list_page, pending, read, same_person
from aihub.errors import ConflictError, ForbiddenError, InputError
from aihub.registry.promotion import MAX_REASON
from aihub.store import approvals as rows
from aihub.store import outbox
from aihub.store.job_tables import approvals as table
from aihub.store.tables import versions
from aihub.types import iso

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from aihub.delivery.policy import ApprovalRule
    from aihub.registry.records import Version
    from aihub.store.audit import AuditLog
    from aihub.types import Identity

__all__ = [
    "Approval",
    "expire_due",
    "get",
    "list_page",
    "lock_of_job",
    "request",
    "vote",
    "withdraw",
    "withdraw_of_job",
]
EXPIRED_AT_ONCE = 5
"""Requests that lapse in one transaction: on SQLite nobody else writes meanwhile."""
HUB = "hub"
"""Who acts where nobody did: the hub by itself."""


def request(
    connection: Connection,
    version: Version,
    environment: str,
    *,
    rule: ApprovalRule,
    expected_sequence: int,
    requested_by: str,
    reason: str,
    now: datetime,
    tenant: str,
    audit: AuditLog,
    source: str = "",
    job_id: int | None = None,
) -> Approval:
    """Ask for approval of `version`; where a request is pending already, return that one.

    Writes the request, an audit event and the notice ``notify.approval.requested``. The caller holds the model's lock.
    """
    found = pending(connection, version.uid, environment, tenant=tenant)
    if found is not None:
        if job_id is not None and found.job_id is None:
            rows.attach_job(connection, approval_id=found.id, job_id=job_id)
        if found.expires_at > now and found.expected_sequence == expected_sequence:
            return get(connection, found.uid, tenant=tenant)
        # It was asked about another champion, or lapsed a moment ago: the question has to be put anew.
        _end(connection, found, "expired", actor=HUB, reason="asked anew", now=now, audit=audit, wake=False)
    uid = f"apr_{uuid.uuid4().hex}"
    rows.insert(
        connection,
        version_uid=version.uid,
        row={
            "tenant_id": tenant,
            "uid": uid,
            "job_id": job_id if job_id is not None else found and found.job_id,
            "environment": environment,
            "artifact_digest": version.digest,
            "report_digest": version.report_digest,
            "expected_sequence": expected_sequence,
            "rule": rule.model_dump(mode="json"),
            "state": "pending",
            "requested_by": requested_by,
            "reason": reason,
            "created_at": now,
            "expires_at": now + timedelta(hours=rule.expires_h),
        },
    )
    made = get(connection, uid, tenant=tenant)
    after = {**_subject(made), "role": rule.role, "approvers": rule.approvers}
    _record(
        connection,
        made,
        "approval.requested",
        actor=requested_by,
        reason=reason,
        now=now,
        audit=audit,
        after=after,
        source=source,
    )
    _tell(connection, made, "approval.requested", now=now, by=requested_by, reason=reason)
    return made


def vote(
    connection: Connection,
    uid: str,
    *,
    identity: Identity,
    decision: str,
    reason: str,
    now: datetime,
    audit: AuditLog,
    digest: str | None = None,
    evidence: Mapping[str, Any] | None = None,
) -> Approval:
    """Write down what a person decided; the last one who has to agree, or the first who does not, ends the request.

    Writes the vote, the state, an audit event and a notice, and wakes the job that waits. It deploys nothing: where no
    job waits, `aihub.delivery.deployments.decide` does.

    Parameters
    ----------
    digest
        Artefact that the person looked at; another one than that of the request is refused.
    evidence
        Where the decision was made elsewhere, such as in an environment of GitHub: what shows it.

    Raises
    ------
    NotFoundError
        The tenant has no such request.
    ForbiddenError
        The person made or asked for the version, or has not the role.
    ConflictError
        The request has ended, or the person has decided already, or looked at something else.
    InputError
        The decision is none, or has no reason.
    """
    word = _checked_word(decision, reason)
    found = get(connection, uid, tenant=identity.tenant, lock=True)
    _check_open(found, now)
    _check_voter(found, identity)
    if digest is not None and digest not in (found.artifact_digest, found.report_digest):
        raise ConflictError(
            f"{found} is about artefact {found.artifact_digest[:12]}, not {digest[:12]}; look at it again and decide anew"
        )
    rows.insert_decision(
        connection,
        {
            "tenant_id": identity.tenant,
            "approval_id": found.id,
            "principal": identity.principal,
            "role": identity.role.value,
            "decision": word,
            "reason": reason,
            "evidence": None if evidence is None else dict(evidence),
            "decided_at": now,
        },
    )
    granted = len(found.granted_by) + 1
    state: State = "pending"
    if word == "reject":
        state = "rejected"
    elif granted >= found.rule.approvers:
        state = "approved"
    if state != "pending":
        rows.end(connection, approval_id=found.id, state=state, now=now)
        if found.job_id is not None:
            rows.wake_job(connection, job_id=found.job_id)
    done = get(connection, uid, tenant=identity.tenant)
    after = {**_subject(done), "decision": word, "evidence": evidence, "granted": len(done.granted_by)}
    _record(
        connection,
        done,
        "approval.decided",
        actor=identity.principal,
        reason=reason,
        now=now,
        audit=audit,
        before={"state": found.state},
        after=after,
        source=identity.source,
    )
    if state != "pending":
        _tell(connection, done, f"approval.{state}", now=now, by=identity.principal, reason=reason)
    return done


def withdraw(
    connection: Connection,
    uid: str,
    *,
    tenant: str,
    actor: str,
    reason: str,
    now: datetime,
    audit: AuditLog,
    source: str = "",
) -> Approval:
    """Take a request back, such as when its job was cancelled. Writes state, audit event and notice; wakes the job.

    Raises
    ------
    NotFoundError, ConflictError
        The tenant has no such request, or it has ended.
    """
    found = get(connection, uid, tenant=tenant, lock=True)
    _check_open(found, now)
    return _end(
        connection, found, "withdrawn", actor=actor, reason=reason, now=now, audit=audit, source=source
    )


def lock_of_job(connection: Connection, job_id: int, *, tenant: str) -> list[Approval]:
    """Return what a job still asks for, and let nobody decide on it until the transaction ends.

    Call it before the job's row is locked: that is the order everywhere, so that no two wait for each other.
    """
    where = (table.c.job_id == job_id, table.c.state == "pending")
    return read(connection, rows.select(connection, *where, tenant=tenant, lock=True))


def withdraw_of_job(
    connection: Connection,
    found: Sequence[Approval],
    *,
    actor: str,
    reason: str,
    now: datetime,
    audit: AuditLog,
) -> None:
    """Take back what a job still asks for; for its cancellation, which has locked the requests and the job."""
    for one in found:
        _end(connection, one, "withdrawn", actor=actor, reason=reason, now=now, audit=audit, wake=False)


def withdraw_of_version(
    connection: Connection,
    version_uid: str,
    *,
    tenant: str,
    actor: str,
    reason: str,
    now: datetime,
    audit: AuditLog,
    source: str = "",
) -> None:
    """Take back every request for a version that may not go on, and wake the jobs that wait for them."""
    where = (table.c.state == "pending", versions.c.uid == version_uid)
    found = read(connection, rows.select(connection, *where, tenant=tenant, lock=True))
    # All of them before the first audit event: jobs are locked before the chain everywhere.
    for one in found:
        if one.job_id is not None:
            rows.wake_job(connection, job_id=one.job_id)
    for one in found:
        given: dict[str, Any] = {"actor": actor, "reason": reason, "now": now, "audit": audit}
        _end(connection, one, "withdrawn", **given, source=source, wake=False)


def expire_due(
    connection: Connection, *, tenant: str, now: datetime, audit: AuditLog, limit: int = EXPIRED_AT_ONCE
) -> list[Approval]:
    """End the requests whose time is up. Writes state, audit event and notice each, and wakes their jobs."""
    where = (table.c.state == "pending", table.c.expires_at <= now)
    found = read(connection, rows.select(connection, *where, tenant=tenant, limit=limit, lock=True))
    reason = "nobody decided in time"
    return [_end(connection, one, "expired", actor=HUB, reason=reason, now=now, audit=audit) for one in found]


def _end(
    connection: Connection,
    found: Approval,
    state: State,
    *,
    actor: str,
    reason: str,
    now: datetime,
    audit: AuditLog,
    source: str = "",
    wake: bool = True,
) -> Approval:
    rows.end(connection, approval_id=found.id, state=state, now=now)
    # Before the audit event: jobs are locked before the chain everywhere, so that no two wait for each other.
    if wake and found.job_id is not None:
        rows.wake_job(connection, job_id=found.job_id)
    done = get(connection, found.uid, tenant=found.tenant)
    _record(
        connection,
        done,
        f"approval.{state}",
        actor=actor,
        reason=reason,
        now=now,
        audit=audit,
        before={"state": found.state},
        after=_subject(done),
        source=source,
    )
    _tell(connection, done, f"approval.{state}", now=now, by=actor, reason=reason)
    return done


def _checked_word(decision: str, reason: str) -> Word:
    if not reason.strip() or len(reason) > MAX_REASON:
        raise InputError(f"a decision needs a reason of 1 to {MAX_REASON} characters")
    if decision == "approve":
        return "approve"
    if decision == "reject":
        return "reject"
    raise InputError(f"decision {decision[:40]!r} is not 'approve' or 'reject'")


def _check_open(found: Approval, now: datetime) -> None:
    if found.state != "pending":
        by = f" by {found.votes[-1].principal!r}" if found.votes else ""
        raise ConflictError(f"{found} is {found.state} already{by}; ask anew if it has to be decided again")
    if found.expires_at <= now:
        raise ConflictError(
            f"{found} expired at {found.expires_at:%Y-%m-%d %H:%M} UTC; ask for the deployment anew"
        )


def _check_voter(found: Approval, identity: Identity) -> None:
    who = identity.principal
    if not found.rule.admits(identity.role):
        raise ForbiddenError(
            f"{who!r} is {identity.role}, and {found} asks for the role {found.rule.role}; let somebody decide who has it"
        )
    if same_person(who) in found.authors:
        raise ForbiddenError(
            f"{who!r} has made or asked for this version, and two people are needed; let somebody else decide"
        )
    if any(same_person(vote.principal) == same_person(who) for vote in found.votes):
        raise ConflictError(f"{who!r} has decided on {found} already; wait for the others")


def _record(
    connection: Connection,
    found: Approval,
    action: str,
    *,
    actor: str,
    reason: str,
    now: datetime,
    audit: AuditLog,
    after: Mapping[str, Any],
    before: Mapping[str, Any] | None = None,
    source: str = "",
) -> None:
    audit.append(
        connection,
        tenant=found.tenant,
        actor=actor,
        action=action,
        subject=f"approval:{found.uid}",
        now=now,
        before=before,
        after=after,
        reason=reason,
        source=source,
    )


def _subject(found: Approval) -> dict[str, Any]:
    return {
        "state": found.state,
        "model": found.model,
        "version": found.version,
        "environment": found.environment,
        "digest": found.artifact_digest,
        "report_digest": found.report_digest,
        "expected_sequence": found.expected_sequence,
        "job": found.job,
    }


def _tell(
    connection: Connection, found: Approval, event: str, *, now: datetime, by: str, reason: str
) -> None:
    payload = {**_subject(found), "approval": found.uid, "semantic": str(found.semantic), "by": by}
    outbox.put(
        connection,
        tenant=found.tenant,
        topic=f"notify.{event}",
        key=found.uid,
        payload={**payload, "reason": reason, "expires_at": iso(found.expires_at)},
        now=now,
    )
