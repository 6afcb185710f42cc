"""`/models/{name}/deployments` and `/rollback`: what serves, since when, by whom and why; and changing it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Depends
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from aihub.api.approvals import ApprovalView
from aihub.api.bodies import AnyTypeRoute, JsonRoute
from aihub.api.context import Caller, ModelsReader, Needs
from aihub.api.once import Posted
from aihub.api.pages import Cursor, Limit, Page, cut, decode
from aihub.api.problems import documented
from aihub.api.rollouts import RolloutView
from aihub.api.views import DeploymentView, Environment, ModelName, NameText, VersionRef
from aihub.delivery import deployments, operations
from aihub.delivery.orders import DeployOrder, RollbackOrder
from aihub.errors import ArtifactError, ConflictError, NotFoundError
from aihub.registry.promotion import MAX_REASON
from aihub.registry.queries import Queries
from aihub.registry.records import PRODUCTION, Deployment
from aihub.store import deployments as deployment_rows

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from aihub.delivery.orders import Outcome

router = APIRouter(route_class=JsonRoute, tags=["deployments"])
# `curl -d '{...}'`, as the guide writes it, calls its body a form.
curled = APIRouter(route_class=AnyTypeRoute, tags=["deployments"])
Deployer = Annotated[Caller, Depends(Needs("deployments:write"))]
KIND = "deployments"
ReasonText = Annotated[str, Field(max_length=MAX_REASON)]
Sequence = Annotated[
    int | None,
    Field(
        ge=0,
        le=2**31 - 1,
        description="Sequence of the champion that the decision was made on (0: none); where another has come since: 409.",
    ),
]


class DeployBody(BaseModel):
    """Which version is to serve, and why."""

    model_config = ConfigDict(extra="forbid")

    version: VersionRef
    environment: NameText = PRODUCTION
    reason: ReasonText = Field(min_length=1, description="Why; goes into the history and the audit log.")
    expected_sequence: Sequence = None
    override: bool = Field(
        default=False,
        description="Pass over gate, order, approvals and freezes; needs the role admin, and is audited as such.",
    )


class OutcomeView(BaseModel):
    """What came of it: it serves, runs beside the champion, or waits for people."""

    status: Literal["deployed", "rolling_out", "waiting"]
    reason: str
    deployment: DeploymentView | None
    rollout: RolloutView | None
    approval: ApprovalView | None
    approval_id: str | None
    until: datetime | None

    @classmethod
    def of(cls, outcome: Outcome, now: datetime) -> OutcomeView:
        """Render an outcome."""
        done = outcome.deployment
        return cls.model_validate(
            {
                **outcome.to_dict(),
                "deployment": None if done is None else DeploymentView.of(done, now),
                "rollout": None if outcome.rollout is None else RolloutView.of(outcome.rollout),
                "approval": None if outcome.approval is None else ApprovalView.of(outcome.approval),
            }
        )


class RollbackBody(BaseModel):
    """Which version is to serve again; without one the last that served and was not itself taken back."""

    model_config = ConfigDict(extra="forbid")

    target_version: VersionRef | None = None
    environment: NameText = PRODUCTION
    reason: ReasonText = Field(default="", description="Why; goes into the history and the audit log.")
    expected_sequence: Sequence = None


@router.get(
    "/models/{name}/deployments", summary="Read the history of a model", responses=documented(NotFoundError)
)
def list_deployments(
    name: ModelName,
    who: ModelsReader,
    environment: Environment = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[DeploymentView]:
    """List what served, from when to when, who put it there and why; newest first."""
    before = decode(KIND, cursor)
    with who.reading() as connection:
        rows = deployment_rows.select_deployments(
            connection,
            tenant=who.tenant,
            model=name,
            environment=environment,
            before=before,
            limit=limit + 1,
        )
        if not rows:
            Queries(connection, who.tenant).require_model(name)
    page, following = cut(KIND, rows, limit, lambda row: int(row["id"]))
    return Page(items=[DeploymentView.of(Deployment.from_row(row), who.now) for row in page], next=following)


@router.post(
    "/models/{name}/deployments",
    status_code=201,
    summary="Put a version into an environment",
    response_model=OutcomeView,
    responses={
        202: {"model": OutcomeView, "description": "People have to agree first"},
        **documented(NotFoundError, ConflictError, ArtifactError),
    },
)
def deploy(name: ModelName, body: DeployBody, who: Deployer, once: Posted) -> Response:
    """Bring a version into an environment as its policy says. Two at once: one wins, the other gets 409."""
    expected = _expected(who, name, body.environment, body.expected_sequence)
    operations.bring(who.registry, name, body.version)

    def work(connection: Connection) -> OutcomeView:
        order = DeployOrder(
            model=name,
            version=body.version,
            actor=who.identity.principal,
            role=who.identity.role,
            reason=body.reason,
            environment=body.environment,
            expected_sequence=expected,
            override=body.override,
        )
        outcome = deployments.deploy(connection, who.registry, order, who.now).require()
        return OutcomeView.of(outcome, who.now)

    return once(who, work, status=lambda answer: 202 if answer.status == "waiting" else 201)


@curled.post(
    "/models/{name}/rollback",
    summary="Go back to an earlier version",
    response_model=DeploymentView,
    responses=documented(NotFoundError, ConflictError, ArtifactError, also=[415]),
)
def rollback(name: ModelName, who: Deployer, once: Posted, body: RollbackBody | None = None) -> Response:
    """Go back at once, without the gate; the target must have served here before, and load. The body is read as JSON whatever its type says."""
    body = body or RollbackBody()
    order = RollbackOrder(
        model=name,
        actor=who.identity.principal,
        reason=body.reason.strip() or "rolled back through the API",
        target=body.target_version,
        environment=body.environment,
        expected_sequence=_expected(who, name, body.environment, body.expected_sequence),
    )
    # Before the transaction, which holds up others: a child process loads the target.
    order = operations.pinned(who.registry, order, loads=who.loads)

    def work(connection: Connection) -> DeploymentView:
        return DeploymentView.of(deployments.rollback(connection, who.registry, order, who.now), who.now)

    return once(who, work)


def _expected(who: Caller, model: str, environment: str, given: int | None) -> int:
    """Sequence of the champion that the caller, or else this request, has seen: of two at once only one then wins."""
    if given is not None:
        return given
    with who.reading() as connection:
        return deployments.seen(connection, who.registry, model, environment)
