"""`/approvals`: what waits for a person, and deciding on it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from aihub.api.bodies import JsonRoute
from aihub.api.context import Caller, Needs
from aihub.api.once import Posted
from aihub.api.pages import Cursor, Limit, Page, cut, decode
from aihub.api.problems import SHA256, documented
from aihub.api.views import NameFilter, Uid
from aihub.delivery import approvals, deployments, operations
from aihub.errors import ArtifactError, ConflictError, NotFoundError
from aihub.registry.promotion import MAX_REASON

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from aihub.delivery.approval_records import Approval

router = APIRouter(route_class=JsonRoute, tags=["approvals"])
Reader = Annotated[Caller, Depends(Needs("approvals:read"))]
Decider = Annotated[Caller, Depends(Needs("approvals:decide"))]
KIND = "approvals"
State = Literal["pending", "approved", "rejected", "expired", "withdrawn"]


class DecisionView(BaseModel):
    """What one person decided."""

    principal: str
    role: str
    decision: Literal["approve", "reject"]
    reason: str
    decided_at: datetime
    evidence: dict[str, Any] | None


class ApprovalView(BaseModel):
    """A decision that is asked of people."""

    id: str
    state: State
    job_id: str | None
    model: str
    version: int
    semantic: str
    environment: str
    artifact_digest: str = Field(
        description="What is to be looked at; a decision about another one is refused."
    )
    report_digest: str | None
    role: str = Field(description="Role that a decision needs.")
    approvers: int = Field(description="How many have to agree.")
    requested_by: str
    reason: str
    created_at: datetime
    expires_at: datetime
    decided_at: datetime | None
    decisions: list[DecisionView]

    @classmethod
    def of(cls, approval: Approval) -> ApprovalView:
        """Render a request for approval."""
        return cls.model_validate({**approval.to_dict(), "id": approval.uid})


class DecisionBody(BaseModel):
    """Yes or no, and why."""

    model_config = ConfigDict(extra="forbid")

    decision: Literal["approve", "reject"]
    reason: Annotated[str, Field(min_length=1, max_length=MAX_REASON)] = Field(
        description="Goes into the history and the audit log."
    )
    artifact_digest: Annotated[str, Field(pattern=SHA256)] | None = Field(
        default=None, description="Artefact that was looked at; of another one: 409."
    )


@router.get("/approvals", summary="List the approvals", responses=documented())
def list_approvals(
    who: Reader,
    state: Annotated[State | None, Query(description="Only those in this state.")] = None,
    model: NameFilter = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[ApprovalView]:
    """List what waits for a person, and what was decided; newest first."""
    before = decode(KIND, cursor)
    with who.reading() as connection:
        rows = approvals.list_page(
            connection, tenant=who.tenant, state=state, model=model, before=before, limit=limit + 1
        )
    page, following = cut(KIND, rows, limit, lambda approval: approval.id)
    return Page(items=[ApprovalView.of(approval) for approval in page], next=following)


@router.get("/approvals/{approval_id}", summary="Look at an approval", responses=documented(NotFoundError))
def show_approval(approval_id: Uid, who: Reader) -> ApprovalView:
    """Look at one request and the decisions on it."""
    with who.reading() as connection:
        return ApprovalView.of(approvals.get(connection, approval_id, tenant=who.tenant))


@router.post(
    "/approvals/{approval_id}/decision",
    summary="Approve or reject",
    response_model=ApprovalView,
    responses=documented(NotFoundError, ConflictError, ArtifactError),
)
def decide(approval_id: Uid, body: DecisionBody, who: Decider, once: Posted) -> Response:
    """Decide; the last one who has to agree lets the delivery go on. Never whoever has asked, never twice, never late."""
    if body.decision == "approve":
        operations.bring_approved(who.registry, approval_id)

    def work(connection: Connection) -> ApprovalView:
        done, _ = deployments.decide(
            connection,
            who.registry,
            approval_id,
            identity=who.identity,
            decision=body.decision,
            reason=body.reason,
            digest=body.artifact_digest,
            now=who.now,
        )
        return ApprovalView.of(done)

    return once(who, work)
