"""`/audit`: who did what, when, why and from where."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from aihub.api.context import Caller, Needs
from aihub.api.pages import Cursor, Limit, Page, cut, decode
from aihub.api.problems import TEXT, documented
from aihub.api.views import Instant
from aihub.errors import NotFoundError
from aihub.store.audit_pages import find_events
from aihub.store.engine import read
from aihub.types import OPERATOR_TENANT

if TYPE_CHECKING:
    from collections.abc import Mapping

router = APIRouter(tags=["audit"])
AuditReader = Annotated[Caller, Depends(Needs("audit:read"))]
KIND = "audit"
Start = Annotated[Instant | None, Query(description="From this time on.")]
End = Annotated[Instant | None, Query(description="Before this time.")]
Before = Annotated[
    int | None, Query(ge=1, le=2**63 - 1, description="Older than the event of this sequence.")
]
OfOperators = Annotated[
    bool,
    Query(description="What operators did to the hub itself, such as a new tenant, instead; for operators."),
]
Text = Annotated[str | None, Query(max_length=256, pattern=TEXT)]


class AuditEvent(BaseModel):
    """One change, as it was written in the transaction of the change."""

    sequence: int = Field(description="1, 2, 3 within the tenant, without a gap.")
    at: datetime
    actor: str
    action: str = Field(description="What was done, such as `model.deployed`.", examples=["model.deployed"])
    subject: str = Field(description="To what, such as `model:load`.", examples=["model:load"])
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    reason: str
    source: str = Field(description="From where.")
    hash: str = Field(description="HMAC over the hash before it and this event.")


class AuditVerdictView(BaseModel):
    """Whether every event is as it was written."""

    tenant: str
    is_intact: bool
    events: int = Field(description="Events from the first on that are as they were written.")
    first_bad: int | None = Field(description="Sequence of the first event that is not.")
    reason: str
    head: str = Field(description="Hash of the last good event; compare it with a checkpoint kept elsewhere.")


@router.get("/audit", summary="Read the audit log", responses=documented())
def list_events(
    who: AuditReader,
    *,
    subject: Text = None,
    action: Text = None,
    actor: Text = None,
    start: Start = None,
    end: End = None,
    before: Before = None,
    of_operators: OfOperators = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[AuditEvent]:
    """Events of the tenant, newest first."""
    page_before = decode(KIND, cursor)
    tenant = _chain(who, of_operators=of_operators)
    with read(who.hub.engine, tenant=tenant) as connection:
        rows = find_events(
            connection,
            tenant=tenant,
            actor=actor or None,
            action=action or None,
            subject=subject or None,
            start=start,
            end=end,
            before=before if page_before is None else page_before,
            limit=limit + 1,
        )
    page, following = cut(KIND, rows, limit, lambda row: int(row["sequence"]))
    return Page(items=[_event(row) for row in page], next=following)


def _chain(who: Caller, *, of_operators: bool) -> str:
    if of_operators and not who.identity.is_operator:
        # As for any tenant that is not the caller's.
        raise NotFoundError("tenant", OPERATOR_TENANT)
    return OPERATOR_TENANT if of_operators else who.tenant


def _event(row: Mapping[Any, Any]) -> AuditEvent:
    return AuditEvent(**{name: row[name] for name in AuditEvent.model_fields})


@router.get("/audit/verify", summary="Check the audit log", responses=documented())
def verify(who: AuditReader, *, of_operators: OfOperators = False) -> AuditVerdictView:
    """Walk the tenant's whole chain; about 12 microseconds an event."""
    tenant = _chain(who, of_operators=of_operators)
    with read(who.hub.engine, tenant=tenant) as connection:
        verdict = who.hub.audit.verify(connection, tenant=tenant)
    return AuditVerdictView(
        tenant=tenant,
        is_intact=verdict.is_intact,
        events=verdict.events,
        first_bad=verdict.first_bad,
        reason=verdict.reason,
        head=verdict.head,
    )
