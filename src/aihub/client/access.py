"""Who may do what, who decided, and who did: approvals, the audit log, keys and tenants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from aihub.client.connection import path_of
from aihub.client.records import Approval, AuditEvent, Key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from aihub.client.connection import Connection

    Decision: TypeAlias = Literal["approve", "reject"]


@dataclass(frozen=True)
class Approvals:
    """`Client.approvals`."""

    _connection: Connection

    def list(self, *, state: str | None = None, limit: int | None = None) -> Iterator[Approval]:
        """Yield the approvals of the tenant, newest first."""
        return map(Approval.of, self._connection.pages("/approvals", limit=limit, state=state))

    def get(self, approval_id: str) -> Approval:
        """Return one approval."""
        return Approval.of(self._connection.get(path_of("approvals", approval_id)))

    def decide(
        self,
        approval_id: str,
        decision: Decision,
        *,
        reason: str,
        artifact_digest: str | None = None,
        key: str | None = None,
    ) -> Approval:
        """Approve or reject.

        Parameters
        ----------
        artifact_digest
            What was looked at; a decision on another artefact is refused. None: what the approval says.

        Raises
        ------
        ConflictError
            It was decided before, has expired, or is about another artefact.
        ForbiddenError
            Who submitted may not approve, or the role is not enough.
        """
        body = {"decision": decision, "reason": reason, "artifact_digest": artifact_digest}
        given = {name: value for name, value in body.items() if value is not None}
        document = self._connection.send(
            "POST", path_of("approvals", approval_id, "decision"), given, key=key
        )
        return Approval.of(document)


@dataclass(frozen=True)
class Audit:
    """`Client.audit`."""

    _connection: Connection

    def list(
        self,
        *,
        limit: int | None = None,
        subject: str | None = None,
        action: str | None = None,
        actor: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        before: int | None = None,
        of_operators: bool = False,
    ) -> Iterator[AuditEvent]:
        """Yield the events of the tenant, newest first.

        Parameters
        ----------
        start, end
            Period, from `start` on and before `end`; with a time zone.
        before
            Older than the event of this sequence.
        of_operators
            What operators did to the hub itself instead; for operators.
        """
        pages = self._connection.pages(
            "/audit",
            limit=limit,
            subject=subject,
            action=action,
            actor=actor,
            start=None if start is None else start.isoformat(),
            end=None if end is None else end.isoformat(),
            before=before,
            of_operators=of_operators or None,
        )
        return map(AuditEvent.of, pages)

    def verify(self, *, of_operators: bool = False) -> dict[str, Any]:
        """Let the hub walk the whole chain and say whether anything was changed, and where first."""
        verdict: dict[str, Any] = self._connection.get("/audit/verify", of_operators=of_operators or None)
        return verdict


@dataclass(frozen=True)
class Keys:
    """`Client.keys`."""

    _connection: Connection

    def create(
        self,
        principal: str,
        role: str,
        *,
        scopes: Sequence[str] | None = None,
        expires_at: datetime | None = None,
        is_operator: bool = False,
        key: str | None = None,
    ) -> tuple[Key, str]:
        """Make a key; return it and its secret, which nobody can read again."""
        body = {
            "principal": principal,
            "role": role,
            "scopes": None if scopes is None else list(scopes),
            "expires_at": None if expires_at is None else expires_at.isoformat(),
            "is_operator": is_operator or None,
        }
        given = {name: value for name, value in body.items() if value is not None}
        return _with_token(self._connection.send("POST", "/keys", given, key=key))

    def list(self) -> Iterator[Key]:
        """Yield the keys of the tenant."""
        return map(Key.of, self._connection.pages("/keys"))

    def rotate(self, key_id: str, *, overlap_s: int | None = None, key: str | None = None) -> tuple[Key, str]:
        """Make the successor of a key; both count until the overlap is over."""
        body = {} if overlap_s is None else {"overlap_s": overlap_s}
        return _with_token(self._connection.send("POST", path_of("keys", key_id, "rotate"), body, key=key))

    def revoke(self, key_id: str, *, reason: str = "", key: str | None = None) -> Key:
        """End a key at once; the reason is kept in the audit log."""
        ended = self._connection.send("POST", path_of("keys", key_id, "revoke"), {"reason": reason}, key=key)
        return Key.of(ended)


@dataclass(frozen=True)
class Tenants:
    """`Client.tenants`; for those who run the hub."""

    _connection: Connection

    def list(self) -> Iterator[dict[str, Any]]:
        """Yield the tenants."""
        return self._connection.pages("/tenants")

    def get(self, tenant_id: str) -> dict[str, Any]:
        """Return one tenant."""
        found: dict[str, Any] = self._connection.get(path_of("tenants", tenant_id))
        return found

    def change(
        self, tenant_id: str, *, rules: Mapping[str, Any], is_active: bool | None = None, reason: str = ""
    ) -> dict[str, Any]:
        """Set the whole of a tenant's rules, and whether its keys count; None: as before."""
        body = {"rules": dict(rules), "is_active": is_active, "reason": reason}
        changed: dict[str, Any] = self._connection.send("PATCH", path_of("tenants", tenant_id), body)
        return changed

    def create(self, tenant_id: str, *, key: str | None = None, **more: Any) -> dict[str, Any]:
        """Make a tenant; `more` are its rules."""
        made: dict[str, Any] = self._connection.send("POST", "/tenants", {"id": tenant_id, **more}, key=key)
        return made


def _with_token(document: dict[str, Any]) -> tuple[Key, str]:
    token = str(document["token"])
    return Key.of({name: value for name, value in document.items() if name != "token"}), token
